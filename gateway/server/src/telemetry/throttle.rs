//! Counts warnings that repeat, instead of writing them again.
//!
//! Time is divided into turns. In each turn the same warning (the same place in the code and the same
//! text) is written once, and a place in the code writes at most [`DIFFERENT`] different warnings, and
//! at most [`MESSAGES`] lines that are not warnings. At the end of a turn one line for each says how
//! many were left out. So a gateway that waits for a token, or a peer that fails a thousand
//! handshakes, does not bury the rest of the log.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tracing::Level;
use tracing::callsite::Identifier;

/// How many different warnings one place in the code may write in a turn.
const DIFFERENT: usize = 20;
/// How many lines that are neither warnings nor errors one place in the code may write in a turn.
const MESSAGES: u64 = 1000;
/// How much of a line the summary repeats.
const SUMMARY: usize = 512;

/// The lines of this turn.
#[derive(Debug, Default)]
pub(super) struct Turn(HashMap<Identifier, Place>);

/// The lines of one place in the code.
#[derive(Debug, Default)]
struct Place {
    /// Warnings by a hash of their text.
    warnings: HashMap<u64, Warning>,
    /// Lines that are not warnings.
    messages: u64,
    /// Lines beyond what a place may write, and the text of the last one.
    beyond: Option<Warning>,
}

#[derive(Debug)]
struct Warning {
    level: Level,
    /// How often it was left out.
    left_out: u64,
    said: String,
}

/// A line that was left out of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// The level of these lines.
    pub(super) level: Level,
    pub(super) count: u64,
    /// The text: the line itself, or the last of several.
    pub(super) said: String,
    /// Whether all had the same text.
    pub(super) same: bool,
}

impl Turn {
    /// Whether a line may be written. `say` returns its text, in at most the given number of bytes.
    pub(super) fn admits(
        &mut self,
        place: Identifier,
        level: Level,
        say: impl Fn(usize) -> String,
    ) -> bool {
        if level > Level::INFO {
            return true;
        }
        let place = self.0.entry(place).or_default();
        if level == Level::INFO {
            place.messages += 1;
            if place.messages <= MESSAGES {
                return true;
            }
        } else {
            let mut hasher = DefaultHasher::new();
            say(usize::MAX).hash(&mut hasher);
            let said = hasher.finish();
            if let Some(known) = place.warnings.get_mut(&said) {
                known.left_out += 1;
                return false;
            }
            if place.warnings.len() < DIFFERENT {
                let warning = Warning { level, left_out: 0, said: say(SUMMARY) };
                place.warnings.insert(said, warning);
                return true;
            }
        }
        let left_out = place.beyond.as_ref().map_or(0, |beyond| beyond.left_out) + 1;
        place.beyond = Some(Warning { level, left_out, said: say(SUMMARY) });
        false
    }

    /// Ends the turn and returns what it left out.
    pub(super) fn end(&mut self) -> Vec<LeftOut> {
        let places = std::mem::take(&mut self.0);
        let all = places.into_values().flat_map(|place| {
            let same = place.warnings.into_values().map(|warning| (warning, true));
            same.chain(place.beyond.map(|warning| (warning, false)))
        });
        let mut left_out: Vec<_> = all
            .filter(|(warning, _)| warning.left_out > 0)
            .map(|(warning, same)| LeftOut {
                level: warning.level,
                count: warning.left_out,
                said: warning.said,
                same,
            })
            .collect();
        left_out.sort_by(|one, other| one.said.cmp(&other.said));
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! place {
        () => {{
            static PLACE: tracing::callsite::DefaultCallsite =
                tracing::callsite::DefaultCallsite::new(&META);
            static META: tracing::Metadata<'static> = tracing::metadata! {
                name: "place", target: "here", level: Level::WARN, fields: &[],
                callsite: &PLACE, kind: tracing::metadata::Kind::EVENT,
            };
            META.callsite()
        }};
    }

    #[test]
    fn the_same_warning_is_written_once_in_a_turn() {
        let (one, other) = (place!(), place!());
        let mut turn = Turn::default();
        let mut say = |place: &Identifier, said: &str| {
            turn.admits(place.clone(), Level::WARN, |_| said.to_owned())
        };
        assert!(say(&one, "waiting"));
        for _ in 0..199 {
            assert!(!say(&one, "waiting"));
        }
        assert!(say(&one, "something else"));
        assert!(say(&other, "waiting"));
        let left_out =
            |count| LeftOut { level: Level::WARN, count, said: "waiting".to_owned(), same: true };
        assert_eq!(turn.end(), [left_out(199)]);
        assert_eq!(turn.end(), []);
        assert!(turn.admits(one, Level::WARN, |_| "waiting".to_owned()));
    }

    #[test]
    fn a_place_says_only_so_much_that_is_different() {
        let one = place!();
        let mut turn = Turn::default();
        let written = (0..1_000_u32)
            .filter(|n| turn.admits(one.clone(), Level::ERROR, |_| format!("{n:04}")))
            .count();
        assert_eq!(written, DIFFERENT);
        let said =
            LeftOut { level: Level::ERROR, count: 980, said: "0999".to_owned(), same: false };
        assert_eq!(turn.end(), [said]);
    }

    #[test]
    fn what_is_no_warning_may_repeat_itself_within_reason() {
        let one = place!();
        let mut turn = Turn::default();
        let mut written = |level| {
            let say = |_| turn.admits(one.clone(), level, |_| "served".to_owned());
            (0..5_000).map(say).filter(|written| *written).count()
        };
        assert_eq!(written(Level::DEBUG), 5_000);
        assert_eq!(written(Level::INFO), 1_000);
        assert_eq!(turn.end().iter().map(|left_out| left_out.count).sum::<u64>(), 4_000);
    }
}
