//! Guests written by hand, so that they can do what no compiler would let them.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest for access whose functions have these bodies. The defaults allow everything.
pub(crate) struct Guest<'a> {
    /// Name of the plugin, as it says itself.
    pub(crate) name: &'a str,
    /// Version of the plugin, likewise.
    pub(crate) version: &'a str,
    /// What the module imports.
    pub(crate) import: &'a str,
    /// Gets (old, old size, align, new size), gives an address.
    pub(crate) realloc: &'a str,
    /// Gets address and length of the settings, gives the address of the answer.
    pub(crate) configure: &'a str,
    /// Gets addresses and lengths of the request's parts, gives the address of the answer.
    pub(crate) evaluate: &'a str,
    /// Pages of memory at first, and at most if that is given.
    pub(crate) pages: &'a str,
    /// Further parts of the module.
    pub(crate) more: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            name: "hand-written",
            version: "0.0.1",
            import: "",
            realloc: BUMP,
            configure: ALLOW,
            evaluate: ALLOW,
            pages: "1",
            more: "",
        }
    }
}

/// Allocates behind the last block.
pub(crate) const BUMP: &str = "
    (global.set $next (i32.and
        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3)))";

/// Address 1024 holds zeros: `ok`, or `allow` with neither a ceiling nor obligations.
pub(crate) const ALLOW: &str = "i32.const 1024";

/// A denial at address 2048 whose code is the text at address 16, of length 4.
pub(crate) const DENY: &str = "
    (i32.store8 (i32.const 2048) (i32.const 1))
    (i32.store (i32.const 2056) (i32.const 16))
    (i32.store (i32.const 2060) (i32.const 4))
    (i32.const 2048)";

pub(crate) const LOOP: &str = "(loop (br 0)) unreachable";

impl Guest<'_> {
    pub(crate) fn component(&self) -> Vec<u8> {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        self.component_of(&wit, "0.9.0")
    }

    /// A component of the contract in this directory, which has this version.
    pub(crate) fn component_of(&self, wit: &Path, version: &str) -> Vec<u8> {
        let Self { name, version: own_version, import, realloc, configure, evaluate, pages, more } =
            self;
        let (name_length, version_length) = (name.len(), own_version.len());
        let word = |number: usize| format!("\\{:02x}\\00\\00\\00", u8::try_from(number).unwrap());
        let at = |start: usize, length: usize| format!("{}{}", word(start), word(length));
        let texts = [at(96, name_length), at(112, version_length), at(120, 7), at(24, 2)].concat();
        let core = format!(
            r#"(module
                {import}
                (memory (export "memory") {pages})
                (global $next (mut i32) (i32.const 32768))
                (global $configured (mut i32) (i32.const 0))
                (data (i32.const 16) "mine")
                (data (i32.const 64) "{texts}")
                (data (i32.const 96) "{name}")
                (data (i32.const 112) "{own_version}")
                (data (i32.const 120) "by hand")
                (data (i32.const 24) "{{}}")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                (func (export "chancery:policy/access@{version}#describe") (result i32) i32.const 64)
                (func (export "chancery:policy/access@{version}#configure")
                    (param i32 i32) (result i32) (global.set $configured (i32.const 1)) {configure})
                (func $evaluate (export "chancery:policy/access@{version}#evaluate")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {evaluate})
                {more})"#
        );
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit).unwrap();
        let world = resolve.select_world(&[package], Some("access-policy")).unwrap();
        let mut module = wat::parse_str(core).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    }
}
