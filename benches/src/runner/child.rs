//! Runs one child process to its end, to a time limit or to an interruption, and keeps its output.

use crate::os;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The output of a child that ended well.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The interval at which the wait checks for an interruption. It is long, so that it does not
/// disturb the measured child.
const LOOK: Duration = Duration::from_millis(100);

/// Runs `command` for at most `limit`, or until `interrupted` is set. Then kills it with all
/// processes that it started.
///
/// # Errors
/// One line with the reason for the missing result: not started, ended by an exit code or signal,
/// out of time, interrupted.
pub fn run(command: &mut Command, limit: Duration, interrupted: &AtomicBool) -> Result<Output, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    os::contain(command);
    let mut child = command
        .spawn()
        .map_err(|error| format!("could not start {}: {error}", command.get_program().to_string_lossy()))?;
    // Threads read the pipes during the wait: a child whose pipe is full would never end.
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (sender, both) = channel();
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks ends like one that closes; the exit code tells which.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            // The receiver is gone only after the time limit, when the result no longer matters.
            let _ = sender.send(());
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(stdout.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = read(stderr.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let end = Instant::now() + limit;
    let mut open = 2;
    while open > 0 {
        let left = end.saturating_duration_since(Instant::now());
        match both.recv_timeout(left.min(LOOK)) {
            Ok(()) => open -= 1,
            // Relaxed: the flag carries no other data.
            Err(_) if interrupted.load(Ordering::Relaxed) => {
                stop(&mut child);
                return Err("interrupted".to_owned());
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                stop(&mut child);
                return Err(format!("out of time after {} s", limit.as_secs_f64()));
            }
            Err(_) => {}
        }
    }
    let status = child.wait().map_err(|error| format!("lost: {error}"))?;
    let output = Output {
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    };
    if status.success() {
        Ok(output)
    } else {
        Err(failure(status, &output.stderr))
    }
}

fn stop(child: &mut Child) {
    os::kill_group(child);
    // Fails only if the child was waited for already.
    let _ = child.wait();
}

fn failure(status: ExitStatus, stderr: &str) -> String {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
    if last.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration, interrupted: bool) -> Result<Output, String> {
        let mut command = Command::new("/bin/sh");
        run(command.args(["-c", script]), limit, &AtomicBool::new(interrupted))
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_child_out_of_time_is_stopped_with_its_own_children_and_said_to_be() {
        let start = Instant::now();
        let message = shell("sleep 60; true", Duration::from_millis(50), false).unwrap_err();
        assert!(message.contains("out of time"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(50), "the child was waited for");
    }

    #[test]
    fn an_interruption_stops_a_child() {
        let start = Instant::now();
        let message = shell("sleep 60; true", LONG * 2, true).unwrap_err();
        assert_eq!(message, "interrupted");
        assert!(start.elapsed() < Duration::from_secs(20), "the child was waited for");
    }

    #[test]
    fn a_failing_child_is_reported_with_its_code_and_last_words() {
        let message = shell("echo alas >&2; exit 3", LONG, false).unwrap_err();
        assert!(message.contains('3') && message.contains("alas"), "{message}");
    }

    #[test]
    fn what_a_child_writes_is_kept() {
        let output = shell("echo out; echo err >&2", LONG, false).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    }
}
