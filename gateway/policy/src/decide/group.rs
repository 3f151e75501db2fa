//! What a group says: all members are asked, and the group's answer is like that of one binding.

use std::collections::{BTreeMap, BTreeSet};

use super::evaluation::{Answer, Question};
use crate::binding::Node;
use crate::component::Failure;
use crate::question::Denial;

impl Node {
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

#[cfg(test)]
mod tests;
