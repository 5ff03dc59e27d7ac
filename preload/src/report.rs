//! What C programs ask about the heap: glibc's `mallinfo` and its kin, and the library's own functions of `greyspan.h`.
//!
//! Figures come from one snapshot of `greyspan::stats()`, whose fields say how exact they are.

use core::ffi::{CStr, c_char, c_int};
use core::fmt::{self, Write};
use heap::{Stats, raw};

/// glibc's `struct mallinfo2`.
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

/// glibc's `struct mallinfo`, whose fields hold what fits.
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

/// The figures of `mallinfo2`: `arena`, the bytes of the heap with memory behind them, are `uordblks` in use and `fordblks` free, of which
/// `keepcost` could go back to the system now. What the other fields count there is not here.
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

/// glibc's `mallinfo2`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn mallinfo2() -> MallInfo2 {
    info()
}

/// glibc's `mallinfo`.
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

/// glibc's `malloc_trim`: gives free memory back to the system, and tells whether there was any. `_pad` bytes that may stay do not matter here.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn malloc_trim(_pad: usize) -> c_int {
    c_int::from(raw::purge() > 0)
}

/// glibc's `mallopt`: accepts its parameters, none of which has a meaning here, and no others.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn mallopt(parameter: c_int, _value: c_int) -> c_int {
    c_int::from((-8..=4).contains(&parameter) && parameter != 0)
}

/// glibc's `malloc_stats`: the statistics to standard error, as a table.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn malloc_stats() {
    raw::show_stats();
}

/// A stream of C, to write to.
struct Stream(*mut libc::FILE);

impl Write for Stream {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        // SAFETY: the stream is the caller's of `malloc_info`, and the bytes are those of a string.
        let written = unsafe { libc::fwrite(part.as_ptr().cast(), 1, part.len(), self.0) };
        if written == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The document of `malloc_info`, of glibc's shape: `sizes` are the classes, with the objects in use and their bytes.
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
    writeln!(out, "<system type=\"max\" size=\"{}\"/>", stats.mapped)?;
    writeln!(out, "<aspace type=\"total\" size=\"{}\"/>", stats.mapped)?;
    writeln!(out, "<aspace type=\"mprotect\" size=\"{}\"/>", stats.mapped)
}

/// glibc's `malloc_info`: the statistics as XML. 0, or -1 with `errno` set: for options, of which there are none, or by the stream.
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

fn refuse(error: c_int) -> c_int {
    // SAFETY: gives the place of the calling thread's `errno`.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is valid.
    unsafe { place.write(error) };
    -1
}

/// The statistics as JSON, as `snprintf` writes: at most `size` bytes with the zero at the end; the length of the whole.
///
/// # Safety
/// `buffer` is valid for `size` bytes to be written, or `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn greyspan_stats_json(buffer: *mut c_char, size: usize) -> usize {
    if buffer.is_null() || size == 0 {
        return raw::stats_json(&mut []);
    }
    // SAFETY: as the caller promised.
    unsafe { buffer.cast::<u8>().write_bytes(0, size) };
    // SAFETY: likewise, and written just now.
    raw::stats_json(unsafe { core::slice::from_raw_parts_mut(buffer.cast(), size) })
}

/// Gives all free memory back to the system. Returns the bytes.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_purge() -> usize {
    raw::purge()
}

/// The calling thread will be idle: what it keeps is there for others.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_thread_idle() {
    raw::thread_idle();
}

/// Bytes of footprint beyond which free memory goes back at once; 0 for no limit.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_set_memory_limit(bytes: usize) {
    raw::set_memory_limit((bytes > 0).then_some(bytes));
}

fn answer(result: Result<(), c_int>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => refuse(error),
    }
}

/// Begins to sample for the heap profile, once in `rate` bytes in the mean; 0 for the usual 512 KiB. 0, or -1 with `errno` set.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_profile_start(rate: usize) -> c_int {
    answer(raw::start_profile(if rate == 0 { 512 << 10 } else { rate }))
}

/// Ends sampling. The profile stays, and frees of what was sampled are counted still.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_profile_stop() {
    raw::stop_profile();
}

/// Begins the profile that the environment asks for, when the library is loaded: at the first call of the heap it would be too early.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C-unwind" fn() = {
    extern "C-unwind" fn begin() {
        raw::profile_from_environment();
    }
    begin
};

/// Writes the heap profile to the file `path`, for pprof. 0, or -1 with `errno` set: by the system, or to `ENODATA` where none was begun.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn greyspan_heap_profile(path: *const c_char) -> c_int {
    if path.is_null() {
        return refuse(libc::EFAULT);
    }
    // SAFETY: as the caller promised.
    answer(raw::write_profile(unsafe { CStr::from_ptr(path) }))
}

/// The version, as in `Cargo.toml`.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn greyspan_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version with a zero byte"),
    };
    VERSION.as_ptr()
}
