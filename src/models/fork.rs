//! A fork: the forking thread holds the locks, goes on with them, and other threads wait.

use crate::sync::forker::{FORKER, Left};
use crate::sync::lock::{Lock, Patience};
use loom::cell::UnsafeCell;
use loom::thread;

/// A lock with a value that loom watches.
struct Guarded(Lock<()>, UnsafeCell<u32>);

// SAFETY: the model is about this cell; loom checks each access.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn add(&self) {
        let _guard = self.0.lock();
        self.1.with_mut(|value| {
            // SAFETY: loom checks that no other thread accesses the cell meanwhile.
            unsafe { *value += 1 }
        });
    }
}

/// Another library's handler runs between the hooks of a fork, and so may its signal handlers.
#[test]
fn models_a_thread_that_forks_goes_on_with_what_it_holds_and_others_wait() {
    loom::model(|| {
        let guarded: &'static Guarded = Box::leak(Box::new(Guarded(Lock::new(()), UnsafeCell::new(0))));
        let other = thread::spawn(|| guarded.add());
        let me = crate::os::fork::me();
        assert!(FORKER.enter(me));
        guarded.0.hold_for_fork(&mut Patience::endless());
        guarded.add();
        // The value behind the lock is at rest and stays so, however often this thread used the
        // lock.
        guarded.1.with_mut(|value| {
            // SAFETY: loom checks that no other thread accesses the cell meanwhile.
            unsafe { *value += 1 }
        });
        assert!(FORKER.enter(me));
        guarded.0.hold_for_fork(&mut Patience::endless());
        assert_eq!(FORKER.leave(me), Left::Inner);
        guarded.add();
        assert_eq!(FORKER.leave(me), Left::Last);
        // SAFETY: this thread has the turn to fork, and uses the value no more.
        unsafe { guarded.0.release_after_fork() };
        FORKER.finish();
        other.join().unwrap();
        guarded.add();
        // SAFETY: the other thread has ended.
        assert_eq!(guarded.1.with(|value| unsafe { *value }), 5);
    });
}
