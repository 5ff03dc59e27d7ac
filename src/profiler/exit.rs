//! `GREYSPAN_PROFILE`: the profile that a Rust program writes when it exits.

use super::Profile;
use crate::options::profile_target;
use crate::os::report;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Runs at exit; says in one line what went wrong, if anything did.
pub(crate) extern "C-unwind" fn write_at_exit() {
    let Some((path, _)) = profile_target() else { return };
    let mut name = Vec::new();
    super::spell(path, &mut |byte| name.push(byte));
    let path = Path::new(OsStr::from_bytes(&name));
    // What the process does at its end is not in its profile.
    super::end();
    // Nobody would catch it behind this.
    let written = catch_unwind(AssertUnwindSafe(|| {
        let mut file = BufWriter::new(File::create(path)?);
        super::pprof::write(&Profile::take(), &mut file)?;
        file.flush()
    }));
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => report::warn(format_args!("no heap profile in {}: {error}", path.display())),
        Err(_) => report::warn(format_args!("no heap profile in {}", path.display())),
    }
}
