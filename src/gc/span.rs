//! The collector's record of a run of pages: equal slots, and three bits for each, kept apart from the objects.
//!
//! | bit | set | cleared |
//! |---|---|---|
//! | `alloc` | by the span's holder, when a slot is handed out | by the sweeper, for what is dead |
//! | `mark` | by whoever turns the object grey or black | by the sweeper, for the whole span |
//! | `zombie` | by the sweeper, for a dead object that must be dropped first | by the drop thread |
//!
//! - S1. A slot is free if neither `alloc` nor `zombie` is set. Only the span's holder, one mutator or one sweeper, hands slots out.
//! - S2. `epoch` is the cycle that will sweep the span next. It is raised by the sweeper alone, before the marks are cleared, so whoever sees a
//!   cleared mark sees the new epoch.
//! - S3. A record lives as long as its run is held, and the address of each object leads to it. It is given back by a sweep, and a sweep
//!   begins when no mutator can have a dead object's address any more (T3 of [`cycle`](super::cycle)).
//! - S4. The heap's live bytes include each slot that `counted` includes, once: a thread that
//!   changes `counted` changes the live bytes by the difference that it saw. Dead objects that wait
//!   for their drop count. While a mutator holds the span, all slots count.

use super::desc::{Desc, Header, Object, offset};
use super::fault::broken;
use super::space::Space;
use crate::heap::source::{Run, SOURCE, SpanSource};
use crate::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Most objects of one span.
pub(crate) const OBJECTS: usize = 512;
const WORDS: usize = OBJECTS / 64;
/// In `counted`: the span is a mutator's, which may fill every slot that becomes free.
const ALL: u32 = 1 << 31;
/// What dead slots are filled with.
const POISON: u8 = 0xDB;

/// One run of managed objects.
#[repr(align(64))]
pub(crate) struct Span {
    base: NonNull<u8>,
    slot: usize,
    /// 2^40 / `slot`, rounded up: an index is a multiplication.
    inverse: u64,
    objects: u32,
    /// The type of all objects; `None`: each has a header.
    desc: Option<&'static Desc>,
    pub(crate) space: &'static Space,
    pages: usize,
    run: Run,
    epoch: AtomicU64,
    /// Slots that the heap's live bytes include, and [`ALL`] where a mutator holds them all (S4).
    counted: AtomicU32,
    /// Where the span stands in its space's list of all; guarded by the space's lock.
    pub(crate) place: AtomicUsize,
    alloc: [AtomicU64; WORDS],
    mark: [AtomicU64; WORDS],
    zombie: [AtomicU64; WORDS],
}

// SAFETY: the fields that are not atomic never change; what they lead to lives as long (S3), and objects are `Send + Sync`.
unsafe impl Send for Span {}
// SAFETY: likewise.
unsafe impl Sync for Span {}

/// Which slot of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Index(pub(crate) u32);

impl Index {
    #[inline(always)]
    fn word(self) -> usize {
        self.0 as usize / 64 % WORDS
    }

    #[inline(always)]
    fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// What a sweep found.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Swept {
    pub(crate) live: u32,
    pub(crate) dead: u32,
    /// Slots by which the live bytes change.
    pub(crate) change: i64,
    /// Whether the span holds nothing, not even zombies.
    pub(crate) empty: bool,
    /// The dead.
    pub(crate) corpses: [u64; WORDS],
}

impl Span {
    /// Takes a run for `objects` slots of `slot` bytes. `None`: no memory.
    pub(crate) fn take(
        space: &'static Space,
        slot: usize,
        pages: usize,
        objects: u32,
        epoch: u64,
    ) -> Option<&'static Self> {
        let layout = const { Layout::new::<Self>() };
        // SAFETY: the record has a size. Not a `Box`: where there is no memory, that is an answer.
        let place = NonNull::new(unsafe { std::alloc::alloc(layout) })?.cast::<Self>();
        let Some(run) = SOURCE.take(pages, objects, slot, place.cast()) else {
            // SAFETY: allocated above, and nobody else has it.
            unsafe { std::alloc::dealloc(place.as_ptr().cast(), layout) };
            return None;
        };
        // SAFETY: room for a record, that nobody else has until it is written.
        let record = unsafe { &mut *place.as_ptr().cast::<MaybeUninit<Self>>() };
        let record = record.write(Self {
            base: run.base,
            slot,
            inverse: (1u64 << 40).div_ceil(slot as u64),
            objects,
            desc: space.desc,
            space,
            pages,
            run,
            epoch: AtomicU64::new(epoch),
            counted: AtomicU32::new(0),
            place: AtomicUsize::new(0),
            alloc: core::array::from_fn(|_| AtomicU64::new(0)),
            mark: core::array::from_fn(|_| AtomicU64::new(0)),
            zombie: core::array::from_fn(|_| AtomicU64::new(0)),
        });
        Some(record)
    }

    /// Gives the run back.
    ///
    /// # Safety
    /// The caller holds the span, nothing in it is in use, and nobody has a reference to the record but the caller.
    pub(crate) unsafe fn give(&'static self) {
        let record = core::ptr::from_ref(self).cast_mut();
        // SAFETY: as the caller promised.
        unsafe { SOURCE.give(self.run) };
        // SAFETY: allocated in `take` as a box would have been, and nobody else refers to it.
        drop(unsafe { Box::from_raw(record) });
    }

    /// The record of the span that holds the object at `address`.
    ///
    /// # Safety
    /// An object of a heap of the collector's lies there, which is not swept meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn of(address: NonNull<u8>) -> &'static Self {
        let tag = SOURCE.tag_of(address).cast::<Self>();
        debug_assert!(!tag.is_null(), "no managed span at {address:?}");
        // SAFETY: S3; runs of the collector are tagged with their records.
        unsafe { &*tag }
    }

    /// The record of the span at `address`, if there is one: for the verifier, which trusts no
    /// edge, and for places that may lie in objects or elsewhere.
    pub(crate) fn find(address: NonNull<u8>) -> Option<&'static Self> {
        // SAFETY: null or a record, which is held while the world is, or while the caller has a
        // reference to what lies there.
        unsafe { SOURCE.tag_of(address).cast::<Self>().as_ref() }
    }

    /// The slot that `address` lies in.
    #[inline(always)]
    pub(crate) fn index(&self, address: NonNull<u8>) -> Index {
        let bytes = address.as_ptr().addr().wrapping_sub(self.base.as_ptr().addr());
        if self.objects == 1 {
            return Index(0);
        }
        Index(((bytes as u64 * self.inverse) >> 40) as u32)
    }

    /// First byte of a slot.
    #[inline(always)]
    pub(crate) fn slot_at(&self, index: Index) -> NonNull<u8> {
        // SAFETY: the slot lies inside the run.
        unsafe { self.base.add(index.0 as usize * self.slot) }
    }

    /// The object in a slot.
    ///
    /// # Safety
    /// The slot is allocated, and its header, if the span has any, is written.
    pub(crate) unsafe fn object(&self, index: Index) -> Object {
        let slot = self.slot_at(index);
        match self.desc {
            Some(desc) => Object {
                desc,
                first: slot,
                len: 1,
            },
            None => {
                // SAFETY: as the caller promised.
                let header = unsafe { slot.cast::<Header>().as_ref() };
                // SAFETY: the payload lies inside the slot.
                let first = unsafe { slot.add(offset(header.desc.align)) };
                Object {
                    desc: header.desc,
                    first,
                    len: header.len,
                }
            }
        }
    }

    /// Bytes of a slot.
    pub(crate) fn slot_bytes(&self) -> usize {
        self.slot
    }

    /// Pages of the run.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// The cycle that sweeps the span next.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        // Acquire: with the Release in `sweep`, for what the sweeper did before.
        self.epoch.load(Acquire)
    }

    /// Whether the object is marked.
    #[inline(always)]
    pub(crate) fn is_marked(&self, index: Index) -> bool {
        // Acquire: pairs with the Release of `mark` and of the sweeper's clearing (S2).
        self.mark[index.word()].load(Acquire) & index.bit() != 0
    }

    /// Marks the object. `true`: it was not marked before.
    #[inline(always)]
    pub(crate) fn mark(&self, index: Index) -> bool {
        // AcqRel: whoever sees the mark sees what its maker did before, and the other way round.
        self.mark[index.word()].fetch_or(index.bit(), AcqRel) & index.bit() == 0
    }

    /// Whether the slot is handed out.
    #[inline]
    pub(crate) fn is_allocated(&self, index: Index) -> bool {
        index.0 < self.objects && self.alloc[index.word()].load(Relaxed) & index.bit() != 0
    }

    /// The free slots of word `word`. The caller holds the span.
    pub(crate) fn free_in(&self, word: usize) -> u64 {
        let Some((alloc, zombie)) = self.alloc.get(word).zip(self.zombie.get(word)) else {
            return 0;
        };
        let here = (self.objects as usize).saturating_sub(word * 64);
        let all = if here >= 64 { u64::MAX } else { (1 << here) - 1 };
        // Acquire: pairs with the Release in `buried`, so that the drop is over.
        all & !alloc.load(Relaxed) & !zombie.load(Acquire)
    }

    /// Words of bits that the span uses.
    pub(crate) fn words(&self) -> usize {
        (self.objects as usize).div_ceil(64)
    }

    /// Whether a slot is free. The caller holds the span.
    pub(crate) fn has_free(&self) -> bool {
        (0..self.words()).any(|word| self.free_in(word) != 0)
    }

    /// The word of `alloc` bits number `word`, for its holder.
    pub(crate) fn alloc_word(&self, word: usize) -> &AtomicU64 {
        &self.alloc[word % WORDS]
    }

    /// All free slots count as live from here on: their holder will fill them. How many that are. The caller holds the span.
    pub(crate) fn count_all(&self) -> u32 {
        // Relaxed: the number orders nothing.
        let before = self.counted.swap(self.objects | ALL, Relaxed) & !ALL;
        self.objects - before
    }

    /// Tells what is dead from what lives, and makes the span one of the next cycle. `dropped`: the dead must be dropped.
    ///
    /// The caller holds the span alone, and the cycle `epoch` has closed.
    pub(crate) fn sweep(&self, epoch: u64, dropped: bool) -> Swept {
        let mut swept = Swept::default();
        let mut zombies = 0;
        for word in 0..self.words() {
            let alloc = self.alloc[word].load(Relaxed);
            let marked = self.mark[word].load(Relaxed);
            let dead = alloc & !marked;
            swept.live += (alloc & marked).count_ones();
            swept.dead += dead.count_ones();
            self.alloc[word].store(alloc & marked, Relaxed);
            swept.corpses[word] = dead;
            if dropped {
                // Relaxed: the drop thread learns of them through its queue.
                self.zombie[word].fetch_or(dead, Relaxed);
            }
            // Acquire: pairs with the Release in `buried`.
            zombies += self.zombie[word].load(Acquire).count_ones();
        }
        if broken("clear_before_epoch") {
            self.clear_marks();
        }
        // Release: pairs with the Acquire in `epoch`.
        self.epoch.store(epoch + 1, Release);
        self.clear_marks();
        let counted = swept.live + zombies;
        let before = self.counted.swap(counted, Relaxed) & !ALL;
        swept.change = i64::from(counted) - i64::from(before);
        swept.empty = counted == 0;
        swept
    }

    fn clear_marks(&self) {
        for word in &self.mark[..self.words()] {
            // Release: pairs with the Acquire in `is_marked`: who sees the mark gone sees the epoch raised (S2).
            word.store(0, Release);
        }
    }

    /// In builds with debug assertions: fills a slot whose object is gone, so that whoever still reads it sees that.
    pub(crate) fn poison(&self, index: Index) {
        if cfg!(debug_assertions) && self.slot <= 32 << 10 {
            // SAFETY: the slot is dead, and its holder's.
            unsafe { self.slot_at(index).write_bytes(POISON, self.slot) };
        }
    }

    /// Poisons the slots whose bits are set.
    pub(crate) fn poison_all(&self, corpses: &[u64; WORDS]) {
        for (word, &mask) in corpses.iter().enumerate() {
            let bits = (0..64).filter(|bit| mask >> bit & 1 != 0);
            bits.for_each(|bit| self.poison(Index(word as u32 * 64 + bit)));
        }
    }

    /// The drop thread is done with the dead objects `mask` of word `word`. How many slots the live
    /// bytes no longer include.
    ///
    /// The count changes first: a sweep that comes in between finds the objects waiting still, and
    /// counts too many until the next one.
    pub(crate) fn buried(&self, word: usize, mask: u64) -> u32 {
        let count = mask.count_ones();
        let fewer = |counted| (counted & ALL == 0).then_some(counted - count);
        let uncounted = if broken("buried_uncounted") {
            // What a thread reads may be old when it writes.
            let counted = self.counted.load(Relaxed);
            self.counted.store(fewer(counted).unwrap_or(counted), Relaxed);
            count * u32::from(counted & ALL == 0)
        } else {
            let changed = self.counted.fetch_update(Relaxed, Relaxed, fewer);
            if changed.is_ok() { count } else { 0 }
        };
        // Release: pairs with the Acquire in `free_in`.
        let order = if broken("buried_relaxed") { Relaxed } else { Release };
        self.zombie[word % WORDS].fetch_and(!mask, order);
        uncounted
    }

    /// The slots with an object in them.
    pub(crate) fn allocated(&self) -> impl Iterator<Item = Index> + '_ {
        (0..self.objects).map(Index).filter(|&index| self.is_allocated(index))
    }

    /// Whether any mark is set.
    pub(crate) fn has_marks(&self) -> bool {
        self.mark.iter().any(|word| word.load(Relaxed) != 0)
    }
}
