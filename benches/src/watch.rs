//! Samples the resident memory of this process each 100 ms, from a thread that allocates nothing.
//!
//! The idle workloads begin it, and the cell's `main` reads the curve at the end. The samples are
//! in static memory, because a list that grows would change the measured memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The time between two samples.
pub const EVERY: Duration = Duration::from_millis(100);
/// Samples of a run of six minutes; later ones are lost.
const MOST: usize = 3600;
const KIB: u64 = 1024;

static CURVE: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// The number of samples that the curve shows.
static SHOWN: AtomicUsize = AtomicUsize::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

/// A running sampler. Only one at a time writes the curve.
#[derive(Debug)]
pub struct Watch {
    begin: Instant,
    sampler: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins a new curve.
    ///
    /// # Panics
    /// If the system has no thread left.
    #[must_use]
    pub fn begin() -> Self {
        let begin = Instant::now();
        STOP.store(false, Ordering::Relaxed);
        LENGTH.store(0, Ordering::Relaxed);
        SHOWN.store(0, Ordering::Relaxed);
        let sampler = std::thread::Builder::new().name("sampler".to_owned());
        Self {
            begin,
            sampler: Some(sampler.spawn(move || sample(begin)).expect("a thread")),
        }
    }

    /// Ends the curve here, unless it is marked again: the end of the program is not shown.
    pub fn mark(&self) {
        // Acquire: pairs with the release in `sample`, so that a reader sees the samples it counts.
        SHOWN.store(LENGTH.load(Ordering::Acquire), Ordering::Release);
    }

    /// Returns the milliseconds since the curve began.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        STOP.store(true, Ordering::Relaxed);
        // The sampler does not panic.
        let _ = self.sampler.take().map(JoinHandle::join);
    }
}

/// Writes one sample for each interval since `begin`. If the thread ran late, the intervals that it
/// missed get the next sample's value.
fn sample(begin: Instant) {
    let Ok(file) = File::open("/proc/self/statm") else {
        return;
    };
    for (index, place) in CURVE.iter().enumerate() {
        let due = begin + EVERY * index as u32;
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        if STOP.load(Ordering::Relaxed) {
            return;
        }
        place.store(resident(&file) / KIB, Ordering::Relaxed);
        // Release: pairs with the acquire in `mark`.
        LENGTH.store(index + 1, Ordering::Release);
    }
}

/// Returns the resident bytes of this process, from its opened `/proc/self/statm`.
fn resident(statm: &File) -> u64 {
    let mut text = [0; 128];
    let count = statm.read_at(&mut text, 0).unwrap_or(0);
    let pages = text[..count].split(|&byte| byte == b' ').nth(1).unwrap_or(&[]);
    let pages = pages.iter().filter(|byte| byte.is_ascii_digit());
    let page = page_bytes();
    pages.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')) * page
}

fn page_bytes() -> u64 {
    // SAFETY: the call takes a plain number and reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

/// Returns the samples of the last curve up to its last mark, in KiB; none if no workload began
/// one.
#[must_use]
pub fn curve() -> Vec<u64> {
    // Acquire: pairs with the release in `mark`.
    let length = SHOWN.load(Ordering::Acquire);
    CURVE[..length]
        .iter()
        .map(|place| place.load(Ordering::Relaxed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::memory;

    #[test]
    fn the_curve_follows_a_block_that_comes_and_goes() {
        let file = File::open("/proc/self/statm").unwrap();
        let before = resident(&file);
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let with = resident(&file);
        assert!(with > before + (60 << 20), "{before} {with}");
        assert!(with.abs_diff(memory().resident) < 32 << 20, "{with} {:?}", memory());
        drop(block);
    }
}
