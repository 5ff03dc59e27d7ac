//! Reads the kernel's figures about this process: memory, faults and processor time.
//!
//! Reads into a buffer on the stack, so that measuring never calls the allocator under test.

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::time::Instant;

/// The memory lines of `/proc/self/status`, in bytes. Zero if the kernel does not report a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// `VmSize`: mapped address space.
    pub mapped: u64,
    /// `VmRSS`: resident memory.
    pub resident: u64,
    /// `VmHWM`: the peak of resident memory of this process image. `ru_maxrss` is not used: it
    /// survives `exec`, so a small child of a large parent would report its parent's peak.
    pub peak: u64,
}

/// Returns the process's memory now.
#[must_use]
pub fn memory() -> Memory {
    let mut buffer = [0u8; 4096];
    let mut filled = 0;
    if let Ok(mut file) = File::open("/proc/self/status") {
        while let Ok(count @ 1..) = file.read(&mut buffer[filled..]) {
            filled += count;
        }
    }
    parse(&buffer[..filled])
}

fn parse(status: &[u8]) -> Memory {
    let mut memory = Memory::default();
    for line in status.split(|&byte| byte == b'\n') {
        for (key, field) in [
            (&b"VmSize:"[..], &mut memory.mapped),
            (b"VmRSS:", &mut memory.resident),
            (b"VmHWM:", &mut memory.peak),
        ] {
            if let Some(rest) = line.strip_prefix(key) {
                let digits = rest.iter().filter(|byte| byte.is_ascii_digit());
                *field = digits.fold(0, |sum: u64, &digit| sum * 10 + u64::from(digit - b'0')) * 1024;
            }
        }
    }
    memory
}

/// The resources that the process has used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Page faults that needed no read from a device.
    pub minor_faults: u64,
    /// Page faults that waited for a device.
    pub major_faults: u64,
    /// The times that a thread gave up its processor, most often to wait.
    pub voluntary_switches: u64,
    /// The times that the kernel took the processor from a thread that could have gone on.
    pub involuntary_switches: u64,
    /// Seconds of processor time in user mode.
    pub user_seconds: f64,
    /// Seconds of processor time in the kernel.
    pub system_seconds: f64,
    /// The peak of resident memory, in bytes. [`Memory::peak`] says why it can be wrong.
    pub peak: u64,
}

/// Returns the process's usage so far, all threads together.
#[must_use]
pub fn usage() -> Usage {
    usage_of(libc::RUSAGE_SELF)
}

/// Returns the usage of all children that this process has waited for.
#[must_use]
pub fn usage_of_children() -> Usage {
    usage_of(libc::RUSAGE_CHILDREN)
}

fn usage_of(target: libc::c_int) -> Usage {
    let mut raw = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `raw` is writable and has the type that the call fills; it answers an invalid target
    // with an error.
    let status = unsafe { libc::getrusage(target, raw.as_mut_ptr()) };
    if status != 0 {
        return Usage::default();
    }
    // SAFETY: all fields are plain integers, and the zeroes that `raw` began with are valid values.
    let raw = unsafe { raw.assume_init() };
    from_raw(&raw)
}

pub(crate) fn from_raw(raw: &libc::rusage) -> Usage {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let count = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
    Usage {
        minor_faults: count(raw.ru_minflt),
        major_faults: count(raw.ru_majflt),
        voluntary_switches: count(raw.ru_nvcsw),
        involuntary_switches: count(raw.ru_nivcsw),
        user_seconds: seconds(raw.ru_utime),
        system_seconds: seconds(raw.ru_stime),
        peak: count(raw.ru_maxrss) * 1024,
    }
}

/// Runs `work` and returns its result with the seconds that it took.
pub fn timed<R>(work: impl FnOnce() -> R) -> (R, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read_as_kilobytes() {
        let memory = parse(b"Name:\tx\nVmSize:\t    1000 kB\nVmHWM:\t      20 kB\nVmRSS:\t      12 kB\n");
        assert_eq!(
            memory,
            Memory {
                mapped: 1_024_000,
                resident: 12_288,
                peak: 20_480
            }
        );
    }

    #[test]
    fn a_running_process_has_memory() {
        let memory = memory();
        assert!(
            memory.resident > 0 && memory.peak >= memory.resident && memory.mapped >= memory.resident,
            "{memory:?}"
        );
    }
}
