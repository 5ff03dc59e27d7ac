use std::sync::Barrier;

use super::*;

#[test]
fn the_state_is_four_bytes() {
    assert_eq!(size_of::<Lock<()>>(), 4);
    assert_eq!(size_of::<Lock<u32>>(), 8);
}

#[test]
fn increments_of_many_threads_are_all_counted() {
    static COUNT: Lock<usize> = Lock::new(0);
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                for round in 0..5_000 {
                    let mut count = COUNT.lock();
                    let seen = *count;
                    if round % 512 == 0 {
                        // Longer than a waiter spins, so that some sleep.
                        std::thread::yield_now();
                    }
                    *count = seen + 1;
                }
            });
        }
    });
    assert_eq!(*COUNT.lock(), 20_000);
}

#[test]
fn a_held_lock_cannot_be_tried_and_a_dropped_guard_frees_it() {
    let lock = Lock::new(1);
    let guard = lock.lock();
    assert!(lock.try_lock().is_none());
    drop(guard);
    *lock.try_lock().unwrap() = 2;
    assert_eq!(*lock.lock(), 2);
}

#[test]
fn a_sleeper_is_woken_and_errno_is_kept() {
    let lock = Lock::new(());
    let guard = lock.lock();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            crate::os::errno::set(4711);
            drop(lock.lock());
            crate::os::errno::get()
        });
        while lock.state.load(Ordering::Relaxed) != CONTENDED {
            std::thread::yield_now();
        }
        drop(guard);
        assert_eq!(waiter.join().unwrap(), 4711);
    });
    assert_eq!(lock.state.load(Ordering::Relaxed), FREE);
}

#[test]
fn the_fork_calls_hold_release_and_reset() {
    let lock = Lock::new(5);
    lock.acquire_for_fork();
    assert!(lock.try_lock().is_none());
    // SAFETY: held by `acquire_for_fork` above.
    unsafe { lock.release_after_fork() };
    assert_eq!(*lock.lock(), 5);
    lock.acquire_for_fork();
    lock.state.store(CONTENDED, Ordering::Relaxed);
    // SAFETY: held by `acquire_for_fork` above, no guard is alive, and no other thread knows the lock.
    unsafe { lock.reset_in_child() };
    assert_eq!(lock.state.load(Ordering::Relaxed), FREE);
}
