//! loom models of the protocols between threads, over the real ownership word, mailboxes, remote
//! lists and central lists.
//!
//! Each block of the model's span has a cell that loom watches. The freeing thread writes it, and
//! the thread that gets the block from a list reads it. So an ordering that is too weak appears as
//! a data race, and a lost or doubled block as a wrong count. `.ci/loom.sh` runs the models and
//! each broken variant.

use crate::events::ring::{Read, Ring};
use crate::mcentral::MCentral;
use crate::mspan::{Block, MSpan, State, Taken};
use crate::profiler::depot::Depot;
use crate::remote::{Delivery, Directory, Outgoing, Shared, Tally, deliver};
use crate::size_class::SizeClass;
use crate::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::lock::Lock;
use crate::sync::watch::Watch;
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
        self.watched[index].with_mut(|cell| {
            // SAFETY: loom checks that no other thread accesses the cell meanwhile.
            unsafe { *cell += 1 }
        });
        // SAFETY: the object is live, and no other code frees it.
        let chain = unsafe { Outgoing::one(self.span, self.block(index)) };
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
        let mut block = self.span.block(taken.head);
        for _ in 0..taken.count {
            let index = (block.addr() - self.span.base().addr()) / self.span.size();
            self.watched[index].with(|cell| {
                // SAFETY: loom checks that no thread writes meanwhile.
                assert_eq!(unsafe { *cell }, 1);
            });
            // SAFETY: the list belongs to this thread.
            block = unsafe { Block::next(block) };
        }
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

struct Letter {
    link: crate::sync::atomic::AtomicPtr<Letter>,
    text: UnsafeCell<u32>,
}

// SAFETY: the model is about this cell; loom checks each access.
unsafe impl Sync for Letter {}

impl crate::sync::stack::Linked for Letter {
    fn link(&self) -> &crate::sync::atomic::AtomicPtr<Self> {
        &self.link
    }
}

#[test]
fn models_an_inbox_that_closes_loses_and_doubles_nothing() {
    loom::model(|| {
        let inbox: &'static crate::sync::stack::Inbox<Letter> = Box::leak(Box::new(crate::sync::stack::Inbox::new()));
        let pushers = [1, 2].map(|value| {
            thread::spawn(move || {
                let link = crate::sync::atomic::AtomicPtr::new(core::ptr::null_mut());
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

/// Creates a table of stacks with room for a few.
fn table() -> &'static Depot<1> {
    let depot: &'static Depot<1> = Box::leak(Box::new(Depot::new()));
    let memory: &'static mut [u64] = Box::leak(vec![0u64; 512].into_boxed_slice());
    let base = core::ptr::NonNull::from(memory).cast();
    assert!(depot.nodes.open(base, 512 * 8));
    depot
}

#[test]
fn models_a_stack_that_two_threads_find_at_once_has_one_node() {
    loom::model(|| {
        let depot = table();
        let finders = [1, 2].map(|other| {
            thread::spawn(move || {
                depot.intern(64, &[7, 8]).expect("room").add_allocated();
                // A second stack in the same chain.
                depot.intern(64, &[other]).expect("room").add_allocated();
            })
        });
        for finder in finders {
            finder.join().unwrap();
        }
        let counts: Vec<_> = depot
            .all()
            .map(|node| (node.frames(), node.counted().allocated[0]))
            .collect();
        assert_eq!(counts.len(), 3, "{counts:?}");
        assert!(counts.contains(&(&[7, 8], 2)), "{counts:?}");
    });
}

#[test]
fn models_a_snapshot_never_shows_more_freed_than_allocated() {
    loom::model(|| {
        let depot = table();
        let node = depot.intern(64, &[7]).expect("room");
        // This cell hands the object from one thread to the other.
        let object: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
        let maker = thread::spawn(move || {
            node.add_allocated();
            object.store(1, crate::sync::atomic::Ordering::Release);
        });
        let freer = thread::spawn(move || {
            if object.load(crate::sync::atomic::Ordering::Acquire) == 1 {
                node.add_freed();
            }
        });
        let counted = node.counted();
        assert!(counted.freed[0] <= counted.allocated[0], "{counted:?}");
        maker.join().unwrap();
        freer.join().unwrap();
    });
}

/// Reads the events 1 and 2 from a ring of one slot. Each word of an event is its number, so a torn
/// event shows.
fn look(ring: &Ring<1, 2>) {
    for ticket in 0..2 {
        if ring.next() <= ticket {
            return;
        }
        if let Read::Event(words) = ring.read(ticket) {
            assert!(words[0] == words[1] && words[0] != 0, "a torn event: {words:?}");
        }
    }
}

#[test]
fn models_an_event_is_read_whole_or_not_at_all() {
    loom::model(|| {
        let ring: &'static Ring<1, 2> = Box::leak(Box::new(Ring::new()));
        let writer = thread::spawn(move || {
            ring.push([1; 2]);
            ring.push([2; 2]);
        });
        look(ring);
        writer.join().unwrap();
        assert_eq!(ring.read(0), Read::Gone(1));
        assert_eq!(ring.read(1), Read::Event([2; 2]));
    });
}

#[test]
fn models_two_writers_of_a_slot_leave_one_event_and_nobody_waits_for_the_other() {
    loom::model(|| {
        let ring: &'static Ring<1, 2> = Box::leak(Box::new(Ring::new()));
        let writer = thread::spawn(move || ring.push([1; 2]));
        ring.push([2; 2]);
        writer.join().unwrap();
        let found = [ring.read(0), ring.read(1)];
        assert!(!found.contains(&Read::Unfinished), "{found:?}");
        let events = found.iter().filter(|read| matches!(read, Read::Event(_)));
        assert_eq!(events.count(), 1, "{found:?}");
        look(ring);
    });
}

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

#[test]
fn models_who_reads_that_a_block_was_freed_reads_that_it_was_handed_out() {
    loom::model(|| {
        let tallies: &'static [Tally; 2] = Box::leak(Box::new([(); 2].map(|()| Tally::new())));
        let passed: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
        let maker = thread::spawn(move || {
            tallies[0].add(1, 0);
            passed.store(1, Release);
        });
        let reader = thread::spawn(move || {
            let frees: u64 = tallies.iter().map(|tally| tally.frees.load(Acquire)).sum();
            let mallocs: u64 = tallies.iter().map(|tally| tally.mallocs.load(Relaxed)).sum();
            assert!(frees <= mallocs);
        });
        if passed.load(Acquire) == 1 {
            tallies[1].add(0, 1);
        }
        maker.join().unwrap();
        reader.join().unwrap();
    });
}

/// A lock with a value that loom watches.
struct Guarded(crate::sync::lock::Lock<()>, UnsafeCell<u32>);

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
    use crate::sync::forker::{FORKER, Left};
    use crate::sync::lock::Patience;
    loom::model(|| {
        let guarded: &'static Guarded =
            Box::leak(Box::new(Guarded(crate::sync::lock::Lock::new(()), UnsafeCell::new(0))));
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

#[test]
fn models_a_strip_is_cut_anew_only_after_all_pieces_are_back() {
    loom::model(|| {
        struct World(crate::sync::strip::Strip, [UnsafeCell<u32>; 2]);
        // SAFETY: the model is about these cells; loom checks each access.
        unsafe impl Sync for World {}
        let world: &'static World = Box::leak(Box::new(World(
            crate::sync::strip::Strip::new(),
            [UnsafeCell::new(0), UnsafeCell::new(0)],
        )));
        let cut_and_bring_back = move || {
            let fit = |cut: usize| (cut < 32).then_some(cut + 16);
            let Some(place) = world.0.cut(fit) else { return };
            world.1[place / 16].with_mut(|value| {
                // SAFETY: loom checks that no other thread accesses the cell meanwhile.
                unsafe { *value += 1 }
            });
            if world.0.bring_back() {
                world.0.renew();
            }
        };
        let threads = [(); 2].map(|()| thread::spawn(cut_and_bring_back));
        cut_and_bring_back();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(world.0.cut(|cut| Some(cut + 16)), Some(0), "all are back");
    });
}
