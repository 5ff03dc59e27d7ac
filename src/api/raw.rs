//! C-shaped functions for libgreyspan.so, whose package gives them their C names. They are not part
//! of the crate's interface.
//!
//! The `malloc` family itself stands in `heap::c`. Here are the statistics, the profile, and the
//! calls by which the library tells the heap of its process.

pub use crate::heap::c::aligned::{aligned_alloc, memalign, page_aligned, posix_memalign};
pub use crate::heap::c::free::{free, free_sized};
pub use crate::heap::c::malloc::{calloc, malloc};
pub use crate::heap::c::realloc::realloc;
pub use crate::heap::c::usable::usable_size;

use crate::heap::HEAP;
use crate::heap::c::nested::{alone_unless_nested, is_nested};
use crate::heap::thread::current;
use crate::mcache::c::count_small;
use crate::options::profile_target;
use crate::os::{self, report};
use crate::profiler;
use crate::stats::Stats;
use crate::sync::forker::FORKER;
use core::ffi::CStr;
use core::fmt;

/// Writes the statistics as JSON to `buffer`, cut to fit. The text ends with a zero byte, unless
/// the buffer is empty. Returns the bytes of the whole text, without the zero.
pub fn stats_json(buffer: &mut [u8]) -> usize {
    let mut text = Cut { buffer, length: 0 };
    if let Some(stats) = stats() {
        // The part that does not fit is counted, not refused.
        let _ = stats.write_json(&mut text);
    }
    let last = text.length.min(text.buffer.len().saturating_sub(1));
    if let Some(end) = text.buffer.get_mut(last) {
        *end = 0;
    }
    text.length
}

/// A text that writes the part that fits, and counts all of it.
struct Cut<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for (place, byte) in self.buffer.iter_mut().skip(self.length).zip(part.bytes()) {
            *place = byte;
        }
        self.length += part.len();
        Ok(())
    }
}

/// Prints the table of statistics on standard error.
pub fn show_stats() {
    if let Some(stats) = stats() {
        report::text(&stats);
    }
}

/// Returns the statistics. `None`: the caller has interrupted another call of its thread.
pub fn stats() -> Option<Stats> {
    alone_unless_nested(|_| HEAP.stats())
}

/// Returns all free memory to the system. Returns its bytes; 0 if the caller has interrupted
/// another call of its thread.
pub fn purge() -> usize {
    alone_unless_nested(|cache| HEAP.purge(cache)).unwrap_or(0)
}

/// Tells the heap that the calling thread will be idle.
pub fn thread_idle() {
    alone_unless_nested(|cache| HEAP.thread_idle(cache));
}

/// Tells the heap that the program is about to install a seccomp filter.
pub fn enter_sandbox() {
    // The set-up that the heap does once happens now.
    let block = malloc(1);
    // SAFETY: handed out just now.
    unsafe { free(block) };
    // `confine` waits for the background thread's end. Two kinds of caller must not wait: a nested
    // call, which may have interrupted the start of that thread, and a thread that forks, which
    // holds locks that thread may wait for.
    let waits = !is_nested(current()) && !FORKER.is(os::fork::me());
    HEAP.confine(waits);
}

/// Notes that the calling thread may only read, write and exit from here on.
pub fn enter_strict_mode() {
    os::sandbox::enter_strict_mode();
}

/// Sets the `errno` of the calling thread.
pub fn set_errno(error: i32) {
    os::errno::set(error);
}

/// Sets the soft limit, in bytes; `None` removes it.
pub fn set_memory_limit(bytes: Option<usize>) {
    alone_unless_nested(|_| HEAP.tiers.mheap.set_soft_limit(bytes));
}

/// Begins to sample for the heap profile, on average once per `rate` bytes.
///
/// # Errors
/// `EINVAL` for a rate of 0; `ENOMEM` without memory for the tables; `ENOTSUP` if no unwinder can
/// be loaded.
pub fn start_profile(rate: usize) -> Result<(), i32> {
    if rate == 0 {
        return Err(libc::EINVAL);
    }
    if !profiler::load_unwinder() {
        return Err(libc::ENOTSUP);
    }
    if !profiler::begin(rate) {
        return Err(libc::ENOMEM);
    }
    settle();
    Ok(())
}

/// Directs small requests to the path with or without sampling. Threads that start and stop at the
/// same time may undo each other's half of this. The thread that did so notices when it looks
/// again, and repeats it.
fn settle() {
    loop {
        let on = profiler::rate() != 0;
        count_small(on);
        if (profiler::rate() != 0) == on {
            return;
        }
    }
}

/// Ends sampling. The profile stays.
pub fn stop_profile() {
    profiler::end();
    settle();
}

/// Writes the profile to the file `path`.
///
/// # Errors
/// The system's errors; `ENODATA` if no profile was ever begun.
pub fn write_profile(path: &CStr) -> Result<(), i32> {
    if !profiler::has_begun() {
        return Err(libc::ENODATA);
    }
    match profiler::write_plain(path) {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Makes the heap's fork hooks the first ones, unless others are registered already. A library that
/// registers its own calls this before.
pub fn register_fork_hooks() {
    crate::heap::fork::register_hooks();
}

/// Begins the profile that `GREYSPAN_PROFILE` asks for, and arranges that it is written at exit.
/// Called when the library is loaded.
pub fn profile_from_environment() {
    let Some((_, rate)) = profile_target() else { return };
    match start_profile(rate) {
        Ok(()) if os::exit::register(profile_at_exit) => {}
        Err(libc::ENOTSUP) => report::warn(format_args!(
            "no heap profile: libgcc_s.so.1, which walks the stacks, cannot be loaded; install it"
        )),
        _ => report::warn(format_args!(
            "no heap profile: not enough memory for the profiler's tables"
        )),
    }
}

extern "C-unwind" fn profile_at_exit() {
    let Some((path, _)) = profile_target() else { return };
    stop_profile();
    let mut place = [0u8; libc::PATH_MAX as usize];
    let mut length = 0;
    crate::profiler::spell(path, &mut |byte| {
        if let Some(place) = place.get_mut(length) {
            *place = byte;
        }
        length += 1;
    });
    let result = if length < place.len() {
        CStr::from_bytes_until_nul(&place).map_or(Err(libc::EINVAL), write_profile)
    } else {
        Err(libc::ENAMETOOLONG)
    };
    if let Err(error) = result {
        report::unwritten("heap profile", path, error);
    }
}

/// Reports in one line that a request which cannot be refused finds no memory, and aborts.
pub fn no_memory(what: &str) -> ! {
    report::fatal(what, 0)
}
