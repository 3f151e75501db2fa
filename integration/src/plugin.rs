//! Policies by hand: components whose core is written in the text format of WebAssembly, so that they
//! can do what no compiler would let them.

use std::fmt::Write as _;
use std::fs;

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
    /// Writes its settings to the log when it takes them, and allows everything.
    TellsItsSettings,
    /// Never comes back.
    Loops,
    /// Never comes back from the function that makes room for the request.
    LoopsInAllocator,
    /// Never comes back from its start, so that it cannot be loaded.
    LoopsAtStart,
    /// Never takes its settings, so that it cannot be loaded.
    LoopsInConfigure,
    /// Has a function that compilers need very long for, never takes its settings, and so cannot be loaded.
    KeepsTheCompilerBusy,
    /// Traps.
    Traps,
    /// Writes `by hand` to the log, and traps.
    SaysWhyAndTraps,
    /// Wants more and more memory.
    Grows,
    /// Wants a larger and larger table.
    GrowsTables,
    /// Calls itself without end.
    Recurses,
    /// Gives an address outside its memory as its answer.
    AnswersGarbage,
    /// Denies with a message of eight mebibytes.
    AnswersTooMuch,
    /// Allows under a million obligations.
    AnswersAMillion,
    /// Writes to the log without end.
    FloodsTheLog,
    /// Asks without end who is in a group.
    FloodsLookups,
    /// Wants more and more handles of its standard output.
    FloodsHandles,
    /// Waits for a century, then allows.
    Sleeps,
    /// Denies with a message of random letters.
    AnswersAtRandom,
    /// Takes a mebibyte, denies with `seen` if somebody has left something there, and leaves something itself.
    LeavesCanary,
}

/// What makes a component an attack.
struct Parts {
    /// What the module imports.
    import: String,
    /// Gets (old, old size, align, new size), leaves an address.
    realloc: &'static str,
    /// Leaves the address of what it says to its settings.
    configure: &'static str,
    /// Leaves the address of the answer.
    evaluate: &'static str,
    /// Further parts of the module.
    more: String,
    /// Pages of memory.
    pages: u32,
}

/// Allocates behind the last block.
const BUMP: &str = "
    (global.set $next (i32.and
        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3)))";

/// At 1024 stands an answer that allows, since zeros are `allow` without conditions.
const ALLOW: &str = "i32.const 1024";

const LOOP: &str = "(loop (br 0)) unreachable";

impl Default for Parts {
    /// Allows everything.
    fn default() -> Self {
        Self {
            import: String::new(),
            realloc: BUMP,
            configure: ALLOW,
            evaluate: ALLOW,
            more: String::new(),
            pages: 1,
        }
    }
}

impl Parts {
    fn evaluates(evaluate: &'static str) -> Self {
        Self { evaluate, ..Self::default() }
    }

    fn calling_log(self) -> Self {
        let ty = "(func $write (param i32 i32 i32 i32 i32))";
        self.calling("chancery:policy/log@0.9.0", "write", ty)
    }

    /// The same with a function that it calls, by its interface, its name and the rest of the import.
    fn calling(mut self, interface: &str, function: &str, ty: &str) -> Self {
        writeln!(self.import, "(import \"{interface}\" \"{function}\" {ty})").expect("a string");
        self
    }
}

impl Access {
    /// At 2048 there is room for an answer. At 3072 stands the description: addresses and lengths of four
    /// texts.
    fn parts(self) -> Parts {
        match self {
            Self::Allows => Parts::default(),
            Self::Denies => Parts::evaluates(
                "(i32.store8 (i32.const 2048) (i32.const 1))
                 (i32.store (i32.const 2056) (i32.const 16))
                 (i32.store (i32.const 2060) (i32.const 12))
                 (i32.const 2048)",
            ),
            Self::TellsItsSettings => Parts {
                configure: "(call $write (i32.const 2) (local.get 0) (local.get 1) (i32.const 0)
                    (i32.const 0)) i32.const 1024",
                ..Parts::default()
            }
            .calling_log(),
            Self::Loops => Parts::evaluates(LOOP),
            Self::LoopsInAllocator => Parts {
                realloc: "(if (global.get $configured) (then (loop (br 0)))) i32.const 40000",
                ..Parts::default()
            },
            Self::LoopsAtStart => Parts {
                more: "(func $start (loop (br 0))) (start $start)".to_owned(),
                ..Parts::default()
            },
            Self::LoopsInConfigure => Parts { configure: LOOP, ..Parts::default() },
            Self::KeepsTheCompilerBusy => {
                Parts { configure: LOOP, more: large_function(), ..Parts::default() }
            }
            Self::Traps => Parts::evaluates("unreachable"),
            // The description's third text.
            Self::SaysWhyAndTraps => Parts::evaluates(
                "(call $write (i32.const 2) (i32.const 33) (i32.const 7) (i32.const 0) (i32.const 0))
                 unreachable",
            )
            .calling_log(),
            Self::Grows => Parts::evaluates(
                "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
            ),
            Self::GrowsTables => Parts {
                evaluate: "(loop (br_if 0 (i32.ne
                    (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable",
                more: "(table $t 1 funcref)".to_owned(),
                ..Parts::default()
            },
            Self::Recurses => Parts::evaluates(
                "(call $evaluate (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
                    (local.get 5) (local.get 6) (local.get 7) (local.get 8) (local.get 9))
                 (i32.const 1) i32.add",
            ),
            Self::AnswersGarbage => Parts::evaluates("i32.const -8"),
            Self::AnswersTooMuch => Parts {
                evaluate: "(i32.store8 (i32.const 2048) (i32.const 1))
                    (i32.store (i32.const 2068) (i32.const 8388608))
                    (i32.const 2048)",
                pages: 140,
                ..Parts::default()
            },
            Self::AnswersAMillion => Parts {
                evaluate: "(i32.store (i32.const 2088) (i32.const 4096))
                    (i32.store (i32.const 2092) (i32.const 1000000))
                    (i32.const 2048)",
                pages: 250,
                ..Parts::default()
            },
            Self::FloodsTheLog => Parts::evaluates(
                "(loop (call $write (i32.const 2) (i32.const 0) (i32.const 16384) (i32.const 0)
                    (i32.const 0)) (br 0)) unreachable",
            )
            .calling_log(),
            Self::FloodsLookups => Parts {
                realloc: "i32.const 40000",
                evaluate: "(loop (call $contains (i32.const 16) (i32.const 4) (i32.const 16)
                    (i32.const 4) (i32.const 3500)) (br 0)) unreachable",
                ..Parts::default()
            }
            .calling(
                "chancery:policy/groups@0.9.0",
                "contains",
                "(func $contains (param i32 i32 i32 i32 i32))",
            ),
            Self::FloodsHandles => {
                Parts::evaluates("(loop (drop (call $stdout)) (br 0)) unreachable").calling(
                    "wasi:cli/stdout@0.2.3",
                    "get-stdout",
                    "(func $stdout (result i32))",
                )
            }
            Self::Sleeps => Parts::evaluates(
                "(call $block (call $later (i64.const 3155760000000000000))) i32.const 1024",
            )
            .calling(
                "wasi:clocks/monotonic-clock@0.2.3",
                "subscribe-duration",
                "(func $later (param i64) (result i32))",
            )
            .calling(
                "wasi:io/poll@0.2.3",
                "[method]pollable.block",
                "(func $block (param i32))",
            ),
            Self::AnswersAtRandom => Parts::evaluates(
                "(i64.store (i32.const 4096) (i64.or (i64.const 0x4040404040404040)
                    (i64.and (i64.const 0x1f1f1f1f1f1f1f1f) (call $number))))
                 (i32.store8 (i32.const 2048) (i32.const 1))
                 (i32.store (i32.const 2056) (i32.const 16))
                 (i32.store (i32.const 2060) (i32.const 4))
                 (i32.store (i32.const 2064) (i32.const 4096))
                 (i32.store (i32.const 2068) (i32.const 8))
                 (i32.const 2048)",
            )
            .calling(
                "wasi:random/random@0.2.3",
                "get-random-u64",
                "(func $number (result i64))",
            ),
            Self::LeavesCanary => Parts::evaluates(
                "(local $at i32)
                 (if (i32.eq (memory.grow (i32.const 15)) (i32.const -1)) (then unreachable))
                 (local.set $at (i32.const 65536))
                 (loop
                    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then
                        (i32.store8 (i32.const 2048) (i32.const 1))
                        (i32.store (i32.const 2056) (i32.const 48))
                        (i32.store (i32.const 2060) (i32.const 4))
                        (return (i32.const 2048))))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if 0 (i32.lt_u (local.get $at) (i32.const 1048576))))
                 (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const 983040))
                 (i32.const 1024)",
            ),
        }
    }

    /// The component.
    #[must_use]
    pub fn component(self) -> Vec<u8> {
        let Parts { import, realloc, configure, evaluate, more, pages } = self.parts();
        let mut module = wat::parse_str(format!(
            r#"(module
                {import}
                (memory (export "memory") {pages})
                (global $next (mut i32) (i32.const 32768))
                (global $configured (mut i32) (i32.const 0))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                (data (i32.const 16) "hand-written0.0.1by hand{{}}")
                (data (i32.const 48) "seen")
                (data (i32.const 3072) "\10\00\00\00\0c\00\00\00\1c\00\00\00\05\00\00\00\21\00\00\00\07\00\00\00\28\00\00\00\02\00\00\00")
                (func (export "chancery:policy/access@0.9.0#describe") (result i32) (i32.const 3072))
                (func (export "chancery:policy/access@0.9.0#configure")
                    (param i32 i32) (result i32) (global.set $configured (i32.const 1)) {configure})
                (func $evaluate (export "chancery:policy/access@0.9.0#evaluate")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {evaluate})
                {more})"#
        ))
        .expect("the text is WebAssembly");
        let (resolve, package) = contract();
        let world =
            resolve.select_world(&[package], Some("access-policy")).expect("the world is there");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the module has what the world wants");
        let mut encoder =
            ComponentEncoder::default().validate(true).module(&module).expect("it fits");
        encoder.encode().expect("a component")
    }
}

/// The contract, with WASI beside it for those that import some.
fn contract() -> (Resolve, wit_parser::PackageId) {
    let folder = tempfile::tempdir().expect("a folder");
    let deps = folder.path().join("deps");
    fs::create_dir(&deps).expect("a folder");
    let wasi = repository().join("gateway/policy/tests/wasi.wit");
    fs::copy(wasi, deps.join("wasi.wit")).expect("WASI for tests");
    for entry in fs::read_dir(repository().join("wit")).expect("wit/ can be read").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a file of the contract");
        let world = "world access-policy {";
        let text = text.replace(world, &format!("{world} include chancery:tests/wasi@0.0.1;"));
        fs::write(folder.path().join(entry.file_name()), text).expect("a copy of it");
    }
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder.path()).expect("the contract is in order");
    (resolve, package)
}

/// A function with thousands of blocks in which thousands of variables are alive.
fn large_function() -> String {
    const VARIABLES: usize = 200;
    const BLOCKS: usize = 2_000;
    let mut text = "(func (export \"large\") (param i32) (result i32)".to_owned();
    for _ in 0..VARIABLES {
        text += " (local i32)";
    }
    for block in 0..BLOCKS {
        let (one, two, three) =
            (block % VARIABLES, (block * 7 + 3) % VARIABLES, (block * 31) % VARIABLES);
        write!(
            text,
            "\n(if (i32.lt_s (local.get {one}) (local.get {two})) (then (local.set {three}
                (i32.mul (i32.add (local.get {one}) (i32.const {block})) (local.get {two}))))
                (else (local.set {two} (i32.xor (local.get {three}) (local.get 0)))))"
        )
        .expect("a string");
    }
    text + " local.get 1)"
}
