//! One child process: run to its end or to a time limit, its output kept.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a child that ended well wrote.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs `program` with `arguments` for at most `limit`.
///
/// # Errors
/// One line that says why there is no result: not started, ended by an exit code or signal, or out of time.
pub fn run(program: &Path, arguments: &[&str], limit: Duration) -> Result<Output, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("could not start {}: {error}", program.display()))?;
    // The pipes are read beside the wait: a child whose pipe is full would never end.
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (sender, both) = channel();
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks ends like one that closes; the exit code tells what happened.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            // The receiver is gone only after the time limit, when nobody asks any more.
            let _ = sender.send(());
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(stdout.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = read(stderr.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let end = Instant::now() + limit;
    for _ in 0..2 {
        if both.recv_timeout(end.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Timeout) {
            stop(&mut child);
            return Err(format!("out of time after {} s", limit.as_secs()));
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
    // Either fails only if the child has ended by itself.
    let _ = child.kill();
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

    #[test]
    fn a_child_out_of_time_is_stopped_and_said_to_be() {
        let start = Instant::now();
        let message = run(Path::new("/bin/sleep"), &["60"], Duration::from_millis(50)).unwrap_err();
        assert!(message.contains("out of time"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(50), "the child was waited for");
    }

    #[test]
    fn a_failing_child_is_reported_with_its_code_and_last_words() {
        let message = run(
            Path::new("/bin/sh"),
            &["-c", "echo alas >&2; exit 3"],
            Duration::from_secs(30),
        )
        .unwrap_err();
        assert!(message.contains('3') && message.contains("alas"), "{message}");
    }

    #[test]
    fn what_a_child_writes_is_kept() {
        let output = run(
            Path::new("/bin/sh"),
            &["-c", "echo out; echo err >&2"],
            Duration::from_secs(30),
        )
        .unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    }
}
