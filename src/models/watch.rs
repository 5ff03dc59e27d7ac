//! The background thread's watch: it sleeps or ends only if there is no work.

use crate::sync::lock::Lock;
use crate::sync::watch::Watch;
use loom::thread;

/// Creates a watcher that has claimed the watch, and the work behind a lock.
fn watched() -> (&'static Watch, &'static Lock<bool>) {
    let watch: &'static Watch = Box::leak(Box::new(Watch::new()));
    assert!(watch.claim());
    (watch, Box::leak(Box::new(Lock::new(false))))
}

#[test]
fn models_a_watcher_does_not_sleep_while_there_is_work() {
    loom::model(|| {
        let (watch, work) = watched();
        let watcher = thread::spawn(move || watch.lie_down(|| *work.lock()));
        *work.lock() = true;
        let called = watch.is_asleep() && watch.call();
        let asleep = watcher.join().unwrap();
        assert!(!asleep || called, "no thread wakes the watcher");
    });
}

#[test]
fn models_a_watcher_does_not_end_while_there_is_work() {
    loom::model(|| {
        let (watch, work) = watched();
        let watcher = thread::spawn(move || watch.leave(|| *work.lock()));
        *work.lock() = true;
        let replaced = watch.is_none() && watch.claim();
        let gone = watcher.join().unwrap();
        assert_ne!(gone, !replaced, "one thread watches, and no more");
    });
}
