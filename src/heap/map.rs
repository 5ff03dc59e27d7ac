//! The heap map, gathered without stopping any thread.
//!
//! Unlike the rest of the heap, this code allocates, as a user of the program's allocator and never
//! while a lock is held. It copies the records of free pages under the page heap's lock, [`BATCH`]
//! huge pages at a time. It finds the spans in between by the page map and reads them as they are,
//! as the statistics do.

use super::Heap;
use crate::base::addr::Addr;
use crate::base::geometry::{HUGE_SHIFT, PAGE, PAGES_PER_HUGE};
use crate::heap_map::{Arena, HeapMap, Run, Usage};
use crate::mheap::survey::{HugeBooks, PageBooks};
use crate::mspan::{MSpan, State};

/// Huge pages whose books are copied at once: less than 5 KiB, well under a microsecond.
const BATCH: usize = 64;

/// The rest of the span that the walk is in: pages left of it, and pages of its headroom.
#[derive(Clone, Copy, Default)]
struct Left {
    pages: usize,
    room: usize,
}

impl Left {
    /// Ends the run early where the books say so: its span was made after they were copied.
    fn cut(&mut self, arena: &mut Arena) {
        if self.pages > 0 {
            arena.change_last();
        }
        *self = Self::default();
    }
}

impl Heap {
    /// Returns the map of all arenas.
    pub(crate) fn map(&self) -> HeapMap {
        let mut map = HeapMap::default();
        while let Some(figures) = self.tiers.mheap.region_figures(map.arenas.len()) {
            let number = map.arenas.len();
            let mut arena = Arena::new(
                figures.base.addr() as u64,
                figures.reserved as u64,
                figures.tables as u64,
            );
            let mut left = Left::default();
            let mut huge = figures.first;
            while huge < figures.ready {
                let mut books = [HugeBooks::UNKNOWN; BATCH];
                let wanted = (figures.ready - huge).min(BATCH);
                let count = self
                    .tiers
                    .mheap
                    .huge_books(number, huge, books.get_mut(..wanted).unwrap_or_default());
                if count == 0 {
                    break;
                }
                for books in books.iter().take(count) {
                    arena.huge.push(books.advised);
                    let base = Addr(figures.base.addr() + (huge << HUGE_SHIFT));
                    self.add_huge(number, base, books, &mut left, &mut arena);
                    huge += 1;
                }
            }
            left.cut(&mut arena);
            map.arenas.push(arena);
        }
        // Last: the vectors above come from the program's allocator, and may be its first request.
        map.has_served = self.has_served();
        map
    }

    /// Appends the pages of the huge page at `base`.
    fn add_huge(&self, number: usize, base: Addr, books: &HugeBooks, left: &mut Left, arena: &mut Arena) {
        for page in 0..PAGES_PER_HUGE {
            let addr = Addr(base.0 + page * PAGE);
            let one = |usage| Run::new(addr.0 as u64, 1, usage);
            match books.page(page) {
                PageBooks::Dirty => {
                    left.cut(arena);
                    arena.push(one(Usage::Free));
                }
                PageBooks::Clean => {
                    left.cut(arena);
                    arena.push(one(Usage::Released));
                }
                PageBooks::Held if left.pages > 0 => {
                    left.pages -= 1;
                    arena.extend_last();
                }
                PageBooks::Held if left.room > 0 => {
                    left.room -= 1;
                    arena.push(one(Usage::Room));
                }
                PageBooks::Held => match self.span_at(number, addr) {
                    Some((usage, pages, room)) => {
                        *left = Left { pages: pages - 1, room };
                        arena.push(one(usage));
                    }
                    None => arena.push(one(Usage::Changing)),
                },
            }
        }
    }

    /// Returns the usage of the span that begins at `addr`, its pages and the pages of its
    /// headroom. `None`: no known span begins there.
    fn span_at(&self, number: usize, addr: Addr) -> Option<(Usage, usize, usize)> {
        let map = self.tiers.mheap.map();
        let span = map.span_in(number, addr)?;
        let begins = || Addr::of(span.base()) == addr;
        if !begins() {
            return None;
        }
        let (pages, room) = (span.pages(), span.headroom());
        let usage = usage_of(span, pages);
        // The record may have been given back meanwhile, and taken for another span. Then it does
        // not count.
        let still = map.span_in(number, addr).is_some_and(|now| core::ptr::eq(now, span)) && begins();
        (still && pages > 0).then_some((usage?, pages, room))
    }
}

fn usage_of(span: &MSpan, pages: usize) -> Option<Usage> {
    match span.state() {
        State::Small => {
            // One read of the class: if the span is taken for another class meanwhile, all figures
            // are of one of the two.
            let class = span.class()?;
            let (size, objects) = (class.size() as u64, class.objects_in(pages * PAGE) as u64);
            let live = u64::from(span.live().saturating_sub(span.word.remote_count()));
            Some(Usage::Small {
                size,
                objects,
                live: live.min(objects),
            })
        }
        State::Large => Some(Usage::Large {
            bytes: span.size() as u64,
        }),
        State::Managed => Some(Usage::Managed {
            size: span.size() as u64,
            objects: u64::from(span.objects()),
        }),
        // A span in a thread's store, or a resting one. Free pages have no record in the page map.
        State::Free => Some(Usage::Spare),
    }
}
