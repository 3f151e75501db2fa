//! Whose turn it is. Decisions that ask the same bindings wait in one lane. Lanes take turns, and none
//! may hold all of the threads, so that no policy keeps those waiting who do not ask it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::share::Share;

/// The bindings that a decision asks.
pub(crate) type Shares = Vec<Arc<Share>>;

/// Which threads a decision waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Those that serve everybody.
    Usual,
    /// The one for policies that pass their deadlines every time.
    Slow,
}

/// Decisions that wait, and what is known of those that run.
#[derive(Debug)]
pub(crate) struct Schedule<J> {
    lanes: HashMap<LaneId, Lane<J>>,
    /// Lanes in which a decision waits; the first has waited longest for its turn.
    turns: VecDeque<LaneId>,
    waiting: usize,
    capacity: usize,
    /// How many decisions of one lane may run at once.
    abreast: usize,
}

/// A lane is named by the addresses of its shares, which live as long as there is a decision in it.
pub(crate) type LaneId = Vec<usize>;

#[derive(Debug)]
struct Lane<J> {
    shares: Shares,
    jobs: VecDeque<J>,
    running: usize,
}

impl<J> Schedule<J> {
    /// With room for so many decisions, half of them in one lane, of which so many may run at once.
    pub(crate) fn new(capacity: usize, abreast: usize) -> Self {
        Self { lanes: HashMap::new(), turns: VecDeque::new(), waiting: 0, capacity, abreast }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Lets a decision wait; gives it back if there is no room.
    pub(crate) fn push(&mut self, shares: Shares, job: J) -> Result<(), J> {
        let id: LaneId = shares.iter().map(|share| Arc::as_ptr(share).addr()).collect();
        let in_lane = self.lanes.get(&id).map_or(0, |lane| lane.jobs.len());
        if self.waiting >= self.capacity || in_lane >= self.capacity.div_ceil(2) {
            return Err(job);
        }
        self.waiting += 1;
        if in_lane == 0 {
            self.turns.push_back(id.clone());
        }
        let empty = || Lane { shares, jobs: VecDeque::new(), running: 0 };
        self.lanes.entry(id).or_insert_with(empty).jobs.push_back(job);
        Ok(())
    }

    /// The next decision that may run at this pace, with its lane, which has to be told
    /// [when it has ended](Self::end).
    pub(crate) fn pop(&mut self, pace: Pace) -> Option<(LaneId, J)> {
        let next = self.turns.iter().position(|id| {
            let lane = self.lanes.get(id);
            lane.is_some_and(|lane| lane.pace() == pace && lane.has_room(self.abreast))
        })?;
        let id = self.turns.remove(next)?;
        let lane = self.lanes.get_mut(&id)?;
        let job = lane.jobs.pop_front()?;
        lane.running += 1;
        for share in &lane.shares {
            share.begin();
        }
        if !lane.jobs.is_empty() {
            self.turns.push_back(id.clone());
        }
        self.waiting -= 1;
        Some((id, job))
    }

    /// A decision of the lane has ended.
    pub(crate) fn end(&mut self, id: &LaneId) {
        let Some(lane) = self.lanes.get_mut(id) else { return };
        lane.running -= 1;
        for share in &lane.shares {
            share.end();
        }
        if lane.running == 0 && lane.jobs.is_empty() {
            self.lanes.remove(id);
        }
    }
}

impl<J> Lane<J> {
    fn pace(&self) -> Pace {
        let slow = self.shares.iter().any(|share| share.is_slow());
        if slow { Pace::Slow } else { Pace::Usual }
    }

    fn has_room(&self, abreast: usize) -> bool {
        self.running < abreast && self.shares.iter().all(|share| share.has_room())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::component::Failure;

    fn share(limit: usize) -> Arc<Share> {
        Arc::new(Share::new("b", Some(limit)))
    }

    #[test]
    fn lanes_take_turns_whatever_waits_in_them() {
        let (busy, calm) = (share(9), share(9));
        let mut schedule = Schedule::new(20, 9);
        for job in ["b1", "b2", "b3"] {
            schedule.push(vec![busy.clone()], job).unwrap();
        }
        schedule.push(vec![calm], "c1").unwrap();
        let order: Vec<_> =
            std::iter::from_fn(|| schedule.pop(Pace::Usual)).map(|(_, job)| job).collect();
        assert_eq!(order, ["b1", "c1", "b2", "b3"]);
    }

    #[test]
    fn a_binding_runs_as_often_at_once_as_its_share_allows() {
        let (small, large) = (share(1), share(9));
        let mut schedule = Schedule::new(20, 9);
        schedule.push(vec![small.clone()], 1).unwrap();
        schedule.push(vec![small.clone(), large.clone()], 2).unwrap();
        schedule.push(vec![large], 3).unwrap();
        let (held, first) = schedule.pop(Pace::Usual).unwrap();
        assert_eq!(first, 1);
        assert_eq!(schedule.pop(Pace::Usual).unwrap().1, 3, "2 needs the share that 1 holds");
        assert!(schedule.pop(Pace::Usual).is_none());
        schedule.end(&held);
        assert_eq!(schedule.pop(Pace::Usual).unwrap().1, 2);
    }

    #[test]
    fn a_lane_leaves_threads_to_others_also_to_those_who_ask_one_of_its_bindings() {
        let (shared, own) = (share(9), share(9));
        let mut schedule = Schedule::new(20, 1);
        schedule.push(vec![shared.clone(), own.clone()], 1).unwrap();
        schedule.push(vec![shared.clone(), own], 2).unwrap();
        schedule.push(vec![shared], 3).unwrap();
        let (held, first) = schedule.pop(Pace::Usual).unwrap();
        assert_eq!(first, 1);
        assert_eq!(schedule.pop(Pace::Usual).unwrap().1, 3);
        assert!(schedule.pop(Pace::Usual).is_none());
        schedule.end(&held);
        assert_eq!(schedule.pop(Pace::Usual).unwrap().1, 2);
    }

    #[test]
    fn one_lane_cannot_fill_the_queue() {
        let (flood, other) = (share(1), share(1));
        let mut schedule = Schedule::new(4, 9);
        assert!(schedule.push(vec![flood.clone()], 1).is_ok());
        assert!(schedule.push(vec![flood.clone()], 2).is_ok());
        assert_eq!(schedule.push(vec![flood], 3), Err(3));
        assert!(schedule.push(vec![other.clone()], 4).is_ok());
        assert!(schedule.push(vec![other], 5).is_ok());
        assert_eq!(schedule.push(vec![share(1)], 6), Err(6));
    }

    #[test]
    fn what_is_late_every_time_waits_for_the_slow_thread() {
        let slow = share(9);
        let mut schedule = Schedule::new(4, 9);
        schedule.push(vec![slow.clone(), share(9)], 1).unwrap();
        for _ in 0..3 {
            slow.ended(Some(&Failure::Deadline(std::time::Duration::ZERO)));
        }
        assert!(schedule.pop(Pace::Usual).is_none());
        assert_eq!(schedule.pop(Pace::Slow).unwrap().1, 1);
    }

    proptest! {
        #[test]
        fn every_decision_that_was_taken_is_run_once_and_no_share_is_exceeded(
            limits in prop::collection::vec(1..3usize, 1..4),
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..80),
        ) {
            let shares: Vec<_> = limits.iter().map(|limit| share(*limit)).collect();
            let mut schedule = Schedule::new(16, 2);
            let (mut taken, mut ran, mut running) = (Vec::new(), Vec::new(), Vec::<LaneId>::new());
            for (number, (push, index, mask)) in steps.into_iter().enumerate() {
                if push {
                    let wanted: Shares = shares
                        .iter()
                        .enumerate()
                        .filter(|(at, _)| mask >> at & 1 == 1 || *at == index.index(shares.len()))
                        .map(|(_, share)| share.clone())
                        .collect();
                    if schedule.push(wanted, number).is_ok() {
                        taken.push(number);
                    }
                } else if let Some((held, job)) = schedule.pop(Pace::Usual) {
                    ran.push(job);
                    running.push(held);
                } else if !running.is_empty() {
                    let held = running.swap_remove(index.index(running.len()));
                    schedule.end(&held);
                }
                for (share, limit) in shares.iter().zip(&limits) {
                    let address = Arc::as_ptr(share).addr();
                    let count = running.iter().filter(|held| held.contains(&address)).count();
                    prop_assert!(count <= *limit);
                }
                for lane in &running {
                    prop_assert!(running.iter().filter(|other| *other == lane).count() <= 2);
                }
            }
            loop {
                while let Some((held, job)) = schedule.pop(Pace::Usual) {
                    ran.push(job);
                    running.push(held);
                }
                match running.pop() {
                    Some(held) => schedule.end(&held),
                    None => break,
                }
            }
            ran.sort_unstable();
            prop_assert_eq!(ran, taken);
            prop_assert_eq!(schedule.waiting(), 0);
        }
    }
}
