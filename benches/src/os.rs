//! Calls to the system that the standard library does not offer.
//!
//! Those about child processes are the runner's, from one thread, for one child at a time.

use crate::measure::{Usage, from_raw};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

/// Puts the command into its own process group, so that a Ctrl-C at the terminal does not reach it.
/// The kernel kills the child when the thread that started it ends for any reason.
pub fn contain(command: &mut Command) {
    command.process_group(0);
    let last_wish = || {
        // SAFETY: the call changes a setting of this process alone, and takes plain numbers.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec the closure makes one system call and builds an error from
    // `errno`. Neither allocates or takes a lock.
    unsafe { command.pre_exec(last_wish) };
}

/// Kills a child that [`contain`] was applied to, and every process of its group.
pub fn kill_group(child: &Child) {
    let Ok(group) = libc::pid_t::try_from(child.id()) else {
        return;
    };
    // SAFETY: the call takes plain numbers. The child was not waited for, so no other process has
    // its number. The call fails only if the group has already ended.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}

/// Waits for the child's end. The peak is in bytes: Linux counts `ru_maxrss` in KiB.
///
/// # Errors
/// If the system lost the child.
pub fn wait(child: &Child) -> io::Result<(ExitStatus, Usage)> {
    let id = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    loop {
        // SAFETY: both pointers are to live, writable places of the types that the call fills.
        let ended = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
        if ended == id {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all fields are plain integers, and the zeroes that `usage` began with are valid
    // values.
    let usage = unsafe { usage.assume_init() };
    Ok((ExitStatus::from_raw(status), from_raw(&usage)))
}

/// Calls `malloc_trim` of the C library, or of the shared library that the loader put before it.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a plain number and may be made at any time.
    unsafe {
        libc::malloc_trim(0)
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_child_is_waited_for_with_its_usage() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 3"]);
        contain(&mut command);
        let (status, usage) = wait(&command.spawn().unwrap()).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(usage.peak > 100_000 && usage.minor_faults > 0, "{usage:?}");
    }

    #[test]
    fn a_killed_group_takes_grandchildren_along() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 60 & wait"]);
        contain(&mut command);
        let (child, start) = (command.spawn().unwrap(), Instant::now());
        std::thread::sleep(Duration::from_millis(50));
        kill_group(&child);
        let (status, _) = wait(&child).unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert!(start.elapsed() < Duration::from_secs(50));
    }
}
