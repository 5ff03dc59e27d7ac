//! The outgoing side, the mailboxes and the directory by themselves, over records that describe
//! memory of the test's.

use super::{Delivery, Directory, Mailbox, OUTBOX_SLOT_BYTES, Outbox, Outgoing, Shared, Tally, deliver};
use crate::base::geometry::{OUTBOX_BYTES, OUTGOING_BYTES, PAGE};
use crate::meta::Bump;
use crate::mspan::{Block, CHECKED, MSpan, OWNER_MAX, OwnerId, Sent, Taken};
use crate::os::sim::Sim;
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Numbers of mailboxes in one leaf of the directory, and the first number beyond all leaves.
const LEAF: u32 = 1024;
const BEYOND: u32 = LEAF * 1024;

/// Makes a span of `class` whose objects are all handed out, and its objects.
fn describe(span: &'static MSpan, class: SizeClass) -> Vec<*mut Block> {
    let pages = class.span_pages();
    let memory = Box::leak(vec![0u128; pages * PAGE / 16].into_boxed_slice());
    span.set_run(memory.as_mut_ptr().cast(), pages, false);
    span.init_small(class);
    let (first, count) = span.carve(u32::MAX);
    assert_eq!(count, span.objects());
    (0..count as usize)
        .map(|index| first.wrapping_add(index * class.size()).cast())
        .collect()
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn span(class: SizeClass) -> (&'static MSpan, Vec<*mut Block>) {
    let span = leak(MSpan::new());
    (span, describe(span, class))
}

/// Gives `block` up, as a cache does before it lets the block join a chain.
fn give_up(block: *mut Block) -> *mut Block {
    if CHECKED {
        // SAFETY: the block is the test's, and of more than 8 bytes.
        unsafe { Block::set_mark(block) };
    }
    block
}

/// An outbox with slots.
fn outbox() -> Outbox {
    let outbox = Outbox::new();
    let slots = Box::leak(vec![0u128; (OUTBOX_SLOT_BYTES + 64) / 16].into_boxed_slice());
    let slots: *mut u8 = slots.as_mut_ptr().cast();
    // SAFETY: so many zeroed bytes, which are leaked.
    unsafe { outbox.set_slots(slots.wrapping_add(slots.align_offset(64))) };
    outbox
}

/// Begins a chain, or adds to one of a full outbox. Returns the chain that made room.
fn begin(outbox: &Outbox, span: &'static MSpan, block: *mut Block) -> Option<Outgoing> {
    let sent = RefCell::new(Vec::new());
    // SAFETY: the block is a live object of the span, and the test gives it up.
    unsafe { outbox.begin(span, give_up(block), |chain| sent.borrow_mut().push(chain)) };
    let mut sent = sent.into_inner();
    assert!(sent.len() <= 1, "one chain makes room");
    sent.pop()
}

fn add(outbox: &Outbox, span: &'static MSpan, block: *mut Block) -> bool {
    // SAFETY: the block is a live object of the span, and the test gives it up.
    unsafe { outbox.add(span, give_up(block)) }
}

fn add_leaf(outbox: &Outbox, block: *mut Block) -> bool {
    // SAFETY: the block is a live object of a span of the test's, which gives it up.
    unsafe { outbox.add_leaf(give_up(block)) }
}

/// A chain of the first `count` of these blocks.
fn chain(span: &'static MSpan, blocks: &[*mut Block]) -> Outgoing {
    let outbox = outbox();
    assert!(begin(&outbox, span, blocks[0]).is_none());
    for &block in &blocks[1..] {
        assert!(add(&outbox, span, block));
    }
    let mut chains: Vec<Outgoing> = outbox.drain().collect();
    let chain = chains.pop().expect("a chain was begun");
    assert!(chains.is_empty() && chain.count as usize == blocks.len());
    chain
}

/// Joins the list to its span and takes all its blocks.
fn take(span: &MSpan, taken: Taken) -> BTreeSet<*mut Block> {
    let before = span.live();
    span.absorb(taken);
    assert_eq!(span.live(), before - taken.count);
    let mut blocks = BTreeSet::new();
    span.take_free(taken.count, |block| assert!(blocks.insert(block), "a block came twice"));
    blocks
}

/// A directory with mailboxes of numbers 1 to 3.
struct Post {
    directory: Directory,
    boxes: [&'static Shared; 3],
}

impl Post {
    fn new() -> Self {
        let (directory, mut memory) = (Directory::new(), Bump::new());
        let boxes = [(); 3].map(|()| leak(Shared::new()));
        for (id, shared) in (1..).zip(boxes) {
            assert!(directory.enter(Sim::new(), &mut memory, id, shared));
        }
        Self { directory, boxes }
    }

    fn mailbox(&self, id: OwnerId) -> &'static Mailbox {
        &self.boxes[id as usize - 1].mailbox
    }

    /// The spans that were posted to `id`.
    fn mail(&self, id: OwnerId) -> Vec<*const MSpan> {
        self.mailbox(id).take_all().map(core::ptr::from_ref).collect()
    }
}

fn class() -> SizeClass {
    SizeClass::holding(256)
}

#[test]
fn an_outbox_without_chains_takes_no_block_and_holds_none() {
    let (outbox, (span, blocks)) = (outbox(), span(class()));
    assert!(!add_leaf(&outbox, blocks[0]) && !add(&outbox, span, blocks[0]));
    assert_eq!(outbox.drain().count(), 0);
    begin(&outbox, span, blocks[0]);
    assert_eq!(outbox.drain().count(), 1);
    assert!(
        !add_leaf(&outbox, blocks[1]) && !add(&outbox, span, blocks[1]),
        "OUTBOX-2"
    );
    assert_eq!(outbox.drain().count(), 0);
}

#[test]
fn a_chain_takes_blocks_of_its_span_up_to_the_limit() {
    for size in [16, 64, 256, 1024, 8192, 32 << 10] {
        let class = SizeClass::holding(size);
        let (span, blocks) = span(class);
        let limit = (OUTGOING_BYTES / class.size()).max(1);
        let limit = limit.min(blocks.len());
        let outbox = outbox();
        begin(&outbox, span, blocks[0]);
        let added = blocks[1..].iter().take_while(|&&block| add(&outbox, span, block));
        assert_eq!(added.count() + 1, limit, "{class:?}");
        if limit < blocks.len() {
            assert!(!add_leaf(&outbox, blocks[limit]), "{class:?}");
        }
        let chain = outbox.drain().next().expect("a chain");
        assert_eq!(chain.count as usize, limit, "{class:?}");
    }
}

#[test]
fn a_block_of_another_span_is_no_leaf_of_the_chain() {
    let outbox = outbox();
    let (one, other) = (span(class()), span(class()));
    begin(&outbox, one.0, one.1[0]);
    assert!(!add_leaf(&outbox, other.1[0]) && !add(&outbox, other.0, other.1[0]));
    assert!(add(&outbox, one.0, one.1[1]));
    assert_eq!(outbox.drain().map(|chain| chain.count).collect::<Vec<_>>(), [2]);
}

/// Records in a row, as the page heap makes them.
fn row(count: usize) -> Vec<(&'static MSpan, Vec<*mut Block>)> {
    let records: &'static [MSpan] = Box::leak((0..count).map(|_| MSpan::new()).collect());
    records.iter().map(|span| (span, describe(span, class()))).collect()
}

#[test]
fn spans_with_neighbouring_records_gather_side_by_side() {
    let (outbox, row) = (outbox(), row(256));
    for (span, blocks) in &row {
        assert!(begin(&outbox, span, blocks[0]).is_none());
    }
    for (span, blocks) in &row {
        assert!(add(&outbox, span, blocks[1]));
    }
    let spans: BTreeSet<_> = outbox
        .drain()
        .map(|chain| (core::ptr::from_ref(chain.span).addr(), chain.count))
        .collect();
    let wanted: BTreeSet<_> = row
        .iter()
        .map(|(span, _)| (core::ptr::from_ref(*span).addr(), 2))
        .collect();
    assert_eq!(spans, wanted);
}

#[test]
fn a_span_whose_slot_is_taken_pushes_the_chain_before_out() {
    let (outbox, row) = (outbox(), row(257));
    let ((first, blocks), (last, others)) = (&row[0], &row[256]);
    begin(&outbox, first, blocks[0]);
    add(&outbox, first, blocks[1]);
    let before = begin(&outbox, last, others[0]).expect("one slot for both");
    assert!(core::ptr::eq(before.span, *first) && before.count == 2);
    assert!(!add(&outbox, first, blocks[2]), "its chain is gone");
    assert!(add(&outbox, last, others[1]));
}

#[test]
fn an_outbox_without_slots_gathers_nothing() {
    let (outbox, (span, blocks)) = (Outbox::new(), span(class()));
    let alone = begin(&outbox, span, blocks[0]).expect("a chain of the block");
    assert!(core::ptr::eq(alone.span, span) && alone.count == 1);
    assert!(!add_leaf(&outbox, blocks[1]) && !add(&outbox, span, blocks[1]));
    assert_eq!((outbox.drain().count(), outbox.gathered()), (0, (0, 0)));
}

#[test]
fn a_full_outbox_sends_the_chains_in_turn() {
    let (outbox, class) = (outbox(), SizeClass::holding(4096));
    let records: &'static [MSpan] = Box::leak((0..200).map(|_| MSpan::new()).collect());
    let rows: Vec<_> = records.iter().map(|span| (span, describe(span, class))).collect();
    let mut sent = Vec::new();
    for (span, blocks) in &rows {
        sent.extend(begin(&outbox, span, blocks[0]).map(|chain| core::ptr::from_ref(chain.span)));
        assert!(outbox.gathered().1 <= OUTBOX_BYTES as u64);
        // The full outbox takes no second block of a span.
        assert!(outbox.gathered().1 < OUTBOX_BYTES as u64 || !add(&outbox, span, blocks[1]));
    }
    let held = OUTBOX_BYTES / class.size();
    assert_eq!(sent.len(), 200 - held, "one for each chain beyond the bound");
    sent.extend(outbox.drain().map(|chain| core::ptr::from_ref(chain.span)));
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), 200, "each chain once");
    assert_eq!(outbox.gathered(), (0, 0));
}

#[test]
fn a_block_that_a_full_outbox_has_no_room_for_joins_its_chain_and_another_goes() {
    let (outbox, class) = (outbox(), SizeClass::holding(4096));
    let records: &'static [MSpan] = Box::leak((0..512).map(|_| MSpan::new()).collect());
    // The chains take the slots from 0 on, so chains 1 to 8 are sent below.
    let from_slot_0 = records.iter().skip_while(|span| Outbox::number_of(*span) != 0);
    let rows: Vec<_> = from_slot_0
        .take(OUTBOX_BYTES / class.size())
        .map(|span| (span, describe(span, class)))
        .collect();
    for (span, blocks) in &rows {
        assert!(begin(&outbox, span, blocks[0]).is_none());
    }
    let full = outbox.gathered();
    let sent: Vec<_> = rows[1..].iter().map(|(span, _)| core::ptr::from_ref(*span)).collect();
    for ((span, blocks), sent) in rows[9..].iter().step_by(14).take(8).zip(sent) {
        assert!(!add(&outbox, span, blocks[1]), "there is no room");
        let chain = begin(&outbox, span, blocks[1]).expect("a chain makes room");
        assert!(core::ptr::eq(chain.span, sent) && chain.count == 1);
        assert_eq!(outbox.gathered(), full);
    }
    assert_eq!(
        outbox.drain().filter(|chain| chain.count == 2).count(),
        8,
        "each chain grew"
    );
}

#[cfg(not(feature = "stats"))]
#[test]
fn gathered_blocks_are_counted_by_number_and_bytes_until_they_are_sent() {
    let outbox = outbox();
    let (small, large) = (SizeClass::holding(64), SizeClass::holding(1024));
    let records = leak([MSpan::new(), MSpan::new()]);
    let blocks = [describe(&records[0], small), describe(&records[1], large)];
    assert_eq!(outbox.gathered(), (0, 0));
    begin(&outbox, &records[0], blocks[0][0]);
    (1..5).for_each(|index| assert!(add(&outbox, &records[0], blocks[0][index])));
    begin(&outbox, &records[1], blocks[1][0]);
    (1..3).for_each(|index| assert!(add(&outbox, &records[1], blocks[1][index])));
    let bytes = 5 * small.size() + 3 * large.size();
    assert_eq!(outbox.gathered(), (8, bytes as u64));
    assert_eq!(outbox.drain().count(), 2);
    assert_eq!(outbox.gathered(), (0, 0));
}

#[test]
fn a_chain_reaches_the_owner_by_mail_and_whole() {
    let (post, (span, blocks)) = (Post::new(), span(class()));
    span.word.adopt_new(1);
    let first = chain(span, &blocks[..20]);
    assert!(first.send(&post.directory, 2).is_none());
    // The token is out: a second sender leaves the owner alone.
    let second = chain(span, &blocks[20..25]);
    assert!(second.send(&post.directory, 3).is_none());
    assert!(!post.mailbox(1).is_empty());
    assert_eq!(post.mail(1), [core::ptr::from_ref(span)], "posted once");
    let Delivery::Mine(taken) = deliver(&post.directory, 1, span) else {
        panic!("the owner has the span")
    };
    assert!(taken.count == 25 && !taken.listed);
    assert_eq!(take(span, taken), blocks[..25].iter().copied().collect());
    assert!(span.word.retire(1), "neither a block nor a token is left");
}

#[test]
fn the_sender_of_a_chain_to_an_unowned_span_owns_it_from_then_on() {
    let (post, (span, blocks)) = (Post::new(), span(class()));
    span.word.adopt_new(1);
    assert!(span.word.abandon(1, true));
    let taken = chain(span, &blocks[..7]).send(&post.directory, 2).expect("claimed");
    assert!(taken.count == 7 && taken.listed && span.word.owner() == 2);
    assert_eq!(take(span, taken), blocks[..7].iter().copied().collect());
    assert!((1..=3).all(|id| post.mailbox(id).is_empty()));
}

#[test]
fn a_token_at_a_closed_mailbox_is_dropped_and_the_blocks_wait_in_the_span() {
    let (post, (span, blocks)) = (Post::new(), span(class()));
    span.word.adopt_new(1);
    assert_eq!(post.mailbox(1).close().count(), 0);
    assert!(chain(span, &blocks[..3]).send(&post.directory, 2).is_none());
    assert_eq!(span.word.remote_count(), 3);
    assert!(post.mailbox(1).is_empty() && post.mail(1).is_empty());
    assert!(span.word.take_token(), "no thread has it");
    assert!(matches!(deliver(&post.directory, 2, span), Delivery::Done));
    // The owner looks at its spans after it has closed its mailbox (REMOTE-2).
    assert_eq!(take(span, span.word.take()), blocks[..3].iter().copied().collect());
    assert!(span.word.retire(1));
}

#[test]
fn a_mailbox_that_opens_again_takes_spans_again() {
    let (post, (span, blocks)) = (Post::new(), span(class()));
    span.word.adopt_new(1);
    post.mailbox(1).close();
    post.mailbox(1).reopen();
    assert!(chain(span, &blocks[..1]).send(&post.directory, 2).is_none());
    assert_eq!(post.mail(1), [core::ptr::from_ref(span)]);
}

#[test]
fn closing_a_mailbox_takes_what_was_posted() {
    let (post, (span, blocks)) = (Post::new(), span(class()));
    span.word.adopt_new(1);
    assert!(chain(span, &blocks[..1]).send(&post.directory, 2).is_none());
    assert_eq!(post.mailbox(1).close().count(), 1);
    assert!(post.mailbox(1).is_empty());
}

#[test]
fn a_span_in_the_mail_of_a_thread_that_owns_it_no_more_is_passed_on() {
    let (post, (span, blocks)) = (Post::new(), span(class()));
    span.word.adopt_new(1);
    assert!(chain(span, &blocks[..2]).send(&post.directory, 2).is_none());
    assert_eq!(post.mail(1).len(), 1);
    // The owner gives the span up, and thread 3 claims it, while the token is out.
    take(span, span.word.take());
    assert!(span.word.abandon(1, false) && span.word.claim(3).is_some());
    assert!(matches!(deliver(&post.directory, 1, span), Delivery::Done));
    assert_eq!(post.mail(3), [core::ptr::from_ref(span)]);
    assert!(matches!(deliver(&post.directory, 3, span), Delivery::Mine(taken) if taken.count == 0));
}

#[test]
fn the_holder_of_a_token_gets_a_span_that_has_lost_its_owner() {
    let (post, (span, _)) = (Post::new(), span(class()));
    span.word.adopt_new(1);
    assert!(matches!(
        span.word.send(2, span.block_ref(span.base().cast()), 1, |_| ()),
        Sent::Notify
    ));
    span.word.take();
    assert!(span.word.abandon(1, false));
    assert!(matches!(deliver(&post.directory, 2, span), Delivery::Mine(taken) if taken.count == 0));
    assert_eq!(span.word.owner(), 2);
}

#[test]
fn the_directory_knows_exactly_the_numbers_that_were_entered() {
    let (directory, mut memory, sim) = (Directory::new(), Bump::new(), Sim::new());
    let far = [1, LEAF - 1, LEAF, 5 * LEAF + 3, BEYOND - 1];
    let boxes: Vec<_> = far.iter().map(|_| leak(Shared::new())).collect();
    for (&id, &shared) in far.iter().zip(&boxes) {
        assert!(directory.get(id).is_none());
        assert!(directory.enter(sim, &mut memory, id, shared));
        assert_eq!(shared.mailbox.id(), id);
    }
    for (&id, &shared) in far.iter().zip(&boxes) {
        assert!(directory.get(id).is_some_and(|found| core::ptr::eq(found, shared)));
    }
    for id in [0, 2, LEAF + 1, 2 * LEAF, BEYOND, OWNER_MAX, u32::MAX] {
        assert!(directory.get(id).is_none(), "{id}");
    }
    let shared = leak(Shared::new());
    for id in [0, BEYOND, OWNER_MAX + 1, u32::MAX] {
        assert!(!directory.enter(sim, &mut memory, id, shared), "{id}");
        assert_eq!(shared.mailbox.id(), 0);
    }
}

#[test]
fn a_number_for_which_there_is_no_memory_is_refused_and_may_be_entered_later() {
    let (directory, mut memory, sim) = (Directory::new(), Bump::new(), Sim::new());
    let shared = leak(Shared::new());
    sim.fail_from(1);
    assert!(!directory.enter(sim, &mut memory, 1, shared));
    assert!(directory.get(1).is_none() && shared.mailbox.id() == 0);
    sim.heal();
    assert!(directory.enter(sim, &mut memory, 1, shared));
    assert!(directory.get(1).is_some());
}

#[test]
fn a_tally_adds_to_both_counts_apart() {
    let tally = Tally::new();
    tally.add(3, 0);
    tally.add(0, 2);
    tally.add(u32::MAX, 5);
    assert_eq!(tally.mallocs.load(Relaxed), 3 + u64::from(u32::MAX));
    assert_eq!(tally.frees.load(Relaxed), 7);
}

#[cfg(feature = "stats")]
mod exact {
    use super::super::{Counter, Exact};
    use super::class;
    use crate::base::geometry::PAGE;
    use crate::size_class::{SizeClass, large_pages};

    /// A counter of each kind.
    fn counter(set: &Exact, shared: bool) -> Counter<'_> {
        if shared {
            Counter::shared(set)
        } else {
            Counter::own(set)
        }
    }

    /// Returns the calls of this class, those of all others, those of large objects, and bytes.
    fn sums((classes, large, bytes): (impl Iterator<Item = u64>, u64, u64)) -> (u64, u64, u64, u64) {
        let all: Vec<u64> = classes.collect();
        let own = all[class().index()];
        (own, all.iter().sum::<u64>() - own, large, bytes)
    }

    fn bytes(size: usize) -> u64 {
        (large_pages(size) * PAGE) as u64
    }

    #[test]
    fn each_call_counts_once_by_its_class_or_as_large() {
        for shared in [false, true] {
            let set = Exact::new();
            set.alloc_small(class());
            counter(&set, shared).alloc(Some(class()), 200);
            counter(&set, shared).alloc(Some(SizeClass::holding(8)), 8);
            counter(&set, shared).alloc(None, 100_000);
            assert_eq!(sums(set.mallocs()), (2, 1, 1, bytes(100_000)));
            assert_eq!(sums(set.frees()), (0, 0, 0, 0));
            set.free_small(class().index());
            counter(&set, shared).free(Some(class()), 200);
            counter(&set, shared).free(None, 100_000);
            assert_eq!(sums(set.frees()), (2, 0, 1, bytes(100_000)));
            assert_eq!(sums(set.mallocs()), (2, 1, 1, bytes(100_000)));
        }
    }

    #[test]
    fn a_large_object_counts_for_whole_pages_and_at_least_one() {
        let set = Exact::new();
        // Large for its alignment alone.
        Counter::own(&set).alloc(None, 1);
        assert_eq!(sums(set.mallocs()), (0, 0, 1, PAGE as u64));
        Counter::own(&set).alloc(None, 0);
        assert_eq!(sums(set.mallocs()), (0, 0, 2, 2 * PAGE as u64));
    }

    #[test]
    fn a_resize_counts_the_difference_of_pages_and_no_call() {
        for shared in [false, true] {
            let set = Exact::new();
            counter(&set, shared).resize(100_000, 900_000);
            assert_eq!(sums(set.mallocs()), (0, 0, 0, bytes(900_000) - bytes(100_000)));
            counter(&set, shared).resize(900_000, 50_000);
            counter(&set, shared).resize(50_000, 50_001);
            assert_eq!(sums(set.frees()), (0, 0, 0, bytes(900_000) - bytes(50_000)));
            assert_eq!(sums(set.mallocs()), (0, 0, 0, bytes(900_000) - bytes(100_000)));
        }
    }
}
