//! Sampled objects behave like all others, in every state of a thread and of the profiler.

use greyspan::Greyspan;
use greyspan::profile::{self, Profile, View};
use std::alloc::{GlobalAlloc, Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::RefCell;
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

/// At this rate every object is sampled.
const ALL: usize = 1;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn fill(block: *mut u8, size: usize, seed: usize) {
    // SAFETY: the block has this many bytes and belongs to the caller.
    unsafe { block.write_bytes(seed as u8, size) };
}

fn check(block: *const u8, size: usize, seed: usize) {
    // SAFETY: the block has this many bytes, and `fill` initialised them.
    let bytes = unsafe { std::slice::from_raw_parts(block, size) };
    assert!(bytes.iter().all(|&byte| byte == seed as u8));
}

pub(crate) fn sampled_objects_of_every_size_and_alignment_hold_what_they_should_and_can_be_freed() {
    profile::start(ALL).unwrap();
    let before = Profile::take().total(View::InuseSpace);
    let mut held = Vec::with_capacity(4096);
    for align in [1, 8, 16, 64, 256, 4096, 8192, 1 << 15] {
        for size in [
            1, 7, 16, 100, 1_000, 4_096, 8_191, 8_192, 8_193, 32_768, 32_769, 100_000,
        ] {
            let layout = layout(size, align);
            // SAFETY: the layout is not empty.
            let block = unsafe { alloc(layout) };
            assert!(!block.is_null() && block.addr().is_multiple_of(align));
            let usable = greyspan::usable_size(NonNull::new(block).unwrap(), layout);
            assert!(usable >= size);
            fill(block, usable, size);
            held.push((block, layout, usable));
        }
    }
    for &(block, layout, usable) in &held {
        check(block, usable, layout.size());
    }
    profile::stop();
    for (block, layout, _) in held.drain(..) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(block, layout) };
    }
    drop(held);
    let after = Profile::take().total(View::InuseSpace);
    assert!((after - before).abs() < 4096, "{before} {after}");
}

pub(crate) fn zeroed_objects_are_zero_whether_they_are_sampled_or_not() {
    profile::start(2_000).unwrap();
    for round in 0..200 {
        for size in [8, 64, 500, 5_000, 40_000, 300_000] {
            let layout = layout(size, 8);
            // SAFETY: the layout is not empty.
            let block = unsafe { alloc_zeroed(layout) };
            check(block, size, 0);
            fill(block, size, round | 1);
            // SAFETY: allocated with this layout.
            unsafe { dealloc(block, layout) };
        }
    }
    profile::stop();
}

pub(crate) fn resized_objects_keep_what_they_hold_and_the_profile_follows_their_size() {
    for rate in [ALL, 64 << 10] {
        profile::start(rate).unwrap();
        let (mut size, align) = (10, 8);
        // SAFETY: the layout is not empty.
        let mut block = unsafe { alloc(layout(size, align)) };
        fill(block, size, 3);
        for next in [
            12,
            200,
            5_000,
            33_000,
            70_000,
            500_000,
            3 << 20,
            9 << 20,
            17 << 20,
            2 << 20,
            40_000,
            9_000,
            100,
            9,
        ] {
            // SAFETY: allocated with this layout.
            block = unsafe { realloc(block, layout(size, align), next) };
            check(block, size.min(next), 3);
            fill(block, next, 3);
            size = next;
            if rate == ALL && next > 1 << 20 {
                let kept = Profile::take().total(View::InuseSpace);
                assert!(kept >= next as i64, "{kept} of {next}");
            }
        }
        // SAFETY: allocated with this layout.
        unsafe { dealloc(block, layout(size, align)) };
        profile::stop();
    }
    assert!(
        Profile::take().total(View::InuseSpace) < 1 << 20,
        "nothing large is left"
    );
}

pub(crate) fn objects_that_other_threads_free_are_counted_as_freed() {
    profile::start(512).unwrap();
    let before = Profile::take();
    let (sender, receiver) = mpsc::sync_channel::<Vec<Box<[u8; 200]>>>(4);
    let freer = thread::spawn(move || receiver.into_iter().map(|batch| batch.len()).sum::<usize>());
    let makers: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || {
                for _ in 0..100 {
                    sender
                        .send((0..100).map(|n| Box::new([n as u8; 200])).collect())
                        .unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    makers.into_iter().for_each(|maker| maker.join().unwrap());
    assert_eq!(freer.join().unwrap(), 30_000);
    profile::stop();
    let delta = Profile::take().diff(&before);
    let (made, left) = (delta.total(View::AllocSpace), delta.total(View::InuseSpace));
    assert!((5_000_000..8_000_000).contains(&made), "{made}");
    assert!(left < 100_000, "{left}");
}

pub(crate) fn small_objects_with_a_large_alignment_are_counted_as_freed() {
    // Frees of such objects go to the bin of their size: it must have room.
    let small = layout(100, 8);
    // SAFETY: the layout is not empty.
    let make = |count| -> Vec<*mut u8> { (0..count).map(|_| black_box(unsafe { alloc(small) })).collect() };
    let give = |blocks: Vec<*mut u8>| {
        for block in blocks {
            // SAFETY: allocated with this layout, and freed once.
            unsafe { dealloc(block, small) };
        }
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        give(make(300));
        held.push(make(200));
    }
    profile::start(ALL).unwrap();
    let before = Profile::take().total(View::InuseSpace);
    let layout = layout(100, 16 << 10);
    for _ in 0..2 {
        // SAFETY: the layout is not empty.
        let blocks: Vec<*mut u8> = (0..200).map(|_| unsafe { alloc(layout) }).collect();
        for &block in &blocks {
            assert!(block.addr().is_multiple_of(layout.align()));
            fill(block, 100, 7);
        }
        let held = Profile::take().total(View::InuseSpace) - before;
        assert!(held >= 200 * 100, "{held}");
        for block in blocks {
            check(block, 100, 7);
            // SAFETY: allocated with this layout above, and freed once.
            unsafe { dealloc(block, layout) };
        }
    }
    profile::stop();
    let left = Profile::take().total(View::InuseSpace) - before;
    held.into_iter().for_each(give);
    assert!(left < 100 * 100, "{left}");
}

pub(crate) fn what_was_sampled_before_a_stop_is_counted_when_it_is_freed_after_it() {
    profile::start(256).unwrap();
    let kept: Vec<Box<[u8; 100]>> = (0..1_000).map(|_| Box::new([1; 100])).collect();
    profile::stop();
    assert!(!profile::is_active());
    let full = Profile::take();
    let unseen: Vec<Box<[u8; 100]>> = (0..1_000).map(|_| Box::new([2; 100])).collect();
    let still = Profile::take().diff(&full);
    assert_eq!(still.total(View::AllocSpace), 0);
    drop(kept);
    drop(unseen);
    let freed = Profile::take().diff(&full).total(View::InuseSpace);
    assert!((-150_000..-60_000).contains(&freed), "{freed}");
    profile::start(128).unwrap();
    assert_eq!(profile::rate(), Some(128));
    let again: Vec<Box<[u8; 100]>> = (0..1_000).map(|_| Box::new([3; 100])).collect();
    assert!(Profile::take().diff(&full).total(View::AllocSpace) > 60_000);
    profile::stop();
    drop(again);
}

/// Allocates and frees while its thread ends.
struct Late(RefCell<Vec<Vec<u8>>>);

impl Drop for Late {
    fn drop(&mut self) {
        let mut kept = self.0.borrow_mut();
        for n in 0..50 {
            kept.push(vec![n; 300]);
        }
        kept.clear();
    }
}

pub(crate) fn threads_may_end_while_all_they_do_is_sampled() {
    thread_local! {
        static LATE: Late = const { Late(RefCell::new(Vec::new())) };
    }
    profile::start(ALL).unwrap();
    let before = Profile::take().total(View::InuseSpace);
    for _ in 0..20 {
        let threads: Vec<_> = (0..4u8)
            .map(|n| {
                thread::spawn(move || {
                    LATE.with(|late| late.0.borrow_mut().push(vec![n; 300]));
                    vec![n; 300]
                })
            })
            .collect();
        for (n, thread) in (0..4u8).zip(threads) {
            assert!(thread.join().unwrap().iter().all(|&byte| byte == n));
        }
    }
    let after = Profile::take().total(View::InuseSpace);
    profile::stop();
    assert!(after - before < 200_000, "{before} {after}");
}

pub(crate) fn snapshots_may_be_taken_while_other_threads_allocate_and_the_profile_starts_and_stops() {
    static END: AtomicBool = AtomicBool::new(false);
    profile::start(1 << 10).unwrap();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(|| {
                let mut kept: Vec<Vec<u8>> = Vec::new();
                let mut n = 0;
                while !END.load(Relaxed) {
                    n += 1;
                    kept.push(vec![n as u8; n * 37 % 3_000 + 1]);
                    if kept.len() > 50 {
                        kept.swap_remove(n * 7 % 50);
                    }
                }
            })
        })
        .collect();
    for round in 0..60 {
        let profile = Profile::take();
        for view in View::ALL {
            assert!(profile.total(view) >= 0);
        }
        match round % 4 {
            0 => profile::stop(),
            _ => profile::start(500 + round * 100).unwrap(),
        }
        greyspan::purge();
    }
    END.store(true, Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    profile::stop();
    assert_eq!(Profile::take().lost(), 0);
}

pub(crate) fn a_fork_child_goes_on_with_the_profile() {
    profile::start(512).unwrap();
    let kept: Vec<Box<[u8; 100]>> = (0..1_000).map(|_| Box::new([1; 100])).collect();
    // SAFETY: the child does only what any thread may do, and ends by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let full = Profile::take();
            let more: Vec<Box<[u8; 100]>> = (0..1_000).map(|_| Box::new([2; 100])).collect();
            let grown = Profile::take().diff(&full).total(View::InuseSpace);
            drop(kept);
            drop(more);
            let freed = Profile::take().diff(&full).total(View::InuseSpace);
            let well = (50_000..250_000).contains(&grown) && freed < -40_000;
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!well)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: our child, and a valid place.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
        }
    }
    profile::stop();
}

/// Taking a sample uses none of the program's own allocator, which may wrap this one.
pub(crate) fn a_sample_is_taken_without_the_help_of_the_allocator_it_is_taken_in() {
    profile::start(ALL).unwrap();
    let own = Greyspan::new();
    let layout = layout(48, 8);
    let before = Profile::take();
    // Uses another value of the allocator, which is the same heap: the program allocates only these
    // blocks.
    for _ in 0..1_000 {
        // SAFETY: the layout is not empty.
        let block = black_box(unsafe { own.alloc(layout) });
        // SAFETY: allocated just now.
        unsafe { own.dealloc(block, layout) };
    }
    profile::stop();
    let objects = Profile::take().diff(&before).total(View::AllocObjects);
    assert!((1_000..1_200).contains(&objects), "{objects}");
}

pub(crate) fn an_object_that_grows_into_an_idle_run_is_sampled_like_any_other() {
    profile::start(ALL).unwrap();
    let (short, long, idle) = (layout(100_000, 8), layout(300_000, 8), layout(1_000_000, 8));
    let before = Profile::take();
    // The compiler may leave out allocations whose blocks it sees to be unused.
    let held: [*mut u8; 20] = std::array::from_fn(|_| {
        // SAFETY: the layout is not empty.
        let block = black_box(unsafe { alloc(short) });
        // SAFETY: the layout is not empty.
        let rest = black_box(unsafe { alloc(idle) });
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(rest, idle) };
        // SAFETY: `block` was allocated with `short`, and the new size is not zero.
        black_box(unsafe { realloc(block, short, long.size()) })
    });
    let grown = Profile::take().diff(&before).total(View::InuseSpace);
    profile::stop();
    for block in held {
        // SAFETY: reallocated to this layout.
        unsafe { dealloc(block, long) };
    }
    assert!(grown >= (20 * long.size()) as i64, "{grown}");
}
