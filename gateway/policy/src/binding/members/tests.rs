//! Tests of the members of groups.

use std::path::PathBuf;

use super::*;
use crate::binding::Place;

fn group(name: &str, rule: Rule) -> Group {
    let place = Place { file: PathBuf::from("a.toml"), line: 1 };
    let scope = Scope::ANY_ACCESS;
    Group { name: name.to_owned(), place, scope, mode: Mode::Enforce, rule }
}

fn resolved(
    groups: &[Group],
    bindings: &[(&'static str, Scope, bool)],
) -> Result<Resolved, String> {
    let members = bindings.iter().enumerate().map(|(position, (name, scope, has_match))| {
        (*name, Member { position, scope, has_match: *has_match, mode: Mode::Enforce })
    });
    resolve(groups, &members.collect()).map_err(|error| error.to_string())
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn members_are_asked_through_their_group_only() {
    let bindings = ["a", "b", "c"].map(|name| (name, Scope::ANY_ACCESS, false));
    let groups = [
        group("outer", Rule::All(set(&["a", "inner"]))),
        group("inner", Rule::Not("b".to_owned())),
    ];
    let found = resolved(&groups, &bindings).unwrap();
    assert_eq!(found.bindings, [2]);
    let [(0, outer)] = &found.groups[..] else { panic!("{found:?}") };
    assert_eq!(outer.leaves(), [0, 1]);
}

#[test]
fn groups_that_cannot_be_meant_are_refused() {
    let bindings = [
        ("a", Scope::ANY_ACCESS, false),
        ("matched", Scope::ANY_ACCESS, true),
        ("certificates", Scope::ANY_CERTIFICATE, false),
    ];
    let refused = |groups: &[Group]| resolved(groups, &bindings).unwrap_err();
    let one = |rule| refused(&[group("g", rule)]);
    assert!(one(Rule::All(set(&["x"]))).contains("a.toml:1: there is no binding or group `x`"));
    assert!(one(Rule::All(set(&["matched"]))).contains("take `match` and `mode` out"));
    assert!(one(Rule::Not("certificates".to_owned())).contains("decides about something else"));
    assert!(one(Rule::Any(set(&["g"]))).contains("is a member of itself"));
    let circle = [group("g", Rule::Not("h".to_owned())), group("h", Rule::All(set(&["a", "g"])))];
    assert!(refused(&circle).contains("is a member of itself"));
    let twice = [group("g", Rule::Not("a".to_owned())), group("h", Rule::All(set(&["a"])))];
    assert!(refused(&twice).contains("`a` is a member of the group `g` already"));
}
