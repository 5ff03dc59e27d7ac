//! Memory of the process's other allocators: libc's own `malloc`, which ran before this heap took
//! its place, and the loader's.
//!
//! libc's blocks lie in the range of the program break, which nothing else uses. The loader's first
//! blocks lie behind its own data. Few correct programs mix allocators, and wrong pointers usually
//! lie elsewhere. The heap asks only about pointers that it does not know.

use super::errno::KeepErrno;
use crate::base::addr::align_up;
use core::ffi::{c_int, c_void};

/// Returns whether another allocator has its blocks where `ptr` points.
#[cold]
pub(crate) fn is_others(ptr: *mut u8) -> bool {
    let _errno = KeepErrno::new();
    ptr.addr().is_multiple_of(16) && (left_of_break(ptr.addr()).is_some() || is_loaders(ptr.addr()))
}

/// Returns the usable bytes behind `ptr` if its allocator tells them, else 0.
#[cold]
pub(crate) fn usable(ptr: *mut u8) -> usize {
    let _errno = KeepErrno::new();
    match left_of_break(ptr.addr()) {
        Some(left) if ptr.addr().is_multiple_of(16) => {
            // A glibc chunk begins two words before the block. Its second word is the chunk's size,
            // with flags in the low three bits.
            // SAFETY: the break's range is readable, and the block is not at its start.
            let size = unsafe { ptr.cast::<usize>().wrapping_sub(1).read() } & !7;
            size.saturating_sub(8).min(left)
        }
        _ => 0,
    }
}

/// Returns the bytes from `address` to the end of the program break's range; `None` outside the
/// range and at its start.
fn left_of_break(address: usize) -> Option<usize> {
    // SAFETY: moves nothing.
    let end = unsafe { libc::sbrk(0) }.addr();
    if address >= end {
        return None;
    }
    (address >= break_start()? + 16).then_some(end - address)
}

/// Returns the start of the program break's range: field 47 of `/proc/self/stat`.
fn break_start() -> Option<usize> {
    // SAFETY: the path is a C string.
    let file = unsafe { libc::open(c"/proc/self/stat".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    let mut text = [0u8; 1024];
    // SAFETY: the buffer is as long as stated.
    let got = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    let text = text.get(..usize::try_from(got).ok()?)?;
    // The second field is a name in parentheses and may hold any bytes. The third field follows the
    // last parenthesis.
    let behind_name = text.iter().rposition(|&byte| byte == b')')? + 2;
    let field = text.get(behind_name..)?.split(|&byte| byte == b' ').nth(47 - 3)?;
    let number = field.iter().try_fold(0usize, |sum, digit| {
        sum.checked_mul(10)?
            .checked_add(char::from(*digit).to_digit(10)? as usize)
    })?;
    (number > 0).then_some(number)
}

/// Returns whether `address` lies between the end of the loader's data and the end of that page.
fn is_loaders(address: usize) -> bool {
    let mut search = Search { address, found: false };
    // SAFETY: the callback gets `search`, which lives as long as the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

struct Search {
    address: usize,
    found: bool,
}

unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: the caller is `dl_iterate_phdr`, with the search of `is_loaders`.
    let search = unsafe { &mut *search.cast::<Search>() };
    // SAFETY: `dl_iterate_phdr` passes a valid object.
    let info = unsafe { &*info };
    // SAFETY: always callable.
    let loader = unsafe { libc::getauxval(libc::AT_BASE) };
    if loader == 0 || info.dlpi_addr != loader {
        return 0;
    }
    // SAFETY: always callable.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    for index in 0..usize::from(info.dlpi_phnum) {
        // SAFETY: `index` is below the object's number of headers.
        let header = unsafe { &*info.dlpi_phdr.wrapping_add(index) };
        if header.p_type == libc::PT_LOAD {
            let end = (loader + header.p_vaddr + header.p_memsz) as usize;
            search.found |= (end..align_up(end, page)).contains(&search.address);
        }
    }
    1
}
