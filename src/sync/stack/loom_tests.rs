//! Models of [`Inbox`]. Each item's value is a loom cell, so that an item which is read without an order after the
//! write of its pusher is a race that loom reports: `--cfg greyspan_broken="inbox_push_relaxed"` must fail here.

use loom::sync::Arc;
use loom::thread;

use super::super::cell::{MutPtr, UnsafeCell};
use super::*;

struct Item {
    value: UnsafeCell<usize>,
    link: AtomicPtr<Item>,
}

// SAFETY: in these tests a value is written before the item is pushed and read after it was taken, by one thread each.
unsafe impl Sync for Item {}

impl Linked for Item {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

fn item(value: usize) -> &'static Item {
    let item: &'static Item = Box::leak(Box::new(Item {
        value: UnsafeCell::new(0),
        link: AtomicPtr::new(ptr::null_mut()),
    }));
    let access = item.value.get_mut();
    // SAFETY: nobody else knows the item yet.
    *unsafe { MutPtr::deref(&access) } = value;
    item
}

fn read(item: &'static Item) -> usize {
    let access = item.value.get_mut();
    // SAFETY: the item was taken by this thread alone; loom checks it.
    *unsafe { MutPtr::deref(&access) }
}

/// Pushes one item on a thread; joining tells whether it was pushed.
fn pusher(inbox: &Arc<Inbox<Item>>, value: usize) -> thread::JoinHandle<bool> {
    let inbox = Arc::clone(inbox);
    thread::spawn(move || inbox.push(item(value)))
}

#[test]
fn loom_two_pushers_and_a_closing_consumer_lose_and_duplicate_nothing() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        let pushers = [pusher(&inbox, 1), pusher(&inbox, 2)];
        let mut seen: Vec<usize> = inbox.take_all().map(read).collect();
        seen.extend(inbox.close().map(read));
        let [one, two] = pushers.map(|pusher| pusher.join().unwrap());
        assert!(inbox.is_empty());
        seen.sort_unstable();
        let expected: Vec<usize> = [(one, 1), (two, 2)]
            .iter()
            .filter(|(pushed, _)| *pushed)
            .map(|(_, v)| *v)
            .collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn loom_taking_never_opens_an_inbox_that_another_thread_closes() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        assert!(inbox.push(item(1)));
        let taker = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || inbox.take_all().map(read).count())
        };
        let closed = inbox.close().map(read).count();
        assert_eq!(taker.join().unwrap() + closed, 1);
        assert!(!inbox.push(item(2)));
    });
}

#[test]
fn loom_a_refused_pusher_sees_what_the_closer_did_before() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new());
        let told: &'static Item = Box::leak(Box::new(Item {
            value: UnsafeCell::new(0),
            link: AtomicPtr::new(ptr::null_mut()),
        }));
        let closer = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                let access = told.value.get_mut();
                // SAFETY: the other thread reads only after it was refused; loom checks it.
                *unsafe { MutPtr::deref(&access) } = 7;
                drop(access);
                inbox.close().map(read).count()
            })
        };
        if inbox.push(item(1)) {
            assert_eq!(closer.join().unwrap(), 1);
        } else {
            assert_eq!(read(told), 7);
            assert_eq!(closer.join().unwrap(), 0);
        }
    });
}
