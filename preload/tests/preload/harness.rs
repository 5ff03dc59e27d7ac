//! Builds the C programs in `tests/c` with the system's compiler, and runs them, or any other
//! program, with the library preloaded.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

/// A case that takes this long hangs; no case takes a tenth of it.
const HANG: Duration = Duration::from_secs(120);

/// Returns the folder of the build, which contains the library.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("the test's path");
    let deps = test.parent().expect("a folder");
    deps.parent().expect("its folder").to_owned()
}

/// Builds the library, optimised as programs use it, and returns its path. With an unoptimised
/// build, some tests of small stacks and of exceptions cannot pass.
pub(crate) fn library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target = folder().parent().expect("a folder").to_owned();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "greyspan-preload",
            "--manifest-path",
        ]);
        cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(&target);
        assert!(cargo.status().expect("cargo").success(), "{cargo:?}");
        let library = target.join("release/libgreyspan.so");
        assert!(library.is_file(), "{} is not there", library.display());
        library
    };
    BUILT.get_or_init(build).clone()
}

/// Compiles `tests/c/NAME`, which ends in `.c` or `.cc`, with these compiler arguments, and returns
/// the program's path.
pub(crate) fn program(name: &str, arguments: &[&str]) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name);
    // Another test may build the same program with other arguments.
    let mut key = DefaultHasher::new();
    arguments.hash(&mut key);
    let out = folder().join(format!("preload-tests/{:016x}", key.finish()));
    let program = out.join(name.replace('.', "-"));
    let _building = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let header = source.with_file_name("case.h");
    if time(&program).is_none() || time(&program) < time(&source) || time(&program) < time(&header) {
        std::fs::create_dir_all(&out).expect("a folder for programs");
        let compiler = if name.ends_with(".cc") { "c++" } else { "cc" };
        let mut command = Command::new(compiler);
        command
            .args(["-g", "-O1", "-w", "-fno-builtin"])
            .arg(&source)
            .arg("-o")
            .arg(&program);
        command.args(["-pthread", "-ldl"]).args(arguments);
        let made = command.output().expect("a C compiler");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    program
}

/// The outcome of a process: its exit code or signal, and its output.
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl End {
    /// Panics unless the process ended with exit code 0.
    pub(crate) fn assert_well(&self) {
        assert!(
            self.code == Some(0),
            "code {:?}, signal {:?}\n{}{}",
            self.code,
            self.signal,
            self.out,
            self.err
        );
    }
}

/// Returns a command that runs `program` with the library preloaded.
pub(crate) fn preloaded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library());
    command
}

/// Runs the command to its end. If it hangs, kills it with all its children, and panics.
pub(crate) fn run(mut command: Command) -> End {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = command.spawn().expect("the program starts");
    let group = child.id().cast_signed();
    let (ended, watch) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let hangs = watch.recv_timeout(HANG) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            // SAFETY: the group is that of our own child, which no code has waited for yet.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        hangs
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
    drop(ended);
    assert!(!watchdog.join().expect("the watchdog"), "{command:?} hangs");
    End {
        code: status.code(),
        signal: status.signal(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Runs one case of a C program with the library preloaded.
pub(crate) fn case(source: &str, arguments: &[&str]) -> End {
    let mut command = preloaded(program(source, &[]));
    command.args(arguments);
    run(command)
}
