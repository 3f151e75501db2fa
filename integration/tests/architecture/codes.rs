//! Finds the stable codes of refusals and failures in source text.

/// What is called with a code as its first argument.
const TAKES_A_CODE: [&str; 3] = [".failed(", ".denied(", "Denied::new("];

/// The codes that this source gives: those in functions with the name `code`, in the constants of denials, and
/// those with which operations end.
pub(crate) fn given(source: &str) -> Vec<String> {
    let mut found = vec![];
    for (at, _) in source.match_indices("fn code(") {
        let body = &source[at..];
        // The end of the function, at either depth.
        let end = ["\n    }\n", "\n}\n"].iter().filter_map(|end| body.find(end)).min();
        let body = &body[..end.unwrap_or(body.len())];
        found.extend(body.split("=> ").skip(1).filter_map(first_code));
        found.extend(body.split("{ ").skip(1).filter_map(first_code));
    }
    for call in TAKES_A_CODE {
        found.extend(source.split(call).skip(1).filter_map(|rest| first_code(rest.trim_start())));
    }
    if source.contains("pub struct Denial") || source.contains("impl Denial") {
        found.extend(source.split(": &'static str = ").skip(1).filter_map(first_code));
    }
    found
}

/// The code with which a piece of source begins.
fn first_code(text: &str) -> Option<String> {
    let (code, _) = text.strip_prefix('"')?.split_once('"')?;
    let is_code = code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !code.is_empty();
    is_code.then(|| code.to_owned())
}

#[test]
fn codes_are_found_where_they_are_given() {
    let source = r#"
    fn code(&self) -> &str {
        match self { Self::A => "a-code", Self::B { code } => code }
    }
    fn other() { event.failed("not-done"); Denied::new(
        "no-right", "text"); x => "no code"; }
    "#;
    assert_eq!(given(source), ["a-code", "not-done", "no-right"]);
}
