//! A plug-in with its own instance of the heap is loaded and unloaded.

use std::ffi::CString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::harness::{DONE, Next, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "plugin::no_thread_runs_code_that_a_plug_in_took_along",
    closed,
)];

/// Builds the plug-in with the features of this test and returns its path.
fn plugin() -> PathBuf {
    let test = std::env::current_exe().expect("the test's path");
    let folder = test.ancestors().nth(2).expect("the folder of the build").to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", "plugin", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    cargo.arg("--target-dir").arg(folder.parent().expect("its folder"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    for (on, name) in [
        (cfg!(feature = "gc"), "gc"),
        (cfg!(feature = "profiling"), "profiling"),
        (cfg!(feature = "stats"), "stats"),
    ] {
        if on {
            cargo.args(["--features", name]);
        }
    }
    assert!(cargo.status().expect("cargo").success(), "{cargo:?}");
    folder.join("examples/libplugin.so")
}

type Work = extern "C" fn() -> usize;

fn open(path: &CString) -> (*mut libc::c_void, Work) {
    // SAFETY: the path is a C string, and the plug-in runs no code when it is loaded.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null());
    // SAFETY: the handle is valid, and the name is a C string.
    let work = unsafe { libc::dlsym(handle, c"PLUGIN_WORK".as_ptr()) };
    assert!(!work.is_null());
    // SAFETY: the static has this type.
    (handle, unsafe { work.cast::<Work>().read() })
}

fn closed() -> Next {
    let path = CString::new(plugin().into_os_string().into_encoded_bytes()).expect("a path");
    // SAFETY: no other thread exists. The plug-in's heap reads the variable, so that its background
    // thread looks soon.
    unsafe { std::env::set_var("GREYSPAN_PURGE_DELAY", "5") };
    for _ in 0..3 {
        let (handle, work) = open(&path);
        assert_eq!(work(), 64);
        // A thread that still has a cache of the plug-in's heap when that is unloaded, and ends
        // afterwards.
        let (worked, has_worked) = mpsc::channel();
        let (may_end, end) = mpsc::channel::<()>();
        let other = thread::spawn(move || {
            worked.send(work()).unwrap();
            let _ = end.recv();
        });
        assert_eq!(has_worked.recv(), Ok(64));
        // SAFETY: no thread runs the plug-in's function, and none will call it again.
        assert_eq!(unsafe { libc::dlclose(handle) }, 0);
        drop(may_end);
        other.join().unwrap();
        // Gives the plug-in's background thread time to look several times.
        thread::sleep(Duration::from_millis(200));
    }
    DONE
}
