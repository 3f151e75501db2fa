//! Fair pairs: both sides in turn, several times, medians of each.

use std::time::{Duration, Instant};

/// Rounds of a pair. Odd, so that there is a median.
pub(crate) const ROUNDS: usize = 5;

/// The medians of both, measured in turn so that a slow moment of the machine hits both.
pub(crate) fn pair(mut ours: impl FnMut() -> f64, mut floor: impl FnMut() -> f64) -> (f64, f64) {
    let mut measured = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        measured.0.push(ours());
        measured.1.push(floor());
    }
    (median(measured.0), median(measured.1))
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds per call, over about `time`.
pub(crate) fn micros_per_call(time: Duration, mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut calls = 0_u64;
    while started.elapsed() < time {
        for _ in 0..16 {
            call();
        }
        calls += 16;
    }
    started.elapsed().as_secs_f64() * 1e6 / calls as f64
}

/// Calls per second on `threads` threads at once, over about `time`. Each thread makes its own state
/// before the clock starts.
pub(crate) fn rate<S>(
    threads: usize,
    time: Duration,
    state: impl Fn(usize) -> S + Sync,
    call: impl Fn(&mut S) + Sync,
) -> f64 {
    let ready = std::sync::Barrier::new(threads);
    let counts: Vec<(u64, Duration)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let (ready, state, call) = (&ready, &state, &call);
                scope.spawn(move || {
                    let mut state = state(number);
                    ready.wait();
                    let started = Instant::now();
                    let mut calls = 0;
                    while started.elapsed() < time {
                        call(&mut state);
                        calls += 1;
                    }
                    (calls, started.elapsed())
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    counts.iter().map(|(calls, took)| *calls as f64 / took.as_secs_f64()).sum()
}

/// Seconds of processor that a process has used so far.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field is the command in parentheses and may hold spaces (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // USER_HZ is 100 on every Linux that runs this.
    ticks / 100.0
}

/// How much memory this process takes at most from some time on.
pub(crate) struct PeakMemory {
    before: f64,
}

impl PeakMemory {
    pub(crate) fn from_now() -> Self {
        // Forgets the peak so far (proc(5)).
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self { before: status("VmRSS:") }
    }

    pub(crate) fn mebibytes(&self) -> f64 {
        // At least a page.
        (status("VmHWM:") - self.before).max(4.0) / 1024.0
    }
}

/// A figure of `/proc/self/status` in KiB.
fn status(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}
