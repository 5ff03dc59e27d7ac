//! `GREYSPAN_PROFILE`: writes the profile of a Rust program when it exits.

use super::Profile;
use crate::options::profile_target;
use crate::os::report;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Writes the profile at exit. If that fails, says so in one line.
pub(crate) extern "C-unwind" fn write_at_exit() {
    let Some((path, _)) = profile_target() else { return };
    let mut name = Vec::new();
    super::spell(path, &mut |byte| name.push(byte));
    let path = Path::new(OsStr::from_bytes(&name));
    // The profile leaves out allocations during the exit itself.
    super::end();
    // No code outside of this function catches a panic.
    let written = catch_unwind(AssertUnwindSafe(|| {
        let mut file = BufWriter::new(File::create(path)?);
        super::output::pprof::write(&Profile::take(), &mut file)?;
        file.flush()
    }));
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => report::warn(format_args!(
            "cannot write the heap profile to {}: {error}",
            path.display()
        )),
        Err(_) => report::warn(format_args!(
            "cannot write the heap profile to {}: its writer panicked",
            path.display()
        )),
    }
}
