use std::sync::atomic::AtomicBool;

use super::*;

struct Item {
    value: usize,
    link: AtomicPtr<Item>,
}

impl Linked for Item {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

fn item(value: usize) -> &'static Item {
    Box::leak(Box::new(Item {
        value,
        link: AtomicPtr::new(ptr::null_mut()),
    }))
}

fn values(chain: Chain<Item>) -> Vec<usize> {
    chain.map(|item| item.value).collect()
}

#[test]
fn items_come_out_newest_first_and_once() {
    let inbox = Inbox::new();
    assert!(inbox.is_empty());
    assert!((0..3).all(|value| inbox.push(item(value))));
    assert!(!inbox.is_empty());
    assert_eq!(values(inbox.take_all()), [2, 1, 0]);
    assert!(inbox.is_empty());
    assert_eq!(values(inbox.take_all()), []);
}

#[test]
fn a_closed_inbox_refuses_yields_nothing_and_counts_as_empty() {
    let inbox = Inbox::new();
    assert!(inbox.push(item(1)));
    assert_eq!(values(inbox.close()), [1]);
    assert!(!inbox.push(item(2)));
    assert!(inbox.is_empty());
    assert_eq!(values(inbox.take_all()), []);
    assert!(!inbox.push(item(3)), "taking from a closed inbox leaves it closed");
    assert_eq!(values(inbox.close()), []);
}

#[test]
fn a_reopened_inbox_is_empty_and_takes_items() {
    let inbox = Inbox::new();
    drop(inbox.close());
    inbox.reopen();
    assert!(inbox.push(item(4)));
    inbox.reopen();
    assert_eq!(values(inbox.take_all()), [4], "reopening an open inbox loses nothing");
}

#[test]
fn the_consumer_may_push_items_again_while_it_walks_the_chain() {
    let (first, second) = (Inbox::new(), Inbox::new());
    assert!((0..4).all(|value| first.push(item(value))));
    let mut walked = Vec::new();
    for item in first.take_all() {
        walked.push(item.value);
        assert!(second.push(item));
    }
    assert_eq!(walked, [3, 2, 1, 0]);
    assert_eq!(values(second.take_all()), [0, 1, 2, 3]);
}

#[test]
fn items_of_many_threads_arrive_exactly_once() {
    static INBOX: Inbox<Item> = Inbox::new();
    let done = AtomicBool::new(false);
    let mut seen = std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::Acquire) {
                seen.extend(INBOX.take_all().map(|item| item.value));
            }
            seen.extend(INBOX.close().map(|item| item.value));
            seen
        });
        let pushers = [0, 1, 2]
            .map(|base| scope.spawn(move || assert!((0..2_000).all(|index| INBOX.push(item(base * 2_000 + index))))));
        for pusher in pushers {
            pusher.join().unwrap();
        }
        done.store(true, Ordering::Release);
        consumer.join().unwrap()
    });
    seen.sort_unstable();
    assert_eq!(seen, (0..6_000).collect::<Vec<_>>());
}
