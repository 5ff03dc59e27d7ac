//! A program with another global allocator: a profile reports that instead of sampling nothing.

use greyspan::profile;
use std::alloc::{GlobalAlloc, Layout};
use std::io::ErrorKind;

/// A single test, because the requests of its second half count for the whole process.
#[test]
fn a_profile_is_refused_until_the_program_asks_greyspan_for_something() {
    let refused = profile::start(1 << 10).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("global allocator"), "{refused}");
    assert!(!profile::is_active());

    // A part of the program that uses Greyspan directly can be profiled.
    let (part, layout) = (greyspan::Greyspan::new(), Layout::new::<[u8; 100]>());
    // SAFETY: the layout is not empty.
    let block = unsafe { part.alloc(layout) };
    assert!(!block.is_null());
    profile::start(1 << 10).expect("there is something to sample");
    profile::stop();
    // SAFETY: allocated above with this layout.
    unsafe { part.dealloc(block, layout) };
}
