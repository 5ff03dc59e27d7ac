//! An inbox that threads push to while its owner reads it and closes it.

use crate::sync::atomic::AtomicPtr;
use crate::sync::stack::{Inbox, Linked};
use loom::cell::UnsafeCell;
use loom::thread;

struct Letter {
    link: AtomicPtr<Letter>,
    text: UnsafeCell<u32>,
}

// SAFETY: the model is about this cell; loom checks each access.
unsafe impl Sync for Letter {}

impl Linked for Letter {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

#[test]
fn models_an_inbox_that_closes_loses_and_doubles_nothing() {
    loom::model(|| {
        let inbox: &'static Inbox<Letter> = Box::leak(Box::new(Inbox::new()));
        let pushers = [1, 2].map(|value| {
            thread::spawn(move || {
                let link = AtomicPtr::new(core::ptr::null_mut());
                let letter: &'static Letter = Box::leak(Box::new(Letter {
                    link,
                    text: UnsafeCell::new(0),
                }));
                letter.text.with_mut(|text| {
                    // SAFETY: loom checks that no other thread accesses the cell meanwhile.
                    unsafe { *text = value }
                });
                inbox.push(letter)
            })
        });
        let read = |letter: &'static Letter| {
            letter.text.with(|text| {
                // SAFETY: loom checks that no thread writes meanwhile.
                unsafe { *text }
            })
        };
        let sum: u32 = inbox.take_all().chain(inbox.close()).map(read).sum();
        let accepted = pushers.map(|pusher| pusher.join().unwrap());
        assert_eq!(sum, u32::from(accepted[0]) + 2 * u32::from(accepted[1]));
        assert!(inbox.take_all().next().is_none());
    });
}
