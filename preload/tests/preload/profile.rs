//! Tests the heap profiler in unmodified programs, through `GREYSPAN_PROFILE` and through the
//! functions of `greyspan.h`.

use crate::decode::Decoded;
use crate::harness::{End, preloaded, program, run};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Returns the path of a file in a folder that only this test process uses.
fn file(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("greyspan-profile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}

fn with_profile(program: impl AsRef<OsStr>, arguments: &[&str], target: &str) -> End {
    let mut command = preloaded(program);
    command.args(arguments).env("GREYSPAN_PROFILE", target);
    run(command)
}

fn read(path: &Path) -> Decoded {
    Decoded::new(&std::fs::read(path).expect("a profile"))
}

#[test]
fn a_program_in_c_writes_a_profile_at_exit_that_names_its_leak_first() {
    let path = file("leaks.pb.gz");
    let end = with_profile(
        program("leaks.c", &["-rdynamic"]),
        &[],
        &format!("{}:64KiB", path.display()),
    );
    end.assert_well();
    assert_eq!((end.out.as_str(), end.err.as_str()), ("done\n", ""));
    let profile = read(&path);
    assert_eq!((profile.default.as_str(), profile.period), ("inuse_space", 64 << 10));
    assert_eq!(profile.period_kind, ("space".to_owned(), "bytes".to_owned()));
    let in_use = profile.top("inuse_space");
    assert_eq!(in_use[0].0, "leak_here", "{in_use:?}");
    assert!((7_500_000..13_000_000).contains(&in_use[0].1), "{in_use:?}");
    let allocated = profile.top("alloc_space");
    assert_eq!(allocated[0].0, "churn_here", "{allocated:?}");
    let leak = profile.samples.iter().find(|sample| sample.functions[0] == "leak_here");
    assert!(leak.unwrap().functions.contains(&"main".to_owned()));
    assert!(
        profile
            .mappings
            .iter()
            .any(|(file, id)| file.ends_with("leaks-c") && id.len() >= 16)
    );
}

#[test]
fn an_unmodified_python_writes_a_profile_of_its_native_stacks() {
    let path = file("python.pb.gz");
    let script = "kept = [bytearray(5000) for _ in range(4000)]\nimport os\nprint(len(kept))\nimport ctypes\n\
                  assert ctypes.CDLL(None).greyspan_heap_profile(os.environ['OUT'].encode()) == 0";
    let mut command = preloaded("/usr/bin/python3");
    command.args(["-c", script]).env("OUT", &path);
    command.env(
        "GREYSPAN_PROFILE",
        format!("{}:64KiB", file("python-exit.pb.gz").display()),
    );
    let end = run(command);
    end.assert_well();
    assert_eq!(end.out, "4000\n", "{}", end.err);
    let profile = read(&path);
    let bytes: i64 = profile.samples.iter().map(|sample| sample.values[3]).sum();
    assert!((16_000_000..28_000_000).contains(&bytes), "{bytes}");
    let deepest = profile.samples.iter().map(|sample| sample.depth).max();
    assert!(deepest > Some(8), "stacks reach through the interpreter: {deepest:?}");
    assert!(profile.mappings.iter().any(|(file, _)| file.contains("python3")));
    // No check of its content: Python has freed most blocks when it exits.
    read(&file("python-exit.pb.gz"));
}

#[test]
fn bad_input_is_told_in_one_line_and_the_program_goes_on() {
    let leaks = program("leaks.c", &["-rdynamic"]);
    for (target, told) in [
        ("/no/such/folder/p.pb.gz", "no such folder"),
        ("/", "it is a folder"),
        ("p.pb.gz:0", "GREYSPAN_PROFILE=p.pb.gz:0 is ignored"),
        ("p.pb.gz:often", "GREYSPAN_PROFILE=p.pb.gz:often is ignored"),
        ("", "GREYSPAN_PROFILE= is ignored"),
        (":64KiB", "GREYSPAN_PROFILE=:64KiB is ignored"),
    ] {
        let end = with_profile(&leaks, &[], target);
        assert_eq!(
            (end.code, end.out.as_str()),
            (Some(0), "done\n"),
            "{target}: {}",
            end.err
        );
        assert_eq!(end.err.lines().count(), 1, "{target}: {}", end.err);
        assert!(
            end.err.starts_with("greyspan: ") && end.err.contains(told),
            "{target}: {}",
            end.err
        );
    }
    assert!(!Path::new("p.pb.gz").exists());
}

/// Runs the cases of `semantics.c` that do not check the library's counts, and cases of
/// `survival.c`, with nearly every block sampled.
#[test]
fn sampled_objects_keep_the_rules_of_c() {
    let semantics = program("semantics.c", &[]);
    for case in [
        "malloc_and_calloc_of_zero_bytes_give_unique_blocks",
        "overflowing_products_give_enomem_and_keep_the_block",
        "realloc_that_fails_keeps_the_block",
        "realloc_keeps_what_both_sizes_hold",
        "realloc_takes_aligned_blocks",
        "realloc_keeps_all_that_usable_size_reports",
        "alignments_from_8_bytes_to_64_mib_are_kept",
        "memalign_rounds_its_alignment_up",
        "valloc_and_pvalloc_give_whole_pages",
        "every_size_is_aligned_to_16_bytes",
        "all_that_usable_size_reports_may_be_written",
        "calloc_zeroes_all_that_usable_size_reports",
        "free_keeps_errno_and_accepts_null",
        "sized_frees_take_the_sizes_that_were_asked_for",
    ] {
        with_profile(&semantics, &[case], "/dev/null:64").assert_well();
        with_profile(&semantics, &[case, "forked"], "/dev/null:64").assert_well();
    }
    let survival = program("survival.c", &[]);
    for case in [
        "fork_under_load",
        "fork_from_handlers",
        "signals",
        "signals_under_load",
        "blocks_outlive_threads",
        "cancelled_threads",
        "destructors_of_keys",
        "exit_while_threads_run",
        "little_stacks",
    ] {
        let end = with_profile(&survival, &[case], "/dev/null:256");
        end.assert_well();
        assert_eq!(end.err, "", "{case}");
    }
}

#[test]
fn what_is_freed_twice_is_found_of_sampled_objects_too() {
    let mut command = preloaded("/usr/bin/python3");
    let script = "import ctypes\nc = ctypes.CDLL(None)\nc.malloc.restype = ctypes.c_void_p\nc.free.argtypes = [ctypes.c_void_p]\n\
                  p = c.malloc(100)\nc.free(p)\nc.free(p)\nprint('lives')";
    command.args(["-c", script]).env("GREYSPAN_PROFILE", "/dev/null:1");
    let end = run(command);
    assert_eq!(end.signal, Some(libc::SIGABRT), "{}{}", end.out, end.err);
    assert!(end.err.contains("free") && !end.out.contains("lives"), "{}", end.err);
}
