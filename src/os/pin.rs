//! Keeps the object that holds this code loaded, even if the program closes it.
//!
//! A plug-in written in Rust may use the heap as its own allocator. A `dlclose` would unmap the
//! code that the background thread runs, and the code that the C library calls when a thread ends.
//! So the object pins itself before it first creates either of them.
//!
//! Four cases need no pin:
//!
//! - The program itself is never closed.
//! - libgreyspan.so is linked so that it stays.
//! - musl never unloads an object.
//! - A static program has no loader.

use crate::os::errno::KeepErrno;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::null;

/// Whether a program may close the object, as far as the target tells.
const MAY_BE_CLOSED: bool = cfg!(all(
    not(checked),
    target_env = "gnu",
    not(target_feature = "crt-static")
));

/// A search for the object that holds an address. `name` is the loader's name of it; null for
/// the program itself.
struct Search {
    address: usize,
    program: usize,
    name: *const c_char,
    found: bool,
}

/// Pins the object, unless no program can close it. `false`: the loader refuses.
///
/// Takes the loader's lock and may call the C library's `malloc`. So the caller holds no lock.
pub(crate) fn pin() -> bool {
    if !MAY_BE_CLOSED {
        return true;
    }
    let _errno = KeepErrno::new();
    let mut search = Search {
        address: (&raw const ANCHOR).addr(),
        // SAFETY: always callable.
        program: unsafe { libc::getauxval(libc::AT_PHDR) } as usize,
        name: null(),
        found: false,
    };
    // SAFETY: the callback gets `search`, which lives as long as the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    if !search.found || search.name.is_null() {
        return search.found;
    }
    let mode = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the name is that of a loaded object, which holds this code. Nothing is loaded and
    // no code runs.
    let handle = unsafe { libc::dlopen(search.name, mode) };
    !handle.is_null()
}

/// An address inside the object.
static ANCHOR: u8 = 0;

unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: the caller is `dl_iterate_phdr`, with the search of `pin`.
    let search = unsafe { &mut *search.cast::<Search>() };
    // SAFETY: `dl_iterate_phdr` passes a valid object.
    let info = unsafe { &*info };
    for index in 0..usize::from(info.dlpi_phnum) {
        // SAFETY: `index` is below the object's number of headers.
        let header = unsafe { &*info.dlpi_phdr.wrapping_add(index) };
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        if header.p_type == libc::PT_LOAD && search.address.wrapping_sub(start) < header.p_memsz as usize {
            search.found = true;
            if info.dlpi_phdr.addr() != search.program {
                search.name = info.dlpi_name;
            }
            return 1;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_itself_needs_no_pin() {
        assert!(super::pin());
    }
}
