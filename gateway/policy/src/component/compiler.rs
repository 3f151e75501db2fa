//! Where components are compiled.
//!
//! A gateway compiles each component in a process of its own. If the compiler cannot cope with a component, only
//! that process is affected: it has limits on memory and time, and ends. A compiler also changes its memory maps
//! in ways that would stop the threads that decide, if they were in the same process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::time::Duration;

use chancery_sandbox::Sandbox;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use super::confine::confine;
use super::prepare::{Compiled, Order, Refusal, compile};
use crate::contract::Line;

/// The processor time for compiling a component with its settings. Interpreters take twenty seconds; several
/// times as long if the compiler itself is not optimised, as in tests.
const COMPILE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 600 } else { 120 });

/// How long it may take by the clock. At the lowest priority, a compiler waits for all other threads.
const PATIENCE: Duration = COMPILE.saturating_mul(10);

/// The memory limit of the process, in bytes. An interpreter with a standard library takes a tenth of it.
const COMPILER_MEMORY: u64 = 4 << 30;

/// The largest answer that is read from the process, in bytes: compiled code is some ten times as large as the
/// component.
const LARGEST_ANSWER: u64 = 1 << 30;

/// Where components are compiled.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// In a thread of this process: for tools that look at one component.
    Here,
    /// In a process of this program for each component. It has to be the same build. It is run with this one
    /// argument, and has to call [`compile_ordered`] with its standard input and output.
    Process(PathBuf, &'static str),
}

/// The answer to an order, before the code itself.
#[derive(Serialize, Deserialize)]
struct Answer {
    /// Why the settings are not in its memory, if they are not.
    result: Result<Option<String>, Refusal>,
    lines: Vec<Line>,
    /// What the kernel could not restrict in the process.
    lacking: Vec<String>,
    /// The size of the code, in bytes.
    size: usize,
}

impl Compiler {
    /// Compiles the component with its settings in its memory, or without them if that is not possible. Refuses
    /// a component that takes too long or, in a process, too much memory.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        wasm: &[u8],
        order: &Order,
    ) -> Result<Compiled, Refusal> {
        let compiled = match self {
            Self::Here => {
                let (engine, wasm, order) = (engine.clone(), wasm.to_vec(), order.clone());
                within(PATIENCE, move || compile(&engine, &wasm, &order, None))??
            }
            Self::Process(program, argument) => in_process(program, argument, wasm, order)?,
        };
        if let Some(why) = &compiled.unconfigured {
            tracing::info!(
                binding = order.binding,
                "the policy reads its settings in every evaluation, because it cannot be configured in \
                 advance: {why}"
            );
        }
        Ok(compiled)
    }
}

fn in_process(
    program: &Path,
    argument: &str,
    wasm: &[u8],
    order: &Order,
) -> Result<Compiled, Refusal> {
    let broken = |what: String| Refusal::Plugin(format!("its compiler {what}"));
    let mut child = Command::new(program)
        .arg(argument)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| broken(format!("{} cannot be started: {error}", program.display())))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let order_line = serde_json::to_vec(order).map_err(|error| broken(error.to_string()))?;
    let wasm = wasm.to_vec();
    let answered = within(PATIENCE, move || {
        let (mut input, output) = input.zip(output)?;
        // If the process ends before it has read everything, its exit status says why.
        let _ = input.write_all(&order_line).and_then(|()| input.write_all(b"\n"));
        let _ = input.write_all(&wasm);
        drop(input);
        read_answer(output).ok()
    });
    if answered.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| broken(error.to_string()))?;
    let (answer, code) = answered?.ok_or_else(|| {
        broken(match status.signal() {
            Some(libc::SIGXCPU) => {
                format!("is not done after {} seconds of a processor", COMPILE.as_secs())
            }
            _ => format!("fails over it ({status})"),
        })
    })?;
    for line in &answer.lines {
        line.log(&order.binding);
    }
    for lacking in &answer.lacking {
        tracing::warn!(
            binding = order.binding,
            "the compiler of policies runs less confined than it could: {lacking}"
        );
    }
    let unconfigured = answer.result?;
    Ok(Compiled { code, unconfigured })
}

fn read_answer(output: impl Read) -> io::Result<(Answer, Vec<u8>)> {
    let mut output = BufReader::new(output.take(LARGEST_ANSWER));
    let mut line = String::new();
    output.read_line(&mut line)?;
    let answer: Answer = serde_json::from_str(&line)?;
    let mut code = Vec::new();
    code.try_reserve_exact(answer.size).map_err(io::Error::other)?;
    output.read_to_end(&mut code)?;
    if code.len() == answer.size {
        Ok((answer, code))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// What the process of [`Compiler::Process`] does: it reads one order from `input`, compiles the component that
/// follows there, and writes the result to `output`. It closes all other files, limits the memory and time of
/// this process, and gives up all rights except to compute and to answer. Call it first in the process, and do
/// nothing else there.
///
/// # Errors
/// The limits cannot be set, there is no engine, or the order cannot be read or answered. A refusal of the
/// component is an answer, not an error.
pub fn compile_ordered(input: impl Read, mut output: impl Write) -> io::Result<()> {
    close_inherited();
    let bounds = [
        (Resource::Data, COMPILER_MEMORY),
        (Resource::Cpu, COMPILE.as_secs()),
        // A compiler that crashes leaves no core file.
        (Resource::Core, 0),
    ];
    for (resource, most) in bounds {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    let lacking = confine();
    let mut input = BufReader::new(input);
    let (mut line, mut wasm) = (String::new(), Vec::new());
    input.read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    input.read_to_end(&mut wasm)?;
    let sandbox = Sandbox::new(1).map_err(io::Error::other)?;
    let (sender, lines) = channel();
    let (result, code) = match compile(&sandbox.engine, &wasm, &order, Some(sender)) {
        Ok(Compiled { code, unconfigured }) => (Ok(unconfigured), code),
        Err(refusal) => (Err(refusal), Vec::new()),
    };
    let lines = lines.try_iter().collect();
    let answer = Answer { result, lines, lacking, size: code.len() };
    serde_json::to_writer(&mut output, &answer)?;
    output.write_all(b"\n")?;
    output.write_all(&code)?;
    output.flush()
}

/// Closes everything but the standard streams: HSM modules do not always mark their files as not inherited, and
/// a compiler must not have a connection to an HSM.
#[cfg(target_os = "linux")]
fn close_inherited() {
    const FIRST: libc::c_uint = 3;
    #[expect(unsafe_code, reason = "there is no safe way to close what others have opened")]
    // SAFETY: this process has opened nothing yet, so nothing of its own is closed. Where the kernel does not
    // know the call (before 5.9), nothing is.
    unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0);
    }
}

#[cfg(not(target_os = "linux"))]
fn close_inherited() {}

/// The result of the work, if it ends in time. If not, the work goes on in its thread until it ends, and nobody
/// waits for it.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let (done, result) = sync_channel(1);
    std::thread::Builder::new()
        .name("policy-compile".to_owned())
        // The waiting thread may have given up.
        .spawn(move || drop(done.send(work())))
        .map_err(|error| Refusal::Plugin(format!("no thread to compile it in: {error}")))?;
    result.recv_timeout(limit).map_err(|error| {
        Refusal::Plugin(match error {
            RecvTimeoutError::Timeout => {
                format!("it is not compiled after {} seconds", limit.as_secs())
            }
            RecvTimeoutError::Disconnected => "the compiler fails over it".to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::binding::Limits;
    use crate::contract::Decision;

    fn reason<T>(refused: Result<T, Refusal>) -> String {
        match refused {
            Err(Refusal::Plugin(reason)) => reason,
            _ => panic!("it was not refused"),
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_limit_for_a_compiler() {
        let (release, held) = sync_channel::<()>(0);
        let late = within(Duration::from_millis(1), move || held.recv().is_ok());
        assert!(reason(late).contains("not compiled after"));
        drop(release);
        assert!(within(Duration::from_mins(1), || true).is_ok_and(|done| done));
        let broken =
            within(Duration::from_mins(1), || -> bool { panic!("the compiler is broken") });
        assert!(reason(broken).contains("fails over it"));
    }

    fn compiled_by(program: &str, argument: &'static str) -> Result<Compiled, Refusal> {
        let engine = Engine::default();
        let order = Order {
            binding: "b".into(),
            decision: Decision::Access,
            settings: "{}".into(),
            limits: Limits::LARGEST,
            counted: false,
        };
        let wasm = vec![0; 1 << 20];
        Compiler::Process(program.into(), argument).compile(&engine, &wasm, &order)
    }

    #[test]
    fn a_compiler_that_fails_is_told_by_how_it_ends() {
        assert!(reason(compiled_by("/nowhere", "")).contains("cannot be started"));
        // These programs end without reading, and their output is not an answer.
        assert!(reason(compiled_by("/bin/false", "")).contains("fails over it (exit status: 1)"));
        assert!(reason(compiled_by("/bin/echo", "")).contains("fails over it (exit status: 0)"));
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("compiler");
        std::fs::write(&program, "#!/bin/sh\nkill -XCPU $$\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let late = reason(compiled_by(program.to_str().unwrap(), ""));
        assert!(late.contains("is not done after"), "{late}");
    }

    #[test]
    fn an_order_that_cannot_be_read_is_an_error() {
        assert!(read_answer(&b"no answer\n"[..]).is_err());
        assert!(read_answer(&b""[..]).is_err());
        let answer = |rest: &str| {
            format!(r#"{{"result":{{"Ok":null}},"lines":[],"lacking":[],"size":{rest}"#)
        };
        let read = |text: String| read_answer(text.as_bytes()).map(|(_, code)| code).ok();
        assert_eq!(read(answer("3}\nabc")).as_deref(), Some(&b"abc"[..]));
        // It ended in the middle, or announces more than there is room for.
        assert_eq!(read(answer("4}\nabc")), None);
        assert_eq!(read(answer("18446744073709551615}\nabc")), None);
    }
}
