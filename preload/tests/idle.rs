//! Programs that free most of their memory and fall asleep become small under libgreyspan.so.
//!
//! This binary is its own harness: it runs itself once for each test, with the library preloaded.
//! To run one, with its figures: `cargo test --release -p greyspan-preload --test idle --
//! idle_batches`; with `--whole` at the whole size.

#[path = "preload/harness.rs"]
#[allow(dead_code, reason = "the C programs are for other tests")]
mod harness;
#[path = "../../tests/idle/judge.rs"]
mod judge;
#[path = "../../tests/support/idle.rs"]
mod programs;

use std::process::ExitCode;

fn main() -> ExitCode {
    judge::main(&judge::Form {
        environment: || {
            let library = harness::library().into_os_string();
            vec![("LD_PRELOAD", library.into_string().expect("a path in UTF-8"))]
        },
        purge,
    })
}

/// Calls `greyspan_purge` of the preloaded library.
fn purge() {
    // SAFETY: the name is a C string.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"greyspan_purge".as_ptr()) };
    assert!(!symbol.is_null(), "the library is not preloaded");
    #[expect(
        clippy::disallowed_methods,
        reason = "the linker knows the function by its address only"
    )]
    // SAFETY: the declaration in greyspan.h.
    let purge = unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> usize>(symbol) };
    purge();
}
