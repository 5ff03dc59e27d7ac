//! Runs each scenario in a child process and judges its end. In the child, runs the one scenario.

use std::env;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The environment variable that names the scenario in a child.
pub(crate) const KEY: &std::ffi::CStr = c"SPAN_TEST_SCENARIO";

/// Every scenario takes less than a tenth of this; one that takes longer hangs.
const HANG: Duration = Duration::from_secs(120);

/// A test in its own process.
pub(crate) struct Scenario {
    /// The test's claim, as a sentence.
    pub(crate) name: &'static str,
    /// The body.
    pub(crate) run: fn() -> Next,
    /// A limit of the process, set before it starts: the resource and the bytes.
    pub(crate) limit: Option<(libc::__rlimit_resource_t, u64)>,
    /// The marks that the process must have printed by its end, in this order.
    pub(crate) marks: &'static [&'static str],
    /// The number of processes that run it, one after another, for ends that depend on chance.
    pub(crate) rounds: usize,
}

impl Scenario {
    /// Returns a scenario that runs once, without limits or marks.
    pub(crate) const fn new(name: &'static str, run: fn() -> Next) -> Self {
        Self {
            name,
            run,
            limit: None,
            marks: &[],
            rounds: 1,
        }
    }

    /// Adds a limit.
    pub(crate) const fn limited(self, resource: libc::__rlimit_resource_t, bytes: u64) -> Self {
        Self {
            limit: Some((resource, bytes)),
            ..self
        }
    }

    /// Adds marks that the process must print.
    pub(crate) const fn marked(self, marks: &'static [&'static str]) -> Self {
        Self { marks, ..self }
    }

    /// Repeats it several times.
    pub(crate) const fn repeated(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }
}

/// The main thread's next step after a scenario.
pub(crate) enum Next {
    /// `main` returns this code.
    Return(i32),
    /// The main thread ends, and the process lives on.
    EndTheMainThread,
}

/// The usual end: `main` returns, and the process runs its exit handlers.
pub(crate) const DONE: Next = Next::Return(0);

/// Prints a mark. Neither allocates nor locks, so it may be called at any time.
pub(crate) fn mark(text: &str) {
    for part in [text, "\n"] {
        // SAFETY: the pointer and the length are those of a string.
        let written = unsafe { libc::write(1, part.as_ptr().cast(), part.len()) };
        assert_eq!(written, part.len() as isize);
    }
}

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    [
        crate::birth::SCENARIOS,
        crate::end::SCENARIOS,
        #[cfg(feature = "stats")]
        crate::exact::SCENARIOS,
        crate::fork::SCENARIOS,
        #[cfg(feature = "gc")]
        crate::gc::SCENARIOS,
        crate::granted::SCENARIOS,
        crate::oom::SCENARIOS,
        crate::park::SCENARIOS,
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        crate::plugin::SCENARIOS,
        crate::idle::SCENARIOS,
        crate::limits::SCENARIOS,
        crate::see::SCENARIOS,
        crate::stats::SCENARIOS,
        crate::steady::SCENARIOS,
        crate::storm::SCENARIOS,
        crate::tls::SCENARIOS,
        crate::words::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

/// In a child, runs its scenario; otherwise all scenarios that the arguments select. Not inlined,
/// because `main` may have no frame that catches.
#[inline(never)]
pub(crate) fn run() -> Next {
    let key = KEY.to_str().expect("ASCII");
    let Some(name) = env::var_os(key) else {
        return Next::Return(run_all(&Selection::from_arguments()));
    };
    let scenario = scenarios()
        .find(|scenario| name == scenario.name)
        .expect("a scenario of this name");
    std::panic::catch_unwind(scenario.run).unwrap_or(Next::Return(101))
}

#[derive(Default)]
struct Selection {
    words: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
}

impl Selection {
    fn from_arguments() -> Self {
        let mut selection = Self::default();
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--skip" => selection.skip.extend(arguments.next()),
                "--exact" => selection.exact = true,
                "--list" => selection.list = true,
                // These options take a value and have no effect here.
                "--test-threads" | "--format" | "--color" | "-Z" | "--logfile" | "--shuffle-seed" => {
                    arguments.next();
                }
                flag if flag.starts_with('-') => {}
                word => selection.words.push(word.to_owned()),
            }
        }
        selection
    }

    fn takes(&self, name: &str) -> bool {
        let hit = |word: &String| {
            if self.exact {
                name == word
            } else {
                name.contains(word.as_str())
            }
        };
        (self.words.is_empty() || self.words.iter().any(hit)) && !self.skip.iter().any(hit)
    }
}

fn run_all(selection: &Selection) -> i32 {
    let chosen: Vec<_> = scenarios().filter(|scenario| selection.takes(scenario.name)).collect();
    if selection.list {
        chosen.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return 0;
    }
    println!("\nrunning {} tests, each in its own process", chosen.len());
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(scenario) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let verdict = (0..scenario.rounds).try_for_each(|_| run_child(scenario));
                    println!(
                        "test {} ... {}, {:.1} s",
                        scenario.name,
                        if verdict.is_ok() { "ok" } else { "FAILED" },
                        start.elapsed().as_secs_f64()
                    );
                    if let Err(why) = verdict {
                        failures.lock().unwrap().push((scenario.name, why));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    for (name, why) in &failures {
        println!("\n---- {name} ----\n{why}");
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed\n",
        chosen.len() - failures.len(),
        failures.len()
    );
    i32::from(!failures.is_empty()) * 101
}

fn run_child(scenario: &'static Scenario) -> Result<(), String> {
    let mut command = Command::new(env::current_exe().map_err(|error| error.to_string())?);
    command
        .env(KEY.to_str().expect("ASCII"), scenario.name)
        .process_group(0);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some((resource, bytes)) = scenario.limit {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: bytes,
        };
        let set = move || {
            // SAFETY: the pointer is to a live value.
            match unsafe { libc::setrlimit(resource, &raw const limit) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: the closure makes one system call and touches no other memory.
        unsafe { command.pre_exec(set) };
    }
    let child = command.spawn().map_err(|error| format!("cannot start: {error}"))?;
    let group = child.id().cast_signed();
    let (ended, watch) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let hangs = watch.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout);
        if hangs {
            // SAFETY: the group is that of our own child, which was not waited for yet.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        hangs
    });
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    drop(ended);
    let hangs = watchdog.join().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut lines = printed.lines();
    let missing = scenario.marks.iter().find(|mark| !lines.any(|line| line == **mark));
    let why = match (hangs, output.status.signal(), output.status.code(), missing) {
        (true, ..) => "hangs".to_owned(),
        (_, Some(signal), ..) => format!("killed by signal {signal}"),
        (_, _, Some(0), None) => return Ok(()),
        (_, _, Some(0), Some(mark)) => format!("ended without the mark `{mark}`"),
        (_, _, code, _) => format!("ended with {code:?}"),
    };
    Err(format!(
        "{why}\nstdout: {printed}\nstderr: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
