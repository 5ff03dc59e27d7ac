//! The lines that the allocator writes to standard error, so that no invalid option and no exceeded
//! limit goes unnoticed.

use std::alloc::{GlobalAlloc, Layout};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use crate::GLOBAL;
use crate::harness::{DONE, KEY, Next, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("words::an_option_without_its_feature_names_the_feature", features),
    Scenario::new("words::a_bad_size_is_answered_with_the_rule_of_sizes", sizes),
    Scenario::new("words::the_hard_limit_is_named_before_the_program_ends_of_it", ends),
    Scenario::new("words::the_hard_limit_is_named_once_where_the_program_goes_on", goes_on),
    Scenario::new(DIES, dies),
    Scenario::new(TRIES, tries),
];

const DIES: &str = "words::a_program_that_takes_more_than_its_limit";
const TRIES: &str = "words::a_program_that_tries_to_take_more_than_its_limit";

/// Returns the standard error and the exit status of this binary with a scenario and one variable
/// set.
fn said(scenario: &str, key: &str, value: &str) -> (String, ExitStatus) {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    command
        .env(KEY.to_str().expect("ASCII"), scenario)
        .env(key, value)
        .stderr(writer);
    let mut child = command.spawn().expect("a child");
    // The command holds the writing end of the pipe.
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("UTF-8");
    (text, child.wait().expect("an end"))
}

fn features() -> Next {
    for key in ["GREYSPAN_GC", "GREYSPAN_TRACE"] {
        let (text, status) = said(TRIES, key, if key == "GREYSPAN_GC" { "200" } else { "gc" });
        assert!(status.success(), "{text}");
        if cfg!(feature = "gc") {
            assert_eq!(text, "");
        } else {
            assert!(
                text.lines().count() == 1 && text.contains(key) && text.contains("feature gc"),
                "{text}"
            );
        }
    }
    DONE
}

fn sizes() -> Next {
    for good in ["512mib", "1G", "1gb", "1GiB"] {
        assert_eq!(said(TRIES, "GREYSPAN_MEMLIMIT", good).0, "", "{good}");
    }
    for bad in ["half", "1.5G", "12 MiB"] {
        let (text, status) = said(TRIES, "GREYSPAN_MEMLIMIT", bad);
        assert!(status.success() && text.contains("powers of 1024"), "{text}");
    }
    DONE
}

/// Runs in its own process: insists on refused memory, unless it runs without a limit.
fn dies() -> Next {
    if greyspan::hard_limit().is_some() {
        let mut all = Vec::new();
        for _ in 0..1000 {
            all.push(vec![1u8; 1 << 20]);
        }
    }
    DONE
}

/// Runs in its own process: goes on after a refused request, as `try_reserve` does, for small and
/// large sizes.
fn tries() -> Next {
    if greyspan::hard_limit().is_some() {
        for size in [8 << 20, 48, 3 << 10, 1 << 20] {
            let layout = Layout::from_size_align(size, 16).expect("a layout");
            // SAFETY: the layout is not empty. The blocks live until the process ends.
            let refused = (0..1 << 20).any(|_| unsafe { GLOBAL.alloc(layout) }.is_null());
            assert!(refused, "{size}");
        }
        let mut bytes = Vec::<u8>::new();
        assert!(bytes.try_reserve(64 << 20).is_err());
    }
    DONE
}

fn ends() -> Next {
    let (text, status) = said(DIES, "GREYSPAN_HARD_LIMIT", "32mb");
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{text}");
    let limit = text.find("hard limit of 33554432 bytes (GREYSPAN_HARD_LIMIT");
    assert!(
        limit.is_some() && limit < text.find("memory allocation of 1048576"),
        "{text}"
    );
    DONE
}

fn goes_on() -> Next {
    let (text, status) = said(TRIES, "GREYSPAN_HARD_LIMIT", "32M");
    assert!(status.success(), "{text}");
    assert!(
        text.lines().count() == 1 && text.contains("hard limit of 33554432"),
        "{text}"
    );
    DONE
}
