//! The log: events of this process, one line each, on standard error.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use chancery_identity::Clock;
use tracing::span::{Attributes, Id, Record as Changed};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::line::{Record, span_as_json, span_as_text};
use super::throttle::{LeftOut, Turn};

/// Where lines come from that the log writes about itself.
const TARGET: &str = "chancery::log";

/// Writes the log. Clones write the same one.
#[derive(Clone)]
pub(super) struct Log(Arc<Inner>);

struct Inner {
    out: Mutex<Box<dyn Write + Send>>,
    json: bool,
    clock: Clock,
    /// None if everything is written, however often it comes.
    turn: Option<Mutex<Turn>>,
}

/// The fields of a span, kept with it.
struct OfSpan(Fields);

impl Log {
    /// A log as text or as JSON. `throttled` if what repeats itself is counted until
    /// [`Log::end_turn`] and not written.
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        json: bool,
        throttled: bool,
        clock: Clock,
    ) -> Self {
        let turn = throttled.then(Mutex::default);
        Self(Arc::new(Inner { out: Mutex::new(out), json, clock, turn }))
    }

    /// Writes how many lines were left out since the last time.
    pub(super) fn end_turn(&self) {
        let Some(turn) = &self.0.turn else { return };
        let left_out = turn.lock().unwrap_or_else(PoisonError::into_inner).end();
        for LeftOut { level, count, said, same } in left_out {
            let mut fields = Fields::of_event();
            let what = if same { "this was repeated" } else { "left out lines such as this" };
            fields.say(format_args!("{what} {count} times: {said}"));
            self.write(level, TARGET, &[], &fields);
        }
    }

    fn write(&self, level: Level, target: &str, spans: &[String], fields: &Fields) {
        let time = self.0.clock.now();
        let record = Record { time, level, target, spans, fields };
        let line = if self.0.json { record.json() } else { record.text() };
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing can be done, and nobody told, if the log cannot be written.
        let _ = out.write_all(line.as_bytes());
    }
}

impl<S> tracing_subscriber::Layer<S> for Log
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::of_span();
        attributes.record(&mut fields);
        span.extensions_mut().insert(OfSpan(fields));
    }

    fn on_record(&self, id: &Id, changed: &Changed<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(OfSpan(fields)) = span.extensions_mut().get_mut() {
            changed.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::of_event();
        event.record(&mut fields);
        let metadata = event.metadata();
        if let Some(turn) = &self.0.turn {
            let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let say = |limit| fields.summary(limit);
            if !turn.admits(metadata.callsite(), *metadata.level(), say) {
                return;
            }
        }
        let scope = context.event_scope(event).into_iter().flatten();
        let mut spans: Vec<_> = scope
            .filter_map(|span| {
                let extensions = span.extensions();
                let OfSpan(fields) = extensions.get()?;
                let show = if self.0.json { span_as_json } else { span_as_text };
                Some(show(span.name(), fields))
            })
            .collect();
        spans.reverse();
        self.write(*metadata.level(), metadata.target(), &spans, &fields);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use jiff::Timestamp;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Out {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn log(json: bool, throttled: bool) -> (Log, Out) {
        let out = Out::default();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        (Log::new(Box::new(out.clone()), json, throttled, clock), out)
    }

    fn with(log: &Log, work: impl FnOnce()) {
        tracing::subscriber::with_default(Registry::default().with(log.clone()), work);
    }

    #[test]
    fn a_line_names_the_spans_around_it_and_what_they_learned_later() {
        for json in [false, true] {
            let (log, out) = log(json, true);
            with(&log, || {
                let outer = tracing::info_span!("request", id = 7, status = tracing::field::Empty);
                let _outer = outer.enter();
                outer.record("status", 200);
                let inner = tracing::info_span!("inner");
                let _inner = inner.enter();
                tracing::info!(target: "here", "done");
            });
            let expected = if json {
                r#"{"timestamp":"1970-01-01T00:00:00.000000Z","level":"INFO","fields":{"message":"done"},"target":"here","spans":[{"name":"request","id":7,"status":200},{"name":"inner"}]}"#
            } else {
                "1970-01-01T00:00:00.000000Z  INFO request{id=7 status=200}:inner: here: done"
            };
            assert_eq!(out.text(), expected.to_owned() + "\n");
        }
    }

    #[test]
    fn a_warning_that_is_repeated_is_written_once_and_counted() {
        let (log, out) = log(false, true);
        with(&log, || {
            for n in 0..200 {
                tracing::warn!(failure = "no token", "waiting for the token");
                if n % 100 == 0 {
                    tracing::warn!(failure = n, "waiting for the token");
                }
            }
        });
        assert_eq!(out.text().matches("no token").count(), 1);
        assert_eq!(out.text().lines().count(), 3, "{}", out.text());
        log.end_turn();
        let text = out.text();
        let last = text.lines().last().unwrap();
        let told = r#"WARN chancery::log: this was repeated 199 times: waiting for the token failure="no token""#;
        assert!(last.ends_with(told), "{last}");
        log.end_turn();
        assert_eq!(out.text(), text);
    }

    #[test]
    fn without_the_throttle_everything_is_written() {
        let (log, out) = log(false, false);
        with(&log, || (0..50).for_each(|_| tracing::error!("again")));
        assert_eq!(out.text().lines().count(), 50);
    }
}
