//! Tests `GREYSPAN_PROFILE`: starts this program again with the variable set and one test to run.

use crate::decode::Decoded;
use std::fs;
use std::process::{Command, Output};

/// The work of the started program.
pub(crate) fn does_something() {
    let kept: Vec<Vec<u8>> = (0..2_000).map(|n| vec![n as u8; 1_000]).collect();
    std::mem::forget(kept);
}

fn start(target: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exit::does_something"])
        .env("GREYSPAN_PROFILE", target)
        .output()
        .unwrap()
}

pub(crate) fn a_program_writes_the_profile_that_its_environment_asks_for_when_it_exits() {
    let folder = std::env::temp_dir().join(format!("greyspan-exit-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let end = start(&format!("{}/heap.%p.pb.gz:16KiB", folder.display()));
    assert!(end.status.success() && end.stderr.is_empty(), "{end:?}");
    let written: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [path] = &written[..] else { panic!("{written:?}") };
    let name = path.file_name().unwrap().to_str().unwrap();
    let number = name.strip_prefix("heap.").and_then(|name| name.strip_suffix(".pb.gz"));
    assert!(
        number.is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 1)),
        "{name}"
    );
    let profile = Decoded::new(&fs::read(path).unwrap());
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(profile.period, 16 << 10);
    let top = profile.top("inuse_space");
    assert!(top[0].0.contains("does_something"), "{top:?}");
    assert!((1_500_000..2_600_000).contains(&top[0].1), "{top:?}");
}

pub(crate) fn a_target_that_is_wrong_is_told_in_one_line_and_the_program_goes_on() {
    for (target, told) in [
        (
            "/no/such/folder/p.pb.gz",
            "cannot write the heap profile to /no/such/folder/p.pb.gz: No such file",
        ),
        ("/", "cannot write the heap profile to /: Is a directory"),
        ("p.pb.gz:0", "GREYSPAN_PROFILE=p.pb.gz:0 is ignored: it takes a path"),
        ("p.pb.gz:-5", "is ignored: it takes a path"),
        ("p.pb.gz:often", "is ignored: it takes a path"),
        ("", "is ignored: it takes a path"),
    ] {
        let end = start(target);
        let told_us = String::from_utf8(end.stderr).unwrap();
        assert!(end.status.success(), "{target}: {told_us}");
        assert_eq!(told_us.lines().count(), 1, "{target}: {told_us}");
        assert!(told_us.contains(told), "{target}: {told_us}");
    }
}
