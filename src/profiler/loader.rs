//! Asks the loader for the files whose code the process has mapped. That allocates nothing.

use super::maps::{ID_MAX, Mapping};
use core::ffi::{CStr, c_int, c_void};

/// The function does not unwind. With an ABI that forbids unwinding the compiler would add code for
/// that case.
type Visit = unsafe extern "C-unwind" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;

unsafe extern "C" {
    fn dl_iterate_phdr(visit: Visit, argument: *mut c_void) -> c_int;
}

/// Calls `each` with the executable parts of all files. The paths are valid during the call.
pub(super) fn each(mut each: impl FnMut(Mapping)) {
    let mut dynamic: &mut dyn FnMut(Mapping) = &mut each;
    // SAFETY: `visit` takes this argument, and is called only during this call.
    unsafe { dl_iterate_phdr(visit, (&raw mut dynamic).cast()) };
}

unsafe extern "C-unwind" fn visit(info: *mut libc::dl_phdr_info, _: usize, each: *mut c_void) -> c_int {
    // SAFETY: the argument that `each` passed, which lives during the call.
    let each = unsafe { &mut *each.cast::<&mut dyn FnMut(Mapping)>() };
    // SAFETY: the loader's record, valid during the call.
    let info = unsafe { &*info };
    let base = info.dlpi_addr as usize;
    let headers = if info.dlpi_phdr.is_null() {
        &[]
    } else {
        // SAFETY: the loader gives so many headers, which lie in the file's mapping.
        unsafe { core::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
    };
    let path = if info.dlpi_name.is_null() {
        c""
    } else {
        // SAFETY: a C string, valid during the call; `each` does not keep it.
        unsafe { CStr::from_ptr(info.dlpi_name) }
    };
    let notes = headers.iter().filter(|header| header.p_type == libc::PT_NOTE);
    let (mut id, mut id_len) = ([0; ID_MAX], 0);
    for header in notes {
        let start = core::ptr::from_ref(header).cast::<u8>();
        let start = start.with_addr(base.wrapping_add(header.p_vaddr as usize));
        // SAFETY: a note segment is readable at the loader's address.
        let notes = unsafe { core::slice::from_raw_parts(start, header.p_filesz as usize) };
        if let Some(found) = build_id(notes, header.p_align as usize) {
            id_len = found.len().min(ID_MAX);
            for (place, byte) in id.iter_mut().zip(found) {
                *place = *byte;
            }
        }
    }
    for header in headers {
        if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0 {
            // Whole pages, since the system maps whole pages.
            let slack = header.p_vaddr as usize % 4096;
            let start = base.wrapping_add(header.p_vaddr as usize).wrapping_sub(slack);
            each(Mapping {
                start,
                end: start + slack + header.p_memsz as usize,
                offset: (header.p_offset as usize).saturating_sub(slack),
                path: path.to_bytes(),
                id,
                id_len,
            });
        }
    }
    0
}

/// Returns the build id among the notes of a file.
fn build_id(mut notes: &[u8], align: usize) -> Option<&[u8]> {
    const GNU: u32 = 3;
    let up = |n: usize| n.checked_next_multiple_of(if align == 8 { 8 } else { 4 });
    loop {
        let word = |index: usize| {
            let bytes = notes.get(index * 4..index * 4 + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (name_len, len, kind) = (word(0)? as usize, word(1)? as usize, word(2)?);
        let body = up(12usize.checked_add(name_len)?)?;
        let end = body.checked_add(len)?;
        if kind == GNU && notes.get(12..12 + name_len) == Some(b"GNU\0") {
            return notes.get(body..end);
        }
        notes = notes.get(up(end)?..)?;
    }
}
