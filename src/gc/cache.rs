//! The slots that a mutator allocates from: one span per type or size, and one word of free slots
//! at a time.
//!
//! The mutator's record owns the cache. When an entry begins a word, it reads the free slots from
//! the span's bits. It writes each slot that it takes to the bits at once. So the collector may
//! take the span from a thread that is not pinned.
//!
//! - GCCACHE-1. Until handshake H3 an entry's span belongs to this mutator alone, and its epoch is
//!   the one that the mutator's phase allocates in.
//! - GCCACHE-2. `bits` are free slots of word `word` of the span.

use super::desc::Desc;
use super::span::{Index, Span};
use crate::sync::IS_MODEL;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::cell::Cell;
use core::ptr::{NonNull, null, null_mut};

const ENTRIES: usize = if IS_MODEL { 4 } else { 64 };
/// The number of places where an entry may stand.
const PROBES: usize = 4;

/// The objects that an entry serves: those of one type, or of one size with headers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key(usize);

impl Key {
    const NONE: Self = Self(0);

    /// Returns the key for objects of one type.
    #[inline(always)]
    pub(crate) fn of_type(desc: &'static Desc) -> Self {
        Self(core::ptr::from_ref(desc).addr())
    }

    /// Returns the key for objects with headers of one size class, with the payload at `offset`. It
    /// is odd, which no descriptor's address is.
    pub(crate) fn of_class(class: usize, offset: usize, traced: bool, dropped: bool) -> Self {
        Self(offset << 12 | class << 3 | usize::from(traced) << 2 | usize::from(dropped) << 1 | 1)
    }

    #[inline(always)]
    fn hash(self) -> usize {
        (self.0 >> 4) ^ (self.0 >> 10) ^ (self.0 << 3)
    }
}

/// One span in use.
pub(crate) struct Entry {
    key: Cell<Key>,
    bits: Cell<u64>,
    /// The first slot of the word.
    first: Cell<*mut u8>,
    slot: Cell<usize>,
    alloc: Cell<*const AtomicU64>,
    word: Cell<usize>,
    span: Cell<Option<&'static Span>>,
}

impl Entry {
    const fn new() -> Self {
        Self {
            key: Cell::new(Key::NONE),
            bits: Cell::new(0),
            first: Cell::new(null_mut()),
            slot: Cell::new(0),
            alloc: Cell::new(null()),
            word: Cell::new(0),
            span: Cell::new(None),
        }
    }

    /// Hands out a free slot of the current word. Returns it with the number of its bit.
    #[inline(always)]
    fn pop(&self) -> Option<(NonNull<u8>, u32)> {
        let bits = self.bits.get();
        if bits == 0 {
            return None;
        }
        let at = bits.trailing_zeros();
        self.bits.set(bits & (bits - 1));
        // SAFETY: a bit is set only while the span belongs to this mutator (GCCACHE-1). `alloc`
        // points to a word of that span.
        let alloc = unsafe { &*self.alloc.get() };
        // Relaxed, and no exchange: only the holder writes. The collector reads after a handshake.
        alloc.store(alloc.load(Relaxed) | 1 << at, Relaxed);
        let slot = self.first.get().wrapping_add(at as usize * self.slot.get());
        // SAFETY: the slot lies inside a run, and no run lies at null.
        Some((unsafe { NonNull::new_unchecked(slot) }, at))
    }

    /// Moves on to the first word, from `from` on, that has a free slot. Returns `false` if none
    /// has.
    fn advance(&self, from: usize) -> bool {
        let Some(span) = self.span.get() else { return false };
        for word in from..span.words() {
            let bits = span.free_in(word);
            if bits != 0 {
                self.word.set(word);
                self.alloc.set(span.alloc_word(word));
                self.first.set(span.slot_at(Index(word as u32 * 64)).as_ptr());
                self.slot.set(span.slot_bytes());
                self.bits.set(bits);
                return true;
            }
        }
        self.bits.set(0);
        false
    }

    fn forget(&self) {
        self.key.set(Key::NONE);
        self.bits.set(0);
        self.span.set(None);
    }

    fn swap(&self, other: &Self) {
        self.key.swap(&other.key);
        self.bits.swap(&other.bits);
        self.first.swap(&other.first);
        self.slot.swap(&other.slot);
        self.alloc.swap(&other.alloc);
        self.word.swap(&other.word);
        self.span.swap(&other.span);
    }
}

/// All entries of a mutator.
pub(crate) struct Cache([Entry; ENTRIES]);

impl Cache {
    pub(crate) fn new() -> Self {
        Self([const { Entry::new() }; ENTRIES])
    }

    #[inline(always)]
    fn place(&self, key: Key, probe: usize) -> &Entry {
        &self.0[(key.hash() + probe) % ENTRIES]
    }

    /// Hands out a free slot for `key` from the current word of its span.
    #[inline(always)]
    pub(crate) fn pop(&self, key: Key) -> Option<NonNull<u8>> {
        let entry = self.place(key, 0);
        if entry.key.get() != key {
            return None;
        }
        entry.pop().map(|(slot, _)| slot)
    }

    /// Hands out a free slot for `key`, with its span and its index. The slot comes from the cache,
    /// or from a span that `refill` gives. `None`: `refill` has no space for the key. `Some(None)`:
    /// there is no memory.
    #[expect(
        clippy::option_option,
        reason = "the two are told apart by one caller, and one answer by the other"
    )]
    pub(crate) fn take_or(
        &self,
        key: Key,
        refill: impl Fn() -> Option<Option<&'static Span>>,
    ) -> Option<Option<(NonNull<u8>, &'static Span, Index)>> {
        let entry = self.front(key);
        loop {
            if let Some((slot, at)) = entry.pop()
                && let Some(span) = entry.span.get()
            {
                return Some(Some((slot, span, Index(entry.word.get() as u32 * 64 + at))));
            }
            if !entry.advance(entry.word.get() + 1) {
                entry.forget();
                // `refill` uses no cache, so the entry in front is still this empty one.
                let Some(span) = refill()? else {
                    return Some(None);
                };
                entry.span.set(Some(span));
                entry.key.set(key);
                entry.advance(0);
            }
        }
    }

    /// Brings the entry of `key`, or an empty one, to its first place.
    fn front(&self, key: Key) -> &Entry {
        let front = self.place(key, 0);
        if front.key.get() == key {
            return front;
        }
        let other = (1..PROBES).map(|probe| self.place(key, probe));
        let found = other.clone().find(|entry| entry.key.get() == key);
        if let Some(entry) = found.or_else(|| other.clone().find(|entry| entry.span.get().is_none())) {
            // The former front entry may now lie where its own probes do not find it. Then its span
            // is given back.
            front.swap(entry);
            if !(0..PROBES).any(|probe| core::ptr::eq(self.place(entry.key.get(), probe), entry)) {
                Self::give_back(entry);
            }
        }
        if front.key.get() != key {
            Self::give_back(front);
        }
        front
    }

    fn give_back(entry: &Entry) {
        if let Some(span) = entry.span.get() {
            span.put_back();
        }
        entry.forget();
    }

    /// Forgets all spans. The collector knows them.
    pub(crate) fn forget(&self) {
        self.0.iter().for_each(Entry::forget);
    }
}
