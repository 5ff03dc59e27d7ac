//! Reports on the heap to C programs: glibc's `mallinfo` and related functions, and the library's
//! own functions of `greyspan.h`.
//!
//! All figures of a call come from one snapshot of `greyspan::stats()`; the fields of
//! `greyspan::Stats` say how exact they are.

use core::ffi::{CStr, c_char, c_int};
use core::fmt::{self, Write};
use heap::{Stats, raw};

/// glibc's `struct mallinfo2`, in bytes.
#[repr(C)]
pub struct MallInfo2 {
    arena: usize,
    ordblks: usize,
    smblks: usize,
    hblks: usize,
    hblkhd: usize,
    usmblks: usize,
    fsmblks: usize,
    uordblks: usize,
    fordblks: usize,
    keepcost: usize,
}

/// glibc's `struct mallinfo`, in bytes; a figure that does not fit becomes `c_int::MAX`.
#[repr(C)]
pub struct MallInfo {
    arena: c_int,
    ordblks: c_int,
    smblks: c_int,
    hblks: c_int,
    hblkhd: c_int,
    usmblks: c_int,
    fsmblks: c_int,
    uordblks: c_int,
    fordblks: c_int,
    keepcost: c_int,
}

/// Returns the figures of `mallinfo2`. `arena`, the bytes of the heap with memory behind them, is
/// the sum of `uordblks` in use and `fordblks` free. `keepcost` of the free bytes could go back to
/// the system now. The other fields count things that this heap does not have, and are 0.
fn info() -> MallInfo2 {
    let stats = raw::stats().unwrap_or_default();
    let arena = stats.heap_sys.saturating_sub(stats.heap_released);
    let used = stats.allocated.min(arena);
    MallInfo2 {
        arena: arena as usize,
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: used as usize,
        fordblks: (arena - used) as usize,
        keepcost: stats.heap_idle.saturating_sub(stats.heap_released) as usize,
    }
}

/// glibc's `mallinfo2`: `arena`, `uordblks`, `fordblks` and `keepcost`; the other fields are 0.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn mallinfo2() -> MallInfo2 {
    info()
}

/// glibc's `mallinfo`: as [`mallinfo2`], with figures cut to `c_int::MAX`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn mallinfo() -> MallInfo {
    let cut = |bytes: usize| c_int::try_from(bytes).unwrap_or(c_int::MAX);
    let info = info();
    MallInfo {
        arena: cut(info.arena),
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: cut(info.uordblks),
        fordblks: cut(info.fordblks),
        keepcost: cut(info.keepcost),
    }
}

/// glibc's `malloc_trim`: gives free memory back to the system. Returns 1 if there was any, else 0.
/// Ignores `_pad`, the number of bytes that may stay.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn malloc_trim(_pad: usize) -> c_int {
    c_int::from(raw::purge() > 0)
}

/// glibc's `mallopt`: accepts glibc's parameters and ignores them. Returns 1 for them, 0 for any
/// other.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn mallopt(parameter: c_int, _value: c_int) -> c_int {
    c_int::from((-8..=4).contains(&parameter) && parameter != 0)
}

/// glibc's `malloc_stats`: writes the statistics to standard error, as a table.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn malloc_stats() {
    raw::show_stats();
}

/// A C stream, as a target for `core::fmt`.
struct Stream(*mut libc::FILE);

impl Write for Stream {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        // SAFETY: the stream is open for writing (contract of `malloc_info`); the bytes are a
        // string's.
        let written = unsafe { libc::fwrite(part.as_ptr().cast(), 1, part.len(), self.0) };
        if written == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Writes the document of `malloc_info` in glibc's shape. `sizes` lists the size classes that have
/// spans, with the count of objects in use and their bytes.
fn write_info(out: &mut impl Write, stats: &Stats) -> fmt::Result {
    out.write_str("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n")?;
    let mut from = 1;
    for class in &stats.by_size {
        let (to, used) = (class.size, class.mallocs - class.frees);
        if class.spans > 0 {
            let total = used * to;
            writeln!(
                out,
                "  <size from=\"{from}\" to=\"{to}\" total=\"{total}\" count=\"{used}\"/>"
            )?;
        }
        from = to + 1;
    }
    out.write_str("</sizes>\n")?;
    write_totals(out, stats)?;
    out.write_str("</heap>\n")?;
    write_totals(out, stats)?;
    out.write_str("</malloc>\n")
}

/// Writes the totals, which glibc's document has once per arena and once for the whole.
fn write_totals(out: &mut impl Write, stats: &Stats) -> fmt::Result {
    let free = stats.heap_sys - stats.heap_released - stats.allocated.min(stats.heap_inuse);
    writeln!(out, "<total type=\"fast\" count=\"0\" size=\"0\"/>")?;
    writeln!(
        out,
        "<total type=\"rest\" count=\"{}\" size=\"{free}\"/>",
        u8::from(free > 0)
    )?;
    writeln!(out, "<total type=\"mmap\" count=\"0\" size=\"0\"/>")?;
    writeln!(out, "<system type=\"current\" size=\"{}\"/>", stats.resident)?;
    writeln!(out, "<system type=\"max\" size=\"{}\"/>", stats.peak_resident)?;
    writeln!(out, "<aspace type=\"total\" size=\"{}\"/>", stats.mapped)?;
    writeln!(out, "<aspace type=\"mprotect\" size=\"{}\"/>", stats.mapped)
}

/// glibc's `malloc_info`: writes the statistics as XML to `stream`. Returns 0, or -1 with `errno`
/// set: `EINVAL` if `options` is not 0 or `stream` is null, or the stream's own error.
///
/// # Safety
/// `stream` is open for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 || stream.is_null() {
        return refuse(libc::EINVAL);
    }
    match write_info(&mut Stream(stream), &raw::stats().unwrap_or_default()) {
        Ok(()) => 0,
        Err(fmt::Error) => -1,
    }
}

/// Sets `errno` to `error` and returns -1.
fn refuse(error: c_int) -> c_int {
    // SAFETY: the function has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: `place` is the calling thread's `errno`, valid for writing.
    unsafe { place.write(error) };
    -1
}

/// Writes the statistics as JSON, as `snprintf` does: at most `size` bytes, including the zero at
/// the end. Returns the length of the whole text in bytes, without the zero.
///
/// # Safety
/// `buffer` is null or valid for writing `size` bytes, or `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn greyspan_stats_json(buffer: *mut c_char, size: usize) -> usize {
    if buffer.is_null() || size == 0 {
        return raw::stats_json(&mut []);
    }
    // SAFETY: `buffer` is valid for writing `size` bytes (contract of this function).
    unsafe { buffer.cast::<u8>().write_bytes(0, size) };
    // SAFETY: as the line before; all `size` bytes are initialised by it.
    raw::stats_json(unsafe { core::slice::from_raw_parts_mut(buffer.cast(), size) })
}

/// Gives all free memory back to the system. Returns the number of bytes.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_purge() -> usize {
    raw::purge()
}

/// Tells the heap that the calling thread will be idle: the memory in its cache becomes available
/// to other threads.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_thread_idle() {
    raw::thread_idle();
}

/// Sets the soft limit in bytes: while the footprint exceeds it, free memory goes back to the
/// system at once. 0 removes the limit.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_set_memory_limit(bytes: usize) {
    raw::set_memory_limit((bytes > 0).then_some(bytes));
}

/// Returns 0 for success, and -1 with `errno` set for an error.
fn answer(result: Result<(), c_int>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => refuse(error),
    }
}

/// Begins to sample allocations for the heap profile: one sample per `rate` bytes on average; 0
/// means 512 KiB. Returns 0, or -1 with `errno` set: `ENOTSUP` without an unwinder, `ENOMEM`
/// without memory.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_profile_start(rate: usize) -> c_int {
    answer(raw::start_profile(if rate == 0 { 512 << 10 } else { rate }))
}

/// Ends sampling. The profile stays, and still counts the frees of sampled blocks.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_profile_stop() {
    raw::stop_profile();
}

/// Begins the profile that `GREYSPAN_PROFILE` requests, when the loader runs this library's
/// initialisers. The first call of the heap would be too early.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C-unwind" fn() = {
    extern "C-unwind" fn begin() {
        raw::profile_from_environment();
    }
    begin
};

/// Writes the current heap profile to the file `path`, in pprof's format. Returns 0, or -1 with
/// `errno` set: `ENODATA` if sampling was never started, `EFAULT` for a null path, or the system's
/// error.
///
/// # Safety
/// `path` is null or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn greyspan_heap_profile(path: *const c_char) -> c_int {
    if path.is_null() {
        return refuse(libc::EFAULT);
    }
    // SAFETY: `path` is not null, so it is a C string (contract of this function).
    answer(raw::write_profile(unsafe { CStr::from_ptr(path) }))
}

/// Returns the version in `Cargo.toml`, as a static C string.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version with a zero byte"),
    };
    VERSION.as_ptr()
}
