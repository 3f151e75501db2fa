//! What a connection is doing, as its stream and its requests report it, and from that, when it has
//! done nothing good for too long.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::deadlines::Deadlines;
use super::pace::Pace;

/// How long a connection has to close that was told to.
const FAREWELL: Duration = Duration::from_secs(5);

/// So many more requests may a peer give up than it lets finish. A peer that resets each HTTP/2 stream
/// it has opened makes work without ever having too many streams (CVE-2023-44487).
const GIVEN_UP: u32 = 100;

/// So many bytes may come that hold nothing for HTTP. What TLS adds is little, but records can be empty, and
/// decrypting them costs as much (RFC 8446 §5.4).
const HIDDEN: usize = 256 * 1024;

/// The state of one connection, shared by its stream, its requests and its watcher.
#[derive(Debug)]
pub(super) struct Activity {
    deadlines: Deadlines,
    state: Mutex<State>,
    over: Notify,
    /// Whether a request has come.
    asked: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    /// Since when nothing has been under way.
    quiet_since: Instant,
    /// Whether a byte of HTTP has come.
    spoke: bool,
    /// Bytes that have come since something was in them.
    hidden: usize,
    /// Since when the headers of a request are arriving; HTTP/1.1 only.
    head_since: Option<Instant>,
    /// HTTP/2: whatever comes between requests is no beginning of one.
    multiplexed: bool,
    under_way: usize,
    /// Since when something has been under way without anything being done.
    busy_since: Option<Instant>,
    peer: Peer,
    given_up: u32,
    /// Writing to the peer.
    writing: Pace,
    /// The answers of which a part was handed to HTTP/2 and not yet taken by the peer, since when.
    handed: HashMap<u64, Instant>,
    next: u64,
    /// Whether the rest of a request may still be on its way although it was answered.
    unread: bool,
    /// Since when the connection has been closing.
    parting_since: Option<Instant>,
    ended: Option<Ended>,
}

/// Whether a peer has shown who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Stranger,
    Known,
}

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// No byte came.
    Silent,
    /// The headers of a request did not end.
    Headers,
    /// No request came.
    Idle,
    /// Answers were not read.
    Stalled,
    /// It was told to close, and did not.
    Farewell,
    /// The peer gave up most of what it had asked for.
    GivingUp,
    /// Most of what came asked for nothing.
    Noisy,
    /// Something else was spoken than what was negotiated.
    OtherProtocol,
    /// Others wanted its place.
    Displaced,
}

/// What is to be done about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing; look again then.
    Fine(Instant),
    /// Close it, and let it finish what it is sending.
    Close(Ended),
    /// End it.
    End(Ended),
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    number: u64,
    answered: bool,
}

impl Activity {
    pub(super) fn new(deadlines: Deadlines, now: Instant) -> Self {
        let state = State {
            quiet_since: now,
            spoke: false,
            hidden: 0,
            head_since: None,
            multiplexed: false,
            under_way: 0,
            busy_since: None,
            peer: Peer::Stranger,
            given_up: 0,
            writing: Pace::new(deadlines.answers()),
            handed: HashMap::new(),
            next: 0,
            unread: false,
            parting_since: None,
            ended: None,
        };
        let (over, asked) = (Notify::new(), watch::Sender::new(false));
        Self { deadlines, state: Mutex::new(state), over, asked }
    }

    /// HTTP begins now: what was before (a TLS handshake) had its own deadline.
    pub(super) fn begins(&self, now: Instant, multiplexed: bool) {
        let mut state = self.state();
        state.quiet_since = now;
        state.spoke = false;
        state.head_since = None;
        state.multiplexed = multiplexed;
    }

    /// The peer has shown who it is.
    pub(super) fn is_known(&self) {
        self.state().peer = Peer::Known;
    }

    /// Bytes have come, in TLS where there is TLS.
    pub(super) fn received(&self, now: Instant, bytes: usize) {
        let mut state = self.state();
        state.hidden = state.hidden.saturating_add(bytes);
        if state.hidden > HIDDEN {
            drop(state);
            return self.end(Ended::Noisy);
        }
        if !state.spoke {
            state.spoke = true;
            state.quiet_since = now;
        }
        if state.under_way == 0 && !state.multiplexed {
            state.head_since.get_or_insert(now);
        }
    }

    /// There was something in the bytes that have come.
    pub(super) fn delivered(&self) {
        self.state().hidden = 0;
    }

    /// The peer took bytes.
    pub(super) fn wrote(&self, now: Instant, bytes: usize) {
        self.state().writing.moved(now, bytes);
    }

    /// The peer takes no bytes.
    pub(super) fn waits_to_write(&self, now: Instant) {
        self.state().writing.waits(now);
    }

    /// Waits for the first request.
    pub(super) async fn asked(&self) {
        // It lives as long as this does.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }

    /// A request has come, by HTTP/2 or not.
    pub(super) fn request(self: &Arc<Self>, multiplexed: bool) -> UnderWay {
        self.asked.send_if_modified(|asked| !std::mem::replace(asked, true));
        let mut state = self.state();
        state.spoke = true;
        state.multiplexed |= multiplexed;
        state.head_since = None;
        state.under_way += 1;
        state.busy_since.get_or_insert_with(Instant::now);
        state.next += 1;
        UnderWay { activity: self.clone(), number: state.next, answered: false }
    }

    /// The rest of a request's body is of no interest.
    pub(super) fn leaves_unread(&self) {
        self.state().unread = true;
    }

    /// Whether something may be on its way that nobody will read.
    pub(super) fn may_have_left_unread(&self) -> bool {
        let state = self.state();
        state.unread || state.head_since.is_some()
    }

    /// Since when it has been idle; none if something is under way or it has ended.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.under_way == 0 && state.ended.is_none()).then_some(state.quiet_since)
    }

    /// Since when a stranger has had requests under way without finishing one. None for a client with a certificate.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        let state = self.state();
        state.busy_since.filter(|_| state.peer == Peer::Stranger && state.ended.is_none())
    }

    /// The connection is told to close.
    pub(super) fn parts(&self, now: Instant) {
        self.state().parting_since.get_or_insert(now);
    }

    /// The connection is told to close for a reason.
    pub(super) fn closes(&self, reason: Ended, now: Instant) {
        let mut state = self.state();
        state.parting_since.get_or_insert(now);
        state.ended.get_or_insert(reason);
    }

    /// Ends it for a reason; the first reason counts.
    pub(super) fn end(&self, reason: Ended) {
        self.state().ended.get_or_insert(reason);
        self.over.notify_one();
    }

    /// Why it was ended, or is being closed.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.state().ended
    }

    /// Waits until it [ends](Self::end). One waits, for all its time.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// Whether it may go on.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let state = self.state();
        let Deadlines { first_byte, headers, idle, stall, .. } = self.deadlines;
        let quiet = if state.under_way > 0 {
            None
        } else if let Some(since) = state.parting_since {
            Some((since.max(state.quiet_since) + FAREWELL, Verdict::End(Ended::Farewell)))
        } else if let Some(since) = state.head_since {
            Some((since + headers, Verdict::End(Ended::Headers)))
        } else if state.spoke {
            Some((state.quiet_since + idle, Verdict::Close(Ended::Idle)))
        } else {
            Some((state.quiet_since + first_byte, Verdict::Close(Ended::Silent)))
        };
        let stalled =
            [state.writing.deadline(), state.handed.values().min().map(|since| *since + stall)];
        let stalled = stalled.into_iter().flatten().map(|at| (at, Verdict::End(Ended::Stalled)));
        match stalled.chain(quiet).min_by_key(|(at, _)| *at) {
            Some((at, verdict)) if at <= now => verdict,
            Some((at, _)) => Verdict::Fine(at.min(now + self.deadlines.shortest())),
            None => Verdict::Fine(now + self.deadlines.shortest()),
        }
    }

    /// Nothing panics while it holds the lock, and each change is complete by itself.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// It was answered; the answer may be on its way.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// A part of the answer was handed over, and the peer should take it.
    pub(super) fn handed(&self, now: Instant) {
        self.activity.state().handed.insert(self.number, now);
    }

    /// The peer took it.
    pub(super) fn taken(&self) {
        self.activity.state().handed.remove(&self.number);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.handed.remove(&self.number);
        state.under_way = state.under_way.saturating_sub(1);
        let now = Instant::now();
        if state.under_way == 0 {
            state.quiet_since = now;
            state.busy_since = None;
        } else if self.answered {
            state.busy_since = Some(now);
        }
        if self.answered {
            state.given_up = state.given_up.saturating_sub(1);
        } else {
            state.given_up += 1;
            if state.given_up > GIVEN_UP {
                drop(state);
                self.activity.end(Ended::GivingUp);
            }
        }
    }
}

impl Ended {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::Silent,
        Self::Headers,
        Self::Idle,
        Self::Stalled,
        Self::Farewell,
        Self::GivingUp,
        Self::Noisy,
        Self::Displaced,
        Self::OtherProtocol,
    ];

    /// A short word for metrics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Headers => "headers",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Farewell => "farewell",
            Self::GivingUp => "giving-up",
            Self::Noisy => "noisy",
            Self::OtherProtocol => "other-protocol",
            Self::Displaced => "displaced",
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "no byte of a request came in time",
            Self::Headers => "the headers of a request did not end in time",
            Self::Idle => "it was idle",
            Self::Stalled => "answers were not read in time",
            Self::Farewell => "it was told to close and did not",
            Self::GivingUp => "most of the requests were given up by the peer",
            Self::Noisy => "most of what came asked for nothing",
            Self::OtherProtocol => "it speaks another protocol than was negotiated",
            Self::Displaced => "it was idle, or a slow stranger's, and others wanted its place",
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::pace::Rate;
    use super::*;

    pub(in super::super) fn deadlines() -> Deadlines {
        Deadlines {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            headers: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            body: Rate { bytes_per_second: 512, grace: Duration::from_secs(10) },
            stall: Duration::from_secs(30),
            ping: Duration::from_secs(30),
            pong: Duration::from_secs(20),
        }
    }

    /// A connection whose time goes on in steps.
    struct Case {
        activity: Arc<Activity>,
        now: Instant,
    }

    impl Case {
        fn new(multiplexed: bool) -> Self {
            let now = Instant::now();
            let activity = Arc::new(Activity::new(deadlines(), now));
            activity.begins(now, multiplexed);
            Self { activity, now }
        }

        /// Seconds from now to the end, if nothing happens, and what it is.
        fn ends(&self) -> (u64, Verdict) {
            let mut now = self.now;
            loop {
                match self.activity.verdict(now) {
                    Verdict::Fine(later) if later - self.now > Duration::from_hours(1) => {
                        return (3600, Verdict::Fine(later));
                    }
                    Verdict::Fine(later) => {
                        assert!(later > now, "it would spin");
                        now = later;
                    }
                    over => return ((now - self.now).as_secs(), over),
                }
            }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    #[test]
    fn a_silent_connection_ends_after_the_time_for_the_first_byte() {
        for multiplexed in [false, true] {
            assert_eq!(Case::new(multiplexed).ends(), (30, Verdict::Close(Ended::Silent)));
        }
    }

    #[test]
    fn the_first_byte_begins_the_time_for_the_headers_which_no_byte_extends() {
        let mut case = Case::new(false);
        case.pass(20);
        case.activity.received(case.now, 1);
        assert_eq!(case.ends(), (15, Verdict::End(Ended::Headers)));
        case.pass(10);
        case.activity.received(case.now, 1);
        assert_eq!(case.ends(), (5, Verdict::End(Ended::Headers)));
    }

    #[test]
    fn a_request_under_way_takes_its_time_and_idleness_begins_after_it() {
        let mut case = Case::new(false);
        case.activity.received(case.now, 1);
        let request = case.activity.request(false);
        assert!(matches!(case.ends(), (3600, Verdict::Fine(_))));
        case.activity.received(case.now, 1);
        drop(request);
        // Dropping took place now, not at the time of the case.
        let (seconds, verdict) = case.ends();
        assert!((75..80).contains(&seconds), "{seconds}");
        assert_eq!(verdict, Verdict::Close(Ended::Idle));
        case.pass(70);
        case.activity.received(case.now, 1);
        assert_eq!(case.ends(), (15, Verdict::End(Ended::Headers)), "another request begins");
    }

    #[test]
    fn http2_is_idle_between_requests_whatever_it_sends() {
        let mut case = Case::new(true);
        case.activity.received(case.now, 1);
        assert_eq!(case.ends(), (75, Verdict::Close(Ended::Idle)));
        case.pass(60);
        case.activity.received(case.now, 1);
        assert_eq!(case.ends(), (15, Verdict::Close(Ended::Idle)), "an answer to a PING");
    }

    #[test]
    fn bytes_without_anything_in_them_end_a_connection() {
        let case = Case::new(true);
        for _ in 0..100 {
            case.activity.received(case.now, HIDDEN);
            case.activity.delivered();
        }
        assert_eq!(case.activity.ended(), None);
        case.activity.received(case.now, HIDDEN);
        case.activity.received(case.now, 1);
        assert_eq!(case.activity.ended(), Some(Ended::Noisy));
    }

    #[test]
    fn whoever_reads_no_answer_ends() {
        let mut case = Case::new(false);
        let request = case.activity.request(false);
        case.activity.waits_to_write(case.now);
        assert_eq!(case.ends(), (30, Verdict::End(Ended::Stalled)));
        case.pass(20);
        case.activity.wrote(case.now, 100_000);
        assert!(matches!(case.ends(), (3600, Verdict::Fine(_))));
        // A window of HTTP/2 that stays closed is no different.
        request.handed(case.now);
        assert_eq!(case.ends(), (30, Verdict::End(Ended::Stalled)));
        request.taken();
        assert!(matches!(case.ends(), (3600, Verdict::Fine(_))));
    }

    #[test]
    fn whoever_gives_everything_up_ends_and_whoever_gives_up_some_does_not() {
        let case = Case::new(true);
        for _ in 0..1000 {
            drop(case.activity.request(false));
            let mut finished = case.activity.request(false);
            finished.answered();
        }
        assert_eq!(case.activity.ended(), None);
        for _ in 0..=GIVEN_UP {
            drop(case.activity.request(false));
        }
        assert_eq!(case.activity.ended(), Some(Ended::GivingUp));
    }

    #[test]
    fn a_farewell_is_short_and_waits_for_requests() {
        let mut case = Case::new(true);
        let request = case.activity.request(false);
        case.activity.parts(case.now);
        assert!(matches!(case.ends(), (3600, Verdict::Fine(_))));
        drop(request);
        let (seconds, verdict) = case.ends();
        assert!((5..10).contains(&seconds), "{seconds}");
        assert_eq!(verdict, Verdict::End(Ended::Farewell));
        case.pass(1);
    }
}
