use loom::sync::Arc;
use loom::thread;

use super::*;

#[test]
fn loom_two_threads_never_hold_the_lock_at_once() {
    loom::model(|| {
        let lock = Arc::new(Lock::new(0));
        let other = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || *lock.lock() += 1)
        };
        *lock.lock() += 1;
        other.join().unwrap();
        assert_eq!(*lock.lock(), 2);
    });
}

#[test]
fn loom_a_tried_lock_is_held_or_passed_over() {
    loom::model(|| {
        let lock = Arc::new(Lock::new(0));
        let other = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.try_lock().map(|mut value| *value += 1).is_some())
        };
        let mine = lock.try_lock().map(|mut value| *value += 1).is_some();
        let theirs = other.join().unwrap();
        assert!(mine || theirs);
        assert_eq!(*lock.lock(), i32::from(mine) + i32::from(theirs));
    });
}
