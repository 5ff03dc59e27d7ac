//! A space: the spans of one type, of one size of objects with headers, or of large objects. Its
//! lists say which thread may take a span.
//!
//! - SPACE-1. No thread holds a span on `partial` or `unswept`. The thread that takes it off, under
//!   the lock, holds it.
//! - SPACE-2. Every span stands on `all` until it is given back. After the moment T3 of a cycle the
//!   collector may take any span of that cycle from there: no mutator holds one any more.
//! - SPACE-3. Mutators take only spans of the epoch that their word asks for. So no mutator
//!   allocates a white object in an unswept span, or a black one in a swept span.

use super::cache::Key;
use super::desc::{Desc, Kind};
use super::heap::Inner;
use super::mutator::Record;
use super::phase::{Phase, State};
use super::span::{OBJECTS, Span, Swept};
use super::stats::Stint;
use crate::base::geometry::{PAGE, SMALL_MAX};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::lock::Lock;
use std::collections::HashMap;

/// A mutator sweeps at most one span more than this before it takes a fresh one.
const SWEEPS: usize = 4;
/// The number of types that get separate spans.
const TYPES: usize = if cfg!(loom) { 4 } else { 256 };

struct Lists {
    all: Vec<&'static Span>,
    /// Swept spans with free slots.
    partial: Vec<&'static Span>,
    unswept: Vec<&'static Span>,
    /// Spans taken off `unswept` whose sweep is not over.
    sweeping: usize,
}

impl Lists {
    /// Makes room for one more span on each list, so that no list grows where that could fail.
    /// Returns `false` if there is no memory.
    fn has_room(&mut self) -> bool {
        let spans = self.all.len() + 1;
        let mut lists = [&mut self.all, &mut self.partial, &mut self.unswept].into_iter();
        lists.all(|list| list.try_reserve(spans - list.len().min(spans)).is_ok())
    }
}

/// The spans of one kind of objects.
pub(crate) struct Space {
    /// The type of all objects. `None`: the objects have headers.
    pub(crate) desc: Option<&'static Desc>,
    /// Whether objects can have edges.
    pub(crate) traced: bool,
    /// Whether dead objects must be dropped.
    pub(crate) dropped: bool,
    /// Bytes of a slot. 0: each span has one slot that fills it.
    slot: usize,
    lists: Lock<Lists>,
}

impl Space {
    fn new(desc: Option<&'static Desc>, slot: usize, traced: bool, dropped: bool) -> Self {
        Self {
            desc,
            traced,
            dropped,
            slot,
            lists: Lock::new(Lists {
                all: Vec::new(),
                partial: Vec::new(),
                unswept: Vec::new(),
                sweeping: 0,
            }),
        }
    }

    /// Returns the pages of a span and its number of objects.
    fn geometry(&self) -> (usize, u32) {
        let pages = if self.slot * 8 > SMALL_MAX {
            (self.slot * 8).div_ceil(PAGE)
        } else {
            (OBJECTS * self.slot / PAGE).clamp(1, 4)
        };
        (pages, (pages * PAGE / self.slot).min(OBJECTS) as u32)
    }

    /// Returns whether objects of the type are small enough for separate spans.
    fn fits_typed(desc: &Desc) -> bool {
        slot_of(desc) <= SMALL_MAX
    }

    /// Returns a span with a free slot. The mutator holds it from here on. `None`: there is no
    /// memory.
    pub(crate) fn refill(&'static self, record: &Record) -> Option<&'static Span> {
        let heap = record.heap();
        let epoch = record.current().epoch();
        let span = self
            .find(heap, epoch)
            .or_else(|| self.fresh(heap, epoch, self.slot, self.geometry()))?;
        heap.count_live(span.count_all() as usize * span.slot_bytes());
        if record.phase() == Phase::Mark && heap.protocol.state() == State::Open {
            heap.assist(record);
        }
        Some(span)
    }

    fn find(&'static self, heap: &Inner, epoch: u64) -> Option<&'static Span> {
        let mut since = None;
        let found = self.find_or_sweep(heap, epoch, &mut since);
        if let Some(since) = since {
            heap.counters.stall(since);
        }
        found
    }

    /// Finds a span with a free slot, and sweeps some if necessary. `since` is set to the beginning
    /// of the first sweep.
    fn find_or_sweep(&'static self, heap: &Inner, epoch: u64, since: &mut Option<Stint>) -> Option<&'static Span> {
        for _ in 0..=SWEEPS {
            let span = {
                let mut lists = self.lists.lock();
                while let Some(span) = lists.partial.pop() {
                    // A span of another epoch waits on `all` for its sweep (SPACE-3).
                    if span.epoch() == epoch || super::fault::broken("refill_any_epoch") {
                        return Some(span);
                    }
                }
                let span = lists.unswept.pop()?;
                lists.sweeping += 1;
                span
            };
            since.get_or_insert_with(Stint::begin);
            let swept = heap.sweep_span(span, epoch - 1);
            let keep = !swept.empty && span.has_free();
            self.done(heap, span, &swept, keep);
            if keep {
                return Some(span);
            }
        }
        None
    }

    /// Makes a new span. `None`: there is no memory.
    fn fresh(
        &'static self,
        heap: &Inner,
        epoch: u64,
        slot: usize,
        (pages, objects): (usize, u32),
    ) -> Option<&'static Span> {
        let span = Span::take(self, slot, pages, objects, epoch)?;
        let mut lists = self.lists.lock();
        if !lists.has_room() {
            drop(lists);
            // SAFETY: the span is on no list, so no other thread has it, and no object is in it.
            unsafe { span.give() };
            return None;
        }
        heap.mapped.fetch_add(pages * PAGE, Relaxed);
        span.place.store(lists.all.len(), Relaxed);
        lists.all.push(span);
        Some(span)
    }

    /// Makes a span for one large object of `bytes`. `None`: there is no memory.
    pub(crate) fn take_large(&'static self, heap: &Inner, epoch: u64, bytes: usize) -> Option<&'static Span> {
        let pages = bytes.div_ceil(PAGE);
        let span = self.fresh(heap, epoch, pages * PAGE, (pages, 1))?;
        heap.count_live(span.count_all() as usize * span.slot_bytes());
        Some(span)
    }

    /// Takes back a span that a mutator held and no longer needs. A full span waits on `all`.
    pub(crate) fn put_back(span: &'static Span) {
        if span.has_free() {
            span.space.lists.lock().partial.push(span);
        }
    }

    /// Ends a sweep. An empty span goes back to the page heap. A span with free slots goes to
    /// `partial`, unless its sweeper keeps it (`keep`).
    fn done(&self, heap: &Inner, span: &'static Span, swept: &Swept, keep: bool) {
        {
            let mut lists = self.lists.lock();
            lists.sweeping -= 1;
            if swept.empty {
                let place = span.place.load(Relaxed);
                lists.all.swap_remove(place);
                if let Some(moved) = lists.all.get(place) {
                    moved.place.store(place, Relaxed);
                }
            } else if !keep && span.has_free() {
                lists.partial.push(span);
            }
        }
        if swept.empty {
            heap.mapped.fetch_sub(span.pages() * PAGE, Relaxed);
            // SAFETY: its sweeper held it, it is on no list, and it holds no object. No thread has
            // a dead object's address (GCSPAN-3).
            unsafe { span.give() };
        }
    }

    /// Makes all spans of cycle `epoch` wait for their sweep. The moment T3 of that cycle has
    /// passed.
    pub(crate) fn begin_sweep(&self, epoch: u64) {
        let mut lists = self.lists.lock();
        let lists = &mut *lists;
        lists.partial.retain(|span| span.epoch() > epoch);
        lists
            .unswept
            .extend(lists.all.iter().filter(|span| span.epoch() == epoch));
    }

    /// Sweeps one span. Returns `false` if none waits. Mutators may still be sweeping others.
    pub(crate) fn sweep_one(&self, heap: &Inner, epoch: u64) -> bool {
        let span = {
            let mut lists = self.lists.lock();
            let Some(span) = lists.unswept.pop() else { return false };
            lists.sweeping += 1;
            span
        };
        let swept = heap.sweep_span(span, epoch);
        self.done(heap, span, &swept, false);
        true
    }

    /// Returns whether no span waits for its sweep and none is being swept.
    pub(crate) fn is_swept(&self) -> bool {
        let lists = self.lists.lock();
        lists.unswept.is_empty() && lists.sweeping == 0
    }

    /// Returns all spans, as of this moment.
    pub(crate) fn spans(&self) -> Vec<&'static Span> {
        self.lists.lock().all.clone()
    }

    /// Takes all spans, at the end of the heap.
    pub(crate) fn take_all(&self) -> Vec<&'static Span> {
        let mut lists = self.lists.lock();
        lists.partial.clear();
        lists.unswept.clear();
        core::mem::take(&mut lists.all)
    }
}

/// Returns the bytes of a slot for objects of one type.
fn slot_of(desc: &Desc) -> usize {
    desc.size.max(desc.align).max(1).next_multiple_of(8)
}

/// All spaces of a heap.
pub(crate) struct Spaces {
    /// `None`: the type shares spans with other types.
    map: Lock<HashMap<Key, Option<&'static Space>>>,
    /// All spaces. No space goes before the heap frees all of them.
    list: Lock<Vec<&'static Space>>,
}

impl Spaces {
    pub(crate) fn new() -> Self {
        Self {
            map: Lock::new(HashMap::new()),
            list: Lock::new(Vec::new()),
        }
    }

    /// Returns whether `space` belongs to this heap.
    pub(crate) fn has(&self, space: &Space) -> bool {
        self.list.lock().iter().any(|known| core::ptr::eq(*known, space))
    }

    /// Returns the space of a type. `None`: its objects have headers.
    pub(crate) fn of_type(&self, key: Key, desc: &'static Desc) -> Option<&'static Space> {
        let mut map = self.map.lock();
        if let Some(&known) = map.get(&key) {
            return known;
        }
        let typed = Space::fits_typed(desc) && (map.len() < TYPES || desc.kind != Kind::Plain);
        let space = typed.then(|| self.add(Space::new(Some(desc), slot_of(desc), desc.traced, desc.drop.is_some())));
        map.insert(key, space);
        space
    }

    /// Returns the space of objects with headers in slots of `slot` bytes. 0: of large objects.
    pub(crate) fn of_class(&self, key: Key, slot: usize, traced: bool, dropped: bool) -> &'static Space {
        let mut map = self.map.lock();
        if let Some(&Some(known)) = map.get(&key) {
            return known;
        }
        let space = self.add(Space::new(None, slot, traced, dropped));
        map.insert(key, Some(space));
        space
    }

    fn add(&self, space: Space) -> &'static Space {
        let space: &'static Space = Box::leak(Box::new(space));
        self.list.lock().push(space);
        space
    }

    /// Returns all spaces, as of this moment.
    pub(crate) fn all(&self) -> Vec<&'static Space> {
        self.list.lock().clone()
    }

    /// Frees the spaces.
    ///
    /// # Safety
    /// The spaces hold no spans, and no thread uses them any more.
    pub(crate) unsafe fn free(&self) {
        self.map.lock().clear();
        for space in core::mem::take(&mut *self.list.lock()) {
            let space = core::ptr::from_ref(space).cast_mut();
            // SAFETY: `add` leaked it, and no thread uses it any more (contract of this function).
            drop(unsafe { Box::from_raw(space) });
        }
    }
}
