//! The handover of a thread's slow half, a cell that loom watches, between the thread and the
//! keeper.

use crate::sync::handover::Handover;
use crate::sync::lock::Lock;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, fence};
use loom::thread;

struct Cache {
    handover: Handover,
    /// Whether the thread's slot leads to the cache: 0 sends each operation to the slow path.
    slot: AtomicUsize,
    slow: UnsafeCell<usize>,
    lock: Lock<()>,
}

fn cache() -> &'static Cache {
    let cache = Box::leak(Box::new(Cache {
        handover: Handover::new(),
        slot: AtomicUsize::new(1),
        slow: UnsafeCell::new(0),
        lock: Lock::new(()),
    }));
    cache.handover.begin();
    cache
}

impl Cache {
    /// Touches the slow half, which the caller has.
    fn work(&self) {
        // SAFETY: loom checks that no other thread is here.
        self.slow.with_mut(|slow| unsafe { *slow += 1 });
    }

    /// Does one slow operation of the owner.
    fn operate(&self) {
        let entered = loop {
            if let Some(entered) = self.handover.enter() {
                break entered;
            }
            let _lock = self.lock.lock();
            self.handover.take_back();
            self.slot.store(1, Relaxed);
        };
        self.work();
        self.handover.leave(entered);
    }

    /// Takes the cache over, if its owner is idle, and uses it.
    fn keep(&self) {
        let lock = self.lock.lock();
        if !self.handover.revoke() {
            return;
        }
        self.slot.store(0, Relaxed);
        if !crate::sync::broken!("handover_settled_early") {
            fence(SeqCst);
        }
        if self.handover.settle() {
            drop(lock);
            let _lock = self.lock.lock();
            if self.handover.is_parked() {
                self.work();
            }
        } else {
            self.slot.store(1, Relaxed);
        }
    }
}

#[test]
fn models_one_thread_at_a_time_uses_the_slow_half() {
    loom::model(|| {
        let cache = cache();
        let owner = thread::spawn(move || {
            cache.operate();
            cache.operate();
        });
        cache.keep();
        owner.join().unwrap();
    });
}
