//! Groups: bindings that decide together. All members are asked; what the group says of it is an
//! answer like that of one binding.

use std::collections::{BTreeMap, BTreeSet};

use crate::Denial;
use crate::binding::{Mode, Scope};
use crate::error::{LoadError, Place};
use crate::evaluation::{Answer, Failure, Question};

/// One group, as its document says it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) scope: Scope,
    pub(crate) mode: Mode,
    pub(crate) rule: Rule,
}

/// How the members' answers become one. They are sets, so their order cannot matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What every member allows.
    All(BTreeSet<String>),
    /// What some member allows.
    Any(BTreeSet<String>),
    /// What the member denies.
    Not(String),
}

impl Rule {
    pub(crate) fn members(&self) -> Vec<&str> {
        match self {
            Self::All(members) | Self::Any(members) => members.iter().map(String::as_str).collect(),
            Self::Not(member) => vec![member],
        }
    }
}

/// A group with its members found: leaves are positions of bindings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Leaf(usize),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

impl Node {
    /// The bindings in it.
    pub(crate) fn leaves(&self) -> Vec<usize> {
        match self {
            Self::Leaf(at) => vec![*at],
            Self::All(members) | Self::Any(members) => {
                members.iter().flat_map(Self::leaves).collect()
            }
            Self::Not(member) => member.leaves(),
        }
    }

    /// Makes one answer of the members' ones. A member that failed is no member that denied: whatever
    /// the rule, the group then fails.
    pub(crate) fn combine<Q: Question>(
        &self,
        answers: &mut BTreeMap<usize, Answer<Q::Allowed>>,
    ) -> Answer<Q::Allowed> {
        let mut said = |member: &Self| member.combine::<Q>(answers);
        match self {
            Self::Leaf(at) => answers
                .remove(at)
                .unwrap_or_else(|| Err(Failure::Member("it was not asked".to_owned()))),
            Self::All(members) => {
                let (allowed, denied) = split::<Q>(members.iter().map(said).collect())?;
                Ok(match denied.into_iter().reduce(Denial::worse) {
                    Some(denial) => Err(denial),
                    None => Q::merge(allowed),
                })
            }
            Self::Any(members) => {
                let (allowed, denied) = split::<Q>(members.iter().map(said).collect())?;
                Ok(if allowed.is_empty() { Err(nobody(denied)) } else { Q::merge(allowed) })
            }
            Self::Not(member) => Ok(match said(member)? {
                Err(denial) if denial.approvals.is_empty() => Ok(Q::unobjected()),
                Ok(_) | Err(_) => Err(refused("what the group negates does not deny")),
            }),
        }
    }
}

type Split<T> = Result<(Vec<T>, Vec<Denial>), Failure>;

fn split<Q: Question>(answers: Vec<Answer<Q::Allowed>>) -> Split<Q::Allowed> {
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer.map_err(|failure| Failure::Member(failure.to_string()))? {
            Ok(grant) => allowed.push(grant),
            Err(denial) => denied.push(denial),
        }
    }
    Ok((allowed, denied))
}

/// No member allows it. One approval would do, so the one that is easiest to get is named.
fn nobody(denied: Vec<Denial>) -> Denial {
    let codes: BTreeSet<&str> = denied.iter().map(|denial| denial.code.as_str()).collect();
    let reasons = codes.into_iter().collect::<Vec<_>>().join(", ");
    let easiest = |denial: &Denial| {
        let approvals = denial.approvals.iter();
        let people: u32 = approvals.clone().map(|approval| approval.count).sum();
        let groups: Vec<_> = approvals.map(|approval| approval.group.clone()).collect();
        (people, groups)
    };
    denied
        .into_iter()
        .filter(|denial| !denial.approvals.is_empty())
        .min_by_key(easiest)
        .unwrap_or_else(|| refused(&format!("no member of the group allows it: {reasons}")))
}

fn refused(audit: &str) -> Denial {
    Denial::new(Denial::GROUP, "the policies do not allow this", audit)
}

/// Finds the members of every group, and says which bindings are members of none. `bindings` gives the
/// positions of bindings and what they decide about.
pub(crate) fn resolve(
    groups: &[Group],
    bindings: &BTreeMap<&str, Member<'_>>,
) -> Result<Resolved, LoadError> {
    let by_name: BTreeMap<&str, &Group> =
        groups.iter().map(|group| (group.name.as_str(), group)).collect();
    let mut owner: BTreeMap<&str, &str> = BTreeMap::new();
    for group in groups {
        for member in group.rule.members() {
            check(group, member, &by_name, bindings)?;
            if let Some(other) = owner.insert(member, &group.name) {
                let message = format!("`{member}` is a member of the group `{other}` already");
                return Err(wrong(group, message));
            }
        }
    }
    let mut nodes = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let node = node(group, &by_name, bindings, &mut BTreeSet::new())?;
        if !owner.contains_key(group.name.as_str()) {
            nodes.push((at, node));
        }
    }
    let free = bindings.iter().filter(|(name, _)| !owner.contains_key(**name));
    Ok(Resolved { groups: nodes, bindings: free.map(|(_, member)| member.position).collect() })
}

/// What is asked by itself.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Positions of groups, with their members.
    pub(crate) groups: Vec<(usize, Node)>,
    /// Positions of bindings.
    pub(crate) bindings: Vec<usize>,
}

/// A binding, as groups see it.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) position: usize,
    pub(crate) scope: &'a Scope,
    pub(crate) has_match: bool,
    pub(crate) mode: Mode,
}

fn check(
    group: &Group,
    member: &str,
    groups: &BTreeMap<&str, &Group>,
    bindings: &BTreeMap<&str, Member<'_>>,
) -> Result<(), LoadError> {
    let scope = match (bindings.get(member), groups.get(member)) {
        (Some(binding), _) => {
            if binding.has_match || binding.mode == Mode::Monitor {
                let message = format!(
                    "`{member}` is asked through the group: take `match` and `mode` out of the \
                     binding, the group's count"
                );
                return Err(wrong(group, message));
            }
            binding.scope
        }
        (None, Some(inner)) => &inner.scope,
        (None, None) => {
            let message = format!("there is no binding or group `{member}`");
            return Err(wrong(group, message));
        }
    };
    if scope.decision() == group.scope.decision() {
        return Ok(());
    }
    Err(wrong(group, format!("`{member}` decides about something else than the group")))
}

fn node<'a>(
    group: &'a Group,
    groups: &BTreeMap<&str, &'a Group>,
    bindings: &BTreeMap<&str, Member<'_>>,
    above: &mut BTreeSet<&'a str>,
) -> Result<Node, LoadError> {
    if !above.insert(&group.name) {
        return Err(wrong(group, format!("the group `{}` is a member of itself", group.name)));
    }
    let mut members = Vec::new();
    for member in group.rule.members() {
        members.push(match (bindings.get(member), groups.get(member)) {
            (Some(binding), _) => Node::Leaf(binding.position),
            (None, Some(inner)) => node(inner, groups, bindings, above)?,
            (None, None) => return Err(wrong(group, format!("there is no `{member}`"))),
        });
    }
    above.remove(group.name.as_str());
    Ok(match &group.rule {
        Rule::All(_) => Node::All(members),
        Rule::Any(_) => Node::Any(members),
        Rule::Not(_) => Node::Not(Box::new(Node::All(members))),
    })
}

fn wrong(group: &Group, message: String) -> LoadError {
    LoadError::Document { place: group.place.clone(), message }
}

#[cfg(test)]
mod tests;
