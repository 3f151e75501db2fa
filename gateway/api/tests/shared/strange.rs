//! Words of this program and its libraries, which no client shall read, whatever the API.

const STRANGE: [&str; 17] = [
    "u8",
    "u16",
    "u32",
    "u64",
    "i64",
    "usize",
    "f64",
    "struct ",
    "sequence",
    "tuple",
    "variant",
    "enum ",
    "Option",
    "Vec<",
    "::",
    "Query",
    "eserializ",
];

/// Fails if an error says such a word, or one of `besides`, or what was sent.
#[track_caller]
pub(crate) fn assert_plain(text: &str, about: &str, besides: &[&str]) {
    for word in STRANGE.iter().chain(besides) {
        assert!(!text.contains(word), "{about}: `{word}` in {text}");
    }
    assert!(!text.contains("hunter2"), "{about}: what was sent stands in {text}");
}
