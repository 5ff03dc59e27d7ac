//! Reads the environment in place, because the standard library's functions allocate and lock.

use core::ffi::{CStr, c_char};

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// Returns the variables whose names begin with `prefix`, as name and value. Returns none if the
/// program runs with another user's rights, so that its caller cannot steer it.
pub(crate) fn variables(prefix: &'static [u8]) -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    // SAFETY: always callable.
    let privileged = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    let mut at = core::ptr::null();
    if !privileged {
        // SAFETY: read once, at the first allocation, while libc keeps it valid.
        at = unsafe { environ };
    }
    core::iter::from_fn(move || {
        // SAFETY: null, or an entry of the array, which ends with null.
        let entry = *unsafe { at.as_ref() }?;
        if entry.is_null() {
            return None;
        }
        at = at.wrapping_add(1);
        // SAFETY: entries are C strings that live as long as the environment is not changed.
        Some(unsafe { CStr::from_ptr(entry) }.to_bytes())
    })
    .filter_map(move |entry| {
        if !entry.starts_with(prefix) {
            return None;
        }
        let equals = entry.iter().position(|&byte| byte == b'=')?;
        Some((entry.get(..equals)?, entry.get(equals + 1..)?))
    })
}
