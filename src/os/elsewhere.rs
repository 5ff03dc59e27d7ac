//! The system layer where the heap is not supported. It gives the events and the collector the
//! calls that they need, by the standard library.
//!
//! It stands in for `os`. The program's allocator is the system's, so everything here may allocate.

pub(crate) mod env {
    //! The environment.

    use crate::sync::blocking::OnceLock;

    /// Returns the variables whose names begin with `prefix`, as name and value. All calls return
    /// the environment as of the first call.
    pub(crate) fn variables(prefix: &'static [u8]) -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
        static ALL: OnceLock<Vec<(Vec<u8>, Vec<u8>)>> = OnceLock::new();
        let all = ALL.get_or_init(|| {
            std::env::vars_os()
                .map(|(key, value)| (key.into_encoded_bytes(), value.into_encoded_bytes()))
                .collect()
        });
        let pairs = all.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        pairs.filter(move |(key, _)| key.starts_with(prefix))
    }
}

pub(crate) mod exit {
    //! The hook that runs when the process exits.

    /// Runs `handler` at exit. `false`: the system has no room for it, or no such hook.
    #[cfg(any(unix, windows))]
    pub(crate) fn register(handler: extern "C-unwind" fn()) -> bool {
        unsafe extern "C" {
            fn atexit(handler: extern "C-unwind" fn()) -> core::ffi::c_int;
        }
        // SAFETY: the function lives as long as the code that it is a part of.
        unsafe { atexit(handler) == 0 }
    }

    /// Returns `false`: this system has no such hook.
    #[cfg(not(any(unix, windows)))]
    pub(crate) fn register(_: extern "C-unwind" fn()) -> bool {
        false
    }
}

pub(crate) mod futex {
    //! Sleeping on a word. Locks are held only for moments, and `wait` may return early. So a short
    //! sleep is enough, and a `fork` cannot leave it half done.

    use crate::sync::atomic::AtomicU32;
    use std::time::Duration;

    pub(crate) fn wait(_: &AtomicU32, _: u32) {
        std::thread::sleep(Duration::from_micros(50));
    }

    pub(crate) fn wait_for(_: &AtomicU32, _: u32, millis: u64) {
        std::thread::sleep(Duration::from_millis(millis));
    }

    pub(crate) fn wake_one(_: &AtomicU32) {}
}

pub(crate) mod fork {
    //! Hooks around `fork`, on systems that have it.

    /// Returns 0 for every thread. No lock is held over a fork here, so no thread needs more.
    pub(crate) fn me() -> u64 {
        0
    }

    /// Runs `prepare` before each fork, and `parent` or `child` after it. `false`: the system has
    /// no hooks, or no room for these.
    #[cfg(any(
        target_vendor = "apple",
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_os = "netbsd",
        target_os = "openbsd"
    ))]
    pub(crate) fn register(
        prepare: extern "C-unwind" fn(),
        parent: extern "C-unwind" fn(),
        child: extern "C-unwind" fn(),
    ) -> bool {
        unsafe extern "C" {
            fn pthread_atfork(
                prepare: extern "C-unwind" fn(),
                parent: extern "C-unwind" fn(),
                child: extern "C-unwind" fn(),
            ) -> i32;
        }
        // SAFETY: the functions live as long as the process.
        unsafe { pthread_atfork(prepare, parent, child) == 0 }
    }

    /// Returns `false`: this system has no such hooks.
    #[cfg(not(any(
        target_vendor = "apple",
        target_os = "android",
        target_os = "freebsd",
        target_os = "linux",
        target_os = "netbsd",
        target_os = "openbsd"
    )))]
    pub(crate) fn register(_: extern "C-unwind" fn(), _: extern "C-unwind" fn(), _: extern "C-unwind" fn()) -> bool {
        false
    }
}

pub(crate) mod report {
    //! Messages to the user, on standard error.

    use std::fmt;
    use std::io::Write;

    /// Writes a whole text unchanged, in one piece.
    pub(crate) fn text(text: &impl fmt::Display) {
        // An error has no place to go: it would be reported on standard error too.
        let _ = std::io::stderr().write_all(text.to_string().as_bytes());
    }

    /// Prints a warning.
    pub(crate) fn warn(args: fmt::Arguments<'_>) {
        text(&format_args!("greyspan: {args}\n"));
    }
}

/// Returns the nanoseconds of a clock that only goes forward. The standard library does not tell a
/// thread's processor time, so the collector uses elapsed time here.
pub(crate) fn thread_nanos() -> u64 {
    static BEGIN: crate::sync::blocking::OnceLock<std::time::Instant> = crate::sync::blocking::OnceLock::new();
    let begin = BEGIN.get_or_init(std::time::Instant::now);
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the nanoseconds since 1970.
pub(crate) fn unix_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
