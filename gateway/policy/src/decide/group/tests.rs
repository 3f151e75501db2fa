//! Tests of the rules that combine the answers of a group's members.

#![expect(clippy::unnecessary_wraps, reason = "answers, as evaluations give them")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::question::{AccessGrant, AccessRequest, Approval};

type Said = Answer<AccessGrant>;

fn allow(seconds: u64) -> Said {
    Ok(Ok(AccessGrant { max_ttl: Some(Duration::from_secs(seconds)), ..AccessGrant::default() }))
}

fn deny(code: &str) -> Said {
    Ok(Err(Denial::new(code, "", "")))
}

fn approval(group: &str, count: u32) -> Said {
    let mut denial = Denial::new(Denial::NEEDS_APPROVAL, "", "");
    let valid_for = Duration::from_mins(1);
    denial.approvals.push(Approval { group: group.to_owned(), count, valid_for });
    Ok(Err(denial))
}

fn combine(node: &Node, answers: &[Said]) -> Said {
    let mut answers = answers.iter().cloned().enumerate().collect();
    node.combine::<AccessRequest>(&mut answers)
}

fn leaves(count: usize) -> Vec<Node> {
    (0..count).map(Node::Leaf).collect()
}

fn all(answers: &[Said]) -> Said {
    combine(&Node::All(leaves(answers.len())), answers)
}

fn any(answers: &[Said]) -> Said {
    combine(&Node::Any(leaves(answers.len())), answers)
}

fn not(answer: Said) -> Said {
    combine(&Node::Not(Box::new(Node::Leaf(0))), &[answer])
}

fn code(said: Said) -> String {
    said.unwrap().unwrap_err().code
}

#[test]
fn all_allows_the_strictest_of_what_everybody_allows() {
    assert_eq!(all(&[allow(2), allow(1)]), allow(1));
    assert_eq!(code(all(&[allow(2), deny("no")])), "no");
    assert_eq!(code(all(&[approval("ops", 1), deny("no")])), "no");
    assert_eq!(all(&[approval("a", 1), approval("b", 1)]).unwrap().unwrap_err().approvals.len(), 2);
}

#[test]
fn any_allows_the_strictest_of_what_somebody_allows() {
    assert_eq!(any(&[deny("no"), allow(2), allow(1)]), allow(1));
    assert_eq!(any(&[approval("ops", 1), allow(2)]), allow(2));
    assert_eq!(code(any(&[deny("no"), deny("never")])), Denial::GROUP);
    let easiest = any(&[approval("board", 2), approval("ops", 1), deny("no")]);
    assert_eq!(easiest.unwrap().unwrap_err().approvals[0].group, "ops");
}

#[test]
fn not_allows_what_is_denied_and_nothing_else() {
    assert_eq!(not(deny("no")), Ok(Ok(AccessGrant::default())));
    assert_eq!(code(not(allow(1))), Denial::GROUP);
    assert_eq!(code(not(approval("ops", 1))), Denial::GROUP);
}

fn answers() -> impl Strategy<Value = Vec<Said>> {
    let one = prop_oneof![
        (1..5u64).prop_map(allow),
        Just(deny("no")),
        Just(deny("never")),
        (1..3u32).prop_map(|count| approval("ops", count)),
        Just(Err(Failure::Deadline(Duration::ZERO))),
    ];
    prop::collection::vec(one, 1..6)
}

/// A group over so many leaves, each used once.
fn tree(leaves: Vec<usize>) -> BoxedStrategy<Node> {
    if let [only] = leaves[..] {
        let leaf = move || Node::Leaf(only);
        return prop::bool::ANY
            .prop_map(move |negated| if negated { Node::Not(Box::new(leaf())) } else { leaf() })
            .boxed();
    }
    (1..leaves.len(), prop::bool::ANY)
        .prop_flat_map(move |(at, every)| {
            let (left, right) = (leaves[..at].to_vec(), leaves[at..].to_vec());
            (tree(left), tree(right)).prop_map(move |(left, right)| {
                if every { Node::All(vec![left, right]) } else { Node::Any(vec![left, right]) }
            })
        })
        .boxed()
}

proptest! {
    #[test]
    fn the_order_of_members_does_not_matter(said in answers()) {
        let reversed: Vec<_> = said.iter().rev().cloned().collect();
        let verdict = |said: Said| said.map(|answer| answer.map_err(|denial| denial.code)).ok();
        prop_assert_eq!(all(&said).is_ok_and(|a| a.is_ok()), all(&reversed).is_ok_and(|a| a.is_ok()));
        prop_assert_eq!(verdict(any(&said)), verdict(any(&reversed)));
    }

    #[test]
    fn a_member_that_failed_never_leads_to_a_permission(
        (said, node) in answers().prop_flat_map(|said| {
            let count = said.len();
            (Just(said), tree((0..count).collect()))
        })
    ) {
        let answer = combine(&node, &said);
        if said.iter().any(Result::is_err) {
            prop_assert!(answer.is_err(), "{:?} of {:?}", answer, said);
        } else {
            prop_assert!(answer.is_ok());
        }
    }
}
