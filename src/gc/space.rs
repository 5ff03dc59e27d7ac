//! A space: the spans of one type, of one size of objects with headers, or of large objects. Its
//! lists say which thread may take a span.
//!
//! - SPACE-1. No thread holds a span on `partial` or `unswept`. The thread that takes it off, under
//!   the lock, holds it.
//! - SPACE-2. Every span stands on `all` until it is given back. After the moment T3 of a cycle the
//!   collector may take any span of that cycle from there: no mutator holds one any more.
//! - SPACE-3. Mutators take only spans of the epoch that their word asks for. So no mutator
//!   allocates a white object in an unswept span, or a black one in a swept span.

use super::atlas::{GRAIN, Layout};
use super::cache::Key;
use super::desc::{Desc, Kind};
use super::span::{Lists, OBJECTS, Space, Span};
use crate::base::geometry::{PAGE, SMALL_MAX};
use crate::sync::IS_MODEL;
use crate::sync::lock::Lock;
use std::collections::HashMap;

/// The number of types that get separate spans.
const TYPES: usize = if IS_MODEL { 4 } else { 256 };

impl Space {
    pub(super) fn new(
        desc: Option<&'static Desc>,
        (slot, offset): (usize, usize),
        traced: bool,
        dropped: bool,
    ) -> Self {
        Self {
            desc,
            traced,
            dropped,
            slot,
            offset,
            lists: Lock::new(Lists {
                all: Vec::new(),
                partial: Vec::new(),
                unswept: Vec::new(),
                sweeping: 0,
            }),
        }
    }

    /// Returns where objects lie in slots, and their type.
    pub(super) fn placing(&self) -> Layout {
        let headed = Layout::Headed {
            offset: self.offset,
            traced: self.traced,
        };
        self.desc.map_or(headed, Layout::Typed)
    }

    /// Returns the pages of a span and its number of objects.
    pub(super) fn geometry(&self) -> (usize, u32) {
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
    desc.size.max(desc.align).max(GRAIN).next_multiple_of(8)
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
        let space = typed.then(|| {
            self.add(Space::new(
                Some(desc),
                (slot_of(desc), 0),
                desc.traced,
                desc.drop.is_some(),
            ))
        });
        map.insert(key, space);
        space
    }

    /// Returns the space of objects with headers in slots of `slot` bytes, with the payload at
    /// `offset`. 0 bytes: of large objects.
    pub(crate) fn of_class(
        &self,
        key: Key,
        (slot, offset): (usize, usize),
        traced: bool,
        dropped: bool,
    ) -> &'static Space {
        let mut map = self.map.lock();
        if let Some(&Some(known)) = map.get(&key) {
            return known;
        }
        let space = self.add(Space::new(None, (slot, offset), traced, dropped));
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
