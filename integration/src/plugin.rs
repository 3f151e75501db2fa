//! Policies by hand: components whose core is written in the text format of WebAssembly, so that they
//! can do what no compiler would let them.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::process::repository;

/// An access policy that does something when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Allows everything.
    Allows,
    /// Denies everything.
    Denies,
    /// Never comes back.
    Loops,
    /// Traps.
    Traps,
    /// Wants more and more memory.
    Grows,
    /// Calls itself without end.
    Recurses,
    /// Gives an address outside its memory as its answer.
    AnswersGarbage,
    /// Denies with a message of a mebibyte.
    AnswersTooMuch,
}

impl Access {
    /// What the function does; it leaves the address of its answer. At 1024 stands an answer that
    /// allows, since zeros are `allow` without conditions; at 2048 there is room for another. At 3072 stands the
    /// description: addresses and lengths of four texts.
    fn body(self) -> &'static str {
        match self {
            Self::Allows => "i32.const 1024",
            Self::Denies => {
                "(i32.store8 (i32.const 2048) (i32.const 1))
                 (i32.store (i32.const 2056) (i32.const 16))
                 (i32.store (i32.const 2060) (i32.const 12))
                 (i32.const 2048)"
            }
            Self::Loops => "(loop (br 0)) unreachable",
            Self::Traps => "unreachable",
            Self::Grows => {
                "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable"
            }
            Self::Recurses => {
                "(call $evaluate (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
                    (local.get 5) (local.get 6) (local.get 7) (local.get 8) (local.get 9))
                 (i32.const 1) i32.add"
            }
            Self::AnswersGarbage => "i32.const -8",
            Self::AnswersTooMuch => {
                "(i32.store8 (i32.const 2048) (i32.const 1))
                 (i32.store (i32.const 2068) (i32.const 1048576))
                 (i32.const 2048)"
            }
        }
    }

    /// The component.
    #[must_use]
    pub fn component(self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(repository().join("wit")).expect("wit/ can be read");
        let world =
            resolve.select_world(&[package], Some("access-policy")).expect("the world is there");
        let body = self.body();
        // What answers with a mebibyte has to have one.
        let pages = if self == Self::AnswersTooMuch { 20 } else { 1 };
        let mut module = wat::parse_str(format!(
            r#"(module
                (memory (export "memory") {pages})
                (global $next (mut i32) (i32.const 32768))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $next (i32.and
                        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                        (i32.sub (i32.const 0) (local.get 2))))
                    (global.get $next)
                    (global.set $next (i32.add (global.get $next) (local.get 3))))
                (data (i32.const 16) "hand-written0.0.1by hand{{}}")
                (data (i32.const 3072) "\10\00\00\00\0c\00\00\00\1c\00\00\00\05\00\00\00\21\00\00\00\07\00\00\00\28\00\00\00\02\00\00\00")
                (func (export "chancery:policy/access@0.9.0#describe") (result i32) (i32.const 3072))
                (func (export "chancery:policy/access@0.9.0#configure")
                    (param i32 i32) (result i32) (i32.const 1024))
                (func $evaluate (export "chancery:policy/access@0.9.0#evaluate")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {body}))"#
        ))
        .expect("the text is WebAssembly");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the module has what the world wants");
        let mut encoder =
            ComponentEncoder::default().validate(true).module(&module).expect("it fits");
        encoder.encode().expect("a component")
    }
}
