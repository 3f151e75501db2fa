//! Finds the members of groups.

use std::collections::{BTreeMap, BTreeSet};

use super::{Group, InvalidDocument, Mode, Rule, Scope};

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
}

/// Finds the members of every group, and says which bindings are members of none. `bindings` gives the
/// positions of bindings and what they decide about.
pub(crate) fn resolve(
    groups: &[Group],
    bindings: &BTreeMap<&str, Member<'_>>,
) -> Result<Resolved, InvalidDocument> {
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
) -> Result<(), InvalidDocument> {
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
) -> Result<Node, InvalidDocument> {
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

fn wrong(group: &Group, message: String) -> InvalidDocument {
    InvalidDocument { place: group.place.clone(), message }
}

#[cfg(test)]
mod tests;
