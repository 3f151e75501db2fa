//! Running other programs: with everything they said at hand when they do not do as expected.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// The path of an installed program; fails naming what installs it.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("{name} is not installed; 'make test' installs what the tests need")
        })
}

/// The path of a program in the Python environment of the tests; fails naming what makes it.
#[must_use]
pub fn python_tool(name: &str) -> PathBuf {
    installed("venv/bin").join(name)
}

/// The path of something that the tests have below `target/`; fails naming what puts it there.
#[must_use]
pub fn installed(name: &str) -> PathBuf {
    let path = repository().join("target").join(name);
    assert!(
        path.exists(),
        "{} is missing; 'make test' installs what the tests need",
        path.display()
    );
    path
}

/// The first file below a folder whose name begins like this.
#[must_use]
pub fn find(folder: &Path, beginning: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with(beginning) {
                return Some(entry.path());
            }
        }
    }
    None
}

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is in a folder of the repository")
}

/// What a finished program said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Outcome {
    /// Fails, with everything that the program said, unless it ended well.
    #[must_use = "use `drop` where the output does not matter"]
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Fails, with everything that the program said, if it ended well.
    #[must_use = "what a failing program says is worth a look"]
    #[track_caller]
    pub fn failure(self) -> Self {
        assert!(!self.status.success(), "this was expected to fail: {self}");
        self
    }

    /// Fails unless one of its outputs contains `text`.
    #[must_use = "use `drop` where the output does not matter"]
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "no {text:?} in {self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, status, stdout, stderr } = self;
        write!(out, "{command}\n{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("{} cannot be run: {error}", command.get_program().display())
    });
    Outcome {
        command: describe(command),
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a program to its end, with something to read.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{} cannot be run: {error}", command.get_program().display())
        });
    // A program that ends without reading everything is judged by how it ended.
    let _ = child.stdin.take().expect("it is a pipe").write_all(input);
    let output = child.wait_with_output().expect("a child can be waited for");
    Outcome {
        command: describe(command),
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

/// A program that serves until it is told to stop.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Server {
    /// Starts it. Its standard error goes to the end of the file `log`, its standard output is read
    /// with [`Server::line`].
    #[track_caller]
    #[must_use]
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let errors =
            File::options().create(true).append(true).open(log).expect("the log can be written");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", describe(command)));
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { name: name.to_owned(), child, lines, log: log.to_owned() }
    }

    /// The next line of its standard output; fails if there is none within `patience`.
    #[track_caller]
    pub fn line(&mut self, patience: Duration) -> String {
        self.lines.recv_timeout(patience).unwrap_or_else(|_| {
            let ended = self.child.try_wait().ok().flatten();
            panic!("{} said nothing; ended: {ended:?}; its log:\n{}", self.name, self.log())
        })
    }

    /// Waits for a line of its standard output that contains `text`.
    #[track_caller]
    pub fn line_with(&mut self, text: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let line = self.line(deadline.saturating_duration_since(Instant::now()));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The rest of its standard output. Blocks until the program closes it.
    #[must_use]
    pub fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// What it wrote to its standard error so far, in this and earlier runs with the same log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        rustix::process::kill_process(id, signal).expect("the process is there");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }

    /// Says whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for")
    }

    /// Ends it at once, without giving it a say.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until there is an answer; fails when there is none within `patience`.
#[track_caller]
pub fn eventually<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        thread::park_timeout(Duration::from_millis(20));
    }
}
