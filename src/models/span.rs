//! A span between its owner and the threads that free its blocks: the ownership word, mailboxes,
//! remote lists and central lists.
//!
//! Each block of the span has a watched cell. The freeing thread writes it, and the thread that
//! gets the block from a list reads it.

use crate::mcentral::MCentral;
use crate::mspan::{Block, MSpan, State, Taken};
use crate::remote::{Delivery, Directory, Outgoing, Shared, deliver};
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::cell::UnsafeCell;
use loom::thread;

/// Objects in play. The class has more, which stay uncarved.
const BLOCKS: usize = 2;

struct World {
    span: &'static MSpan,
    caches: [&'static Shared; 4],
    directory: Directory,
    central: MCentral,
    watched: [UnsafeCell<u32>; BLOCKS],
    retired: AtomicU32,
}

// SAFETY: the models are about these cells; loom checks each access.
unsafe impl Sync for World {}

impl World {
    /// Creates a span that cache 1 owns, with `BLOCKS` live objects and no more room.
    fn new() -> &'static Self {
        let class = SizeClass::from_index(79).expect("a class of large objects");
        let span: &'static MSpan = Box::leak(Box::new(MSpan::new()));
        let memory: &'static mut [u64] = Box::leak(vec![0u64; class.span_bytes() / 8].into_boxed_slice());
        span.set_run(memory.as_mut_ptr().cast(), class.span_pages(), false);
        span.init_small(class);
        span.limit_objects(BLOCKS as u32);
        for _ in 0..BLOCKS {
            assert_eq!(span.carve(1).1, 1);
        }
        let caches = [(); 4].map(|()| &*Box::leak(Box::new(Shared::new())));
        let directory = Directory::new();
        for (index, &cache) in caches.iter().enumerate() {
            assert!(directory.enter_for_model(index as u32 + 1, cache));
        }
        span.word.adopt_new(1);
        let watched = [(); BLOCKS].map(|()| UnsafeCell::new(0));
        let world = Self {
            span,
            caches,
            directory,
            central: MCentral::new(),
            watched,
            retired: AtomicU32::new(0),
        };
        Box::leak(Box::new(world))
    }

    fn block(&self, index: usize) -> *mut Block {
        self.span.base().wrapping_add(index * self.span.size()).cast()
    }

    /// Frees object `index`, which belongs to another thread's span, from cache `me`.
    fn free_remote(&self, me: u32, index: usize) {
        self.free_chain(me, &[index]);
    }

    /// Frees these objects, which belong to another thread's span, from cache `me`, as one chain.
    fn free_chain(&self, me: u32, indices: &[usize]) {
        for &index in indices {
            self.watched[index].with_mut(|cell| {
                // SAFETY: loom checks that no other thread accesses the cell meanwhile.
                unsafe { *cell += 1 }
            });
        }
        let blocks: Vec<_> = indices.iter().map(|&index| self.block(index)).collect();
        // SAFETY: the objects are live, and no other code frees them.
        let chain = unsafe { Outgoing::of(self.span, &blocks) };
        if let Some(taken) = chain.send(&self.directory, me) {
            self.receive(me, taken);
            self.give_up(me);
        }
        // The thread ends. If mail came while it owned the span, it must deal with it.
        for span in self.caches[me as usize - 1].mailbox.close() {
            if let Delivery::Mine(taken) = deliver(&self.directory, me, span) {
                self.receive(me, taken);
                self.give_up(me);
            }
        }
    }

    /// Joins a list to the span, as its owner `me`. The owner must see every block on the list as
    /// its freeing thread left it.
    fn receive(&self, me: u32, taken: Taken) {
        assert_eq!(self.retired.load(Relaxed), 0, "cache {me} got a span that was retired");
        if taken.listed {
            self.central.remove(self.span);
        }
        let check = |block: *mut Block| {
            let index = (block.addr() - self.span.base().addr()) / self.span.size();
            self.watched[index].with(|cell| {
                // SAFETY: loom checks that no thread writes meanwhile.
                assert_eq!(unsafe { *cell }, 1);
            });
        };
        let head = self.span.block(taken.head);
        // SAFETY: the list belongs to this thread.
        let length = unsafe { self.span.length(head) };
        assert_eq!(length, taken.count, "the list has as many blocks as the word says");
        // All of the list, so this changes nothing in it.
        // SAFETY: the list belongs to this thread, and has so many objects.
        unsafe { Block::take(head, taken.count, self.span.cut(), check) };
        self.span.absorb(taken);
    }

    /// Reads the mailbox of the owner `me`.
    fn collect(&self, me: u32) {
        for span in self.caches[me as usize - 1].mailbox.take_all() {
            self.accept(me, span);
        }
    }

    fn accept(&self, me: u32, span: &'static MSpan) {
        if let Delivery::Mine(taken) = deliver(&self.directory, me, span) {
            self.receive(me, taken);
        }
    }

    /// Gives up the span of the owner `me`, as `MCache::give_up` does.
    fn give_up(&self, me: u32) {
        loop {
            self.receive(me, self.span.word.take());
            if self.span.live() == 0 && self.span.word.retire(me) {
                self.retired.fetch_add(1, Relaxed);
                self.span.set_state(State::Free);
                return;
            }
            let gone = if self.span.live() == 0 {
                self.span.word.leave_to_token(me)
            } else if self.span.has_room() {
                self.central.put(self.span, me)
            } else {
                self.span.word.abandon(me, false)
            };
            if gone {
                return;
            }
        }
    }

    /// Checks that the span came back once, with all its blocks, and is on no list.
    fn assert_ended(&self) {
        assert_eq!(
            (self.span.live(), self.retired.load(Relaxed)),
            (0, 1),
            "all blocks came back, and the span once"
        );
        assert!(self.central.take(3).is_none(), "a span that ended is listed");
    }

    /// Ends the owner `me`, as `MCache::leave` does: the mailbox closes first.
    fn leave(&self, me: u32) {
        for span in self.caches[me as usize - 1].mailbox.close() {
            self.accept(me, span);
        }
        self.give_up(me);
    }
}

#[test]
fn models_an_owner_gets_all_blocks_that_two_threads_send() {
    loom::model(|| {
        let world = World::new();
        let senders = [2, 3].map(|me| thread::spawn(move || world.free_remote(me, me as usize - 2)));
        world.collect(1);
        for sender in senders {
            sender.join().unwrap();
        }
        world.collect(1);
        assert_eq!(
            world.span.live(),
            0,
            "a block is lost, though the mailbox was read after both sends"
        );
        assert!(world.span.word.retire(1), "no token is out once all mail was read");
    });
}

#[test]
fn models_an_owner_gets_the_leaves_of_a_chain_as_their_sender_left_them() {
    loom::model(|| {
        let world = World::new();
        let sender = thread::spawn(move || world.free_chain(2, &[0, 1]));
        // The sender goes first, and the checker then moves this thread's steps forward. Without
        // this it tries one order only: the sender's own load hides from it that the sender's
        // exchange depends on this thread's load.
        thread::yield_now();
        // As in a refill: the list first, the mail later.
        world.receive(1, world.span.word.take());
        world.collect(1);
        sender.join().unwrap();
        world.collect(1);
        assert_eq!(world.span.live(), 0, "both blocks came back");
        assert!(world.span.word.retire(1), "no token is out once all mail was read");
    });
}

#[test]
fn models_an_owner_exits_while_two_threads_send() {
    loom::model(|| {
        let world = World::new();
        let senders = [2, 3].map(|me| thread::spawn(move || world.free_remote(me, me as usize - 2)));
        world.leave(1);
        for sender in senders {
            sender.join().unwrap();
        }
        world.assert_ended();
    });
}

#[test]
fn models_an_owner_that_takes_the_list_early_waits_for_the_token() {
    loom::model(|| {
        let world = World::new();
        let senders = [2, 3].map(|me| thread::spawn(move || world.free_remote(me, me as usize - 2)));
        // As in a refill: the list first, the mail later.
        world.receive(1, world.span.word.take());
        if world.span.live() == 0 && world.span.word.retire(1) {
            world.retired.fetch_add(1, Relaxed);
        } else {
            world.leave(1);
        }
        for sender in senders {
            sender.join().unwrap();
        }
        world.assert_ended();
    });
}

#[test]
fn models_a_listed_span_goes_to_one_of_a_freeing_and_an_allocating_thread() {
    loom::model(|| {
        let world = World::new();
        // One object is free, so the span is listed. A thread frees the other object while a third
        // thread looks for a span.
        world.free_remote(2, 0);
        world.leave(1);
        let sender = thread::spawn(move || world.free_remote(4, 1));
        if let Some((span, taken)) = world.central.take(3) {
            assert!(core::ptr::eq(span, world.span) && !taken.listed || world.span.shelf() == MSpan::NO_SHELF);
            world.receive(3, Taken { listed: false, ..taken });
            world.leave(3);
        }
        sender.join().unwrap();
        if world.retired.load(Relaxed) == 0 {
            let (_, taken) = world.central.take(3).expect("a span that is not retired is listed");
            world.receive(3, Taken { listed: false, ..taken });
            world.give_up(3);
        }
        world.assert_ended();
    });
}

#[test]
fn models_a_mailbox_that_opens_again_for_another_thread_leaves_no_list_without_its_token() {
    loom::model(|| {
        let world = World::new();
        let senders = [2, 3].map(|me| thread::spawn(move || world.free_remote(me, me as usize - 2)));
        world.leave(1);
        // Another thread gets the cache, and also the span if it is listed.
        world.caches[0].mailbox.reopen();
        if let Some((_, taken)) = world.central.take(1) {
            world.receive(1, Taken { listed: false, ..taken });
        }
        for sender in senders {
            sender.join().unwrap();
        }
        let word = &world.span.word;
        assert!(
            word.owner() != 1 || word.is_told(),
            "a list waits, and no thread is on its way to tell the owner"
        );
        world.collect(1);
        if word.owner() == 1 {
            assert!(word.retire(1), "no token is out once all mail was read");
            assert_eq!(world.span.live(), 0);
        } else {
            world.assert_ended();
        }
    });
}
