//! The collector's record of a run of pages: equal slots, and three bits per slot, stored apart
//! from the objects. The marks lie in the [`atlas`].
//!
//! | bit | set | cleared |
//! |---|---|---|
//! | `alloc` | by the holder, when it hands the slot out | by the sweeper, for a dead object |
//! | mark | by the thread that makes the object grey or black | by the sweeper, in all slots |
//! | `zombie` | by the sweeper, for a dead object with drop glue | by the drop thread |
//!
//! - GCSPAN-1. A slot is free if neither `alloc` nor `zombie` is set. Only the span's holder hands
//!   slots out: one mutator or one sweeper.
//! - GCSPAN-2. `epoch` is the cycle that will sweep the span next. Only the sweeper raises it,
//!   before it clears the marks. So a thread that sees a cleared mark sees the new epoch.
//! - GCSPAN-3. A record lives as long as its run is held, and the address of each object leads to
//!   it (ATLAS-1). A sweep gives the record back. A sweep begins only when no mutator can have a
//!   dead object's address any more (the moment T3 of [`cycle`](super::cycle)).
//! - GCSPAN-4. The heap's live bytes include each slot that `counted` includes, once. A thread that
//!   changes `counted` changes the live bytes by the difference that it saw. Dead objects that wait
//!   for their drop count. While a mutator holds the span, all slots count.

use super::atlas::{self, Layout as Placing, Mark};
use super::desc::{Desc, Header, Object};
use super::fault::broken;
use crate::base::geometry::PAGE;
use crate::heap::source::{Run, SOURCE, SpanSource};
use crate::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::lock::Lock;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// The largest number of objects in one span.
pub(crate) const OBJECTS: usize = 512;
pub(super) const WORDS: usize = OBJECTS / 64;
/// Flag in `counted`: a mutator holds the span, and may fill every slot that becomes free.
pub(super) const ALL: u32 = 1 << 31;
/// The byte that fills dead slots.
const POISON: u8 = 0xDB;

/// The lists of a space.
pub(super) struct Lists {
    pub(super) all: Vec<&'static Span>,
    /// Swept spans with free slots.
    pub(super) partial: Vec<&'static Span>,
    pub(super) unswept: Vec<&'static Span>,
    /// Spans taken off `unswept` whose sweep is not over.
    pub(super) sweeping: usize,
}

impl Lists {
    /// Makes room for one more span on each list, so that no list grows where that could fail.
    /// Returns `false` if there is no memory.
    pub(super) fn has_room(&mut self) -> bool {
        let spans = self.all.len() + 1;
        let mut lists = [&mut self.all, &mut self.partial, &mut self.unswept].into_iter();
        lists.all(|list| list.try_reserve(spans - list.len().min(spans)).is_ok())
    }
}

/// The spans of one kind of objects; see [`space`](super::space).
pub(crate) struct Space {
    /// The type of all objects. `None`: the objects have headers.
    pub(crate) desc: Option<&'static Desc>,
    /// Whether objects can have edges.
    pub(crate) traced: bool,
    /// Whether dead objects must be dropped.
    pub(crate) dropped: bool,
    /// Bytes of a slot. 0: each span has one slot that fills it.
    pub(super) slot: usize,
    /// Bytes from a slot's first byte to the payload: those of the header, if there is one.
    pub(super) offset: usize,
    pub(super) lists: Lock<Lists>,
}

/// One run of managed objects.
#[repr(align(64))]
pub(crate) struct Span {
    pub(super) base: NonNull<u8>,
    pub(super) slot: usize,
    /// Bytes from a slot's first byte to its payload.
    pub(super) offset: usize,
    /// 2^40 / `slot`, rounded up. So an address becomes an index by a multiplication.
    inverse: u64,
    pub(super) objects: u32,
    pub(crate) space: &'static Space,
    pub(super) pages: usize,
    run: Run,
    pub(super) epoch: AtomicU64,
    /// Slots that the heap's live bytes include, and [`ALL`] while a mutator holds them all
    /// (GCSPAN-4).
    pub(super) counted: AtomicU32,
    /// The span's index in its space's list `all`. The space's lock guards it.
    pub(crate) place: AtomicUsize,
    pub(super) alloc: [AtomicU64; WORDS],
    pub(super) zombie: [AtomicU64; WORDS],
}

// SAFETY: the fields that are not atomic never change. Their targets live as long as the record
// (GCSPAN-3), and objects are `Send + Sync`.
unsafe impl Send for Span {}
// SAFETY: shared threads read constant fields and atomics only; see `Send`.
unsafe impl Sync for Span {}

/// The number of a slot in its span.
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

impl Span {
    /// Takes a run for `objects` slots of `slot` bytes. Returns `None` if there is no memory.
    pub(crate) fn take(
        space: &'static Space,
        slot: usize,
        pages: usize,
        objects: u32,
        epoch: u64,
    ) -> Option<&'static Self> {
        let layout = const { Layout::new::<Self>() };
        // SAFETY: the record's size is not zero. `Box` is not used because a lack of memory must
        // return `None`.
        let place = NonNull::new(unsafe { std::alloc::alloc(layout) })?.cast::<Self>();
        let Some(run) = Self::take_run(pages, objects, slot) else {
            // SAFETY: allocated above with this layout, and no other code has the pointer.
            unsafe { std::alloc::dealloc(place.as_ptr().cast(), layout) };
            return None;
        };
        // SAFETY: the memory has room for a record, and no other code has it before it is written.
        let record = unsafe { &mut *place.as_ptr().cast::<MaybeUninit<Self>>() };
        let record = record.write(Self {
            base: run.base,
            slot,
            offset: space.offset,
            inverse: (1u64 << 40).div_ceil(slot as u64),
            objects,
            space,
            pages,
            run,
            epoch: AtomicU64::new(epoch),
            counted: AtomicU32::new(0),
            place: AtomicUsize::new(0),
            alloc: core::array::from_fn(|_| AtomicU64::new(0)),
            zombie: core::array::from_fn(|_| AtomicU64::new(0)),
        });
        // SAFETY: `take_run` has prepared the atlas.
        unsafe { atlas::enter(run.base, pages, place.as_ptr().cast(), space.placing()) };
        debug_assert!(!record.has_marks(), "marks of an earlier span (ATLAS-4)");
        Some(record)
    }

    /// Takes a run and makes room for it in the atlas. Returns `None` if there is no memory.
    fn take_run(pages: usize, objects: u32, slot: usize) -> Option<Run> {
        let run = SOURCE.take(pages, objects, slot)?;
        if !atlas::prepare(run.base, pages * PAGE) {
            // SAFETY: taken above, and no other code has it.
            unsafe { SOURCE.give(run) };
            return None;
        }
        Some(run)
    }

    /// Gives the run back.
    ///
    /// # Safety
    /// The caller holds the span, no object in it is in use, and only the caller has a reference to
    /// the record.
    pub(crate) unsafe fn give(&'static self) {
        let record = core::ptr::from_ref(self).cast_mut();
        debug_assert!(!self.has_marks(), "marks for the next span (ATLAS-4)");
        // SAFETY: `take_run` has prepared the atlas.
        unsafe { atlas::erase(self.base, self.pages) };
        // SAFETY: the caller holds the span, and no object in it is in use (contract of this
        // function).
        unsafe { SOURCE.give(self.run) };
        // SAFETY: `take` allocated it with the layout of a `Box`, and only the caller refers to it
        // (contract of this function).
        drop(unsafe { Box::from_raw(record) });
    }

    /// Takes back a span that a mutator held and no longer needs. A full span waits on `all`.
    pub(crate) fn put_back(&'static self) {
        if self.has_free() {
            self.space.lists.lock().partial.push(self);
        }
    }

    /// Returns the record of the span that holds the object at `address`.
    ///
    /// # Safety
    /// An object of one of the collector's heaps lies at `address`, and it is not swept meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn of(address: NonNull<u8>) -> &'static Self {
        // SAFETY: the object's run is held (contract of this function).
        let record = unsafe { atlas::page(address) }.span().cast::<Self>();
        debug_assert!(!record.is_null(), "no managed span at {address:?}");
        // SAFETY: the record lives while the run is held (GCSPAN-3).
        unsafe { &*record }
    }

    /// Returns the record of the span at `address`, if there is one. For the verifier, which trusts
    /// no edge, and for places that may lie outside of objects.
    pub(crate) fn find(address: NonNull<u8>) -> Option<&'static Self> {
        let record = atlas::page_if_any(address)?.span().cast::<Self>();
        // SAFETY: null or a record. The record lives: either the verifier holds the world, or the
        // caller has a reference to the memory at `address`.
        unsafe { record.as_ref() }
    }

    /// Returns the slot that `address` lies in.
    #[inline(always)]
    pub(crate) fn index(&self, address: NonNull<u8>) -> Index {
        let bytes = address.as_ptr().addr().wrapping_sub(self.base.as_ptr().addr());
        if self.objects == 1 {
            return Index(0);
        }
        Index(((bytes as u64 * self.inverse) >> 40) as u32)
    }

    /// Returns the first byte of a slot.
    #[inline(always)]
    pub(crate) fn slot_at(&self, index: Index) -> NonNull<u8> {
        // SAFETY: the slot lies inside the run.
        unsafe { self.base.add(index.0 as usize * self.slot) }
    }

    /// Returns the first byte of the payload of a slot. Edges lead there.
    #[inline(always)]
    pub(crate) fn payload(&self, index: Index) -> NonNull<u8> {
        // SAFETY: the payload begins inside the slot.
        unsafe { self.slot_at(index).add(self.offset) }
    }

    /// Returns the object in a slot.
    ///
    /// # Safety
    /// The slot is allocated. If the span has headers, the slot's header is written.
    pub(crate) unsafe fn object(&self, index: Index) -> Object {
        // SAFETY: the slot is allocated, and its header is written (contract of this function).
        unsafe { object_at(self.payload(index)) }
    }

    /// Returns the bytes of a slot.
    pub(crate) fn slot_bytes(&self) -> usize {
        self.slot
    }

    /// Returns the pages of the run.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Returns the cycle that sweeps the span next.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        // Acquire: pairs with the Release in `sweep`, for the sweeper's earlier writes.
        self.epoch.load(Acquire)
    }

    /// Returns the mark of a slot.
    #[inline(always)]
    pub(crate) fn mark(&self, index: Index) -> Mark {
        // SAFETY: the run is held as long as the record lives.
        unsafe { Mark::of(self.payload(index)) }
    }

    /// Returns whether the slot is handed out.
    #[inline]
    pub(crate) fn is_allocated(&self, index: Index) -> bool {
        index.0 < self.objects && self.alloc[index.word()].load(Relaxed) & index.bit() != 0
    }

    /// Returns the free slots of word `word`, as bits. The caller holds the span.
    pub(crate) fn free_in(&self, word: usize) -> u64 {
        let Some((alloc, zombie)) = self.alloc.get(word).zip(self.zombie.get(word)) else {
            return 0;
        };
        let here = (self.objects as usize).saturating_sub(word * 64);
        let all = if here >= 64 { u64::MAX } else { (1 << here) - 1 };
        // Acquire: pairs with the Release in `buried`, so the drop is over.
        all & !alloc.load(Relaxed) & !zombie.load(Acquire)
    }

    /// Returns how many words of bits the span uses.
    pub(crate) fn words(&self) -> usize {
        (self.objects as usize).div_ceil(64)
    }

    /// Returns whether a slot is free. The caller holds the span.
    pub(crate) fn has_free(&self) -> bool {
        (0..self.words()).any(|word| self.free_in(word) != 0)
    }

    /// Returns word `word` of the `alloc` bits, for the span's holder.
    pub(crate) fn alloc_word(&self, word: usize) -> &AtomicU64 {
        &self.alloc[word % WORDS]
    }

    /// Counts all slots as live, because their holder will fill them. Returns how many the live
    /// bytes did not include before. The caller holds the span.
    pub(crate) fn count_all(&self) -> u32 {
        // Relaxed: the number orders nothing.
        let before = self.counted.swap(self.objects | ALL, Relaxed) & !ALL;
        self.objects - before
    }

    /// Fills a slot whose object is gone, so that a late read shows. Only in builds with debug
    /// assertions.
    pub(crate) fn poison(&self, index: Index) {
        if cfg!(debug_assertions) && self.slot <= 32 << 10 {
            // SAFETY: the object is dead, and the caller holds its slot.
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

    /// Clears the zombie bits `mask` of word `word`: the drop thread has dropped these objects.
    /// Returns how many slots the live bytes no longer include.
    ///
    /// The count changes first. A sweep that runs in between still finds the objects waiting, and
    /// counts too many until the next sweep.
    pub(crate) fn buried(&self, word: usize, mask: u64) -> u32 {
        let count = mask.count_ones();
        let fewer = |counted| (counted & ALL == 0).then_some(counted - count);
        let uncounted = if broken("buried_uncounted") {
            // The count may have changed between the load and the store.
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

    /// Iterates over the slots that hold an object.
    pub(crate) fn allocated(&self) -> impl Iterator<Item = Index> + '_ {
        (0..self.objects).map(Index).filter(|&index| self.is_allocated(index))
    }
}

/// Returns the object whose payload begins at `first`.
///
/// # Safety
/// An object of one of the collector's heaps lies there, and it is not swept meanwhile. Its header,
/// if it has one, is written.
#[inline(always)]
pub(crate) unsafe fn object_at(first: NonNull<u8>) -> Object {
    // SAFETY: the object's run is held (contract of this function).
    match unsafe { atlas::layout(first) } {
        Placing::Typed(desc) => Object { desc, first, len: 1 },
        Placing::Headed { offset, .. } => {
            // SAFETY: the header begins this far in front of the payload.
            let header = unsafe { first.sub(offset) }.cast::<Header>();
            // SAFETY: the header is written (contract of this function).
            let header = unsafe { header.as_ref() };
            Object {
                desc: header.desc,
                first,
                len: header.len,
            }
        }
    }
}
