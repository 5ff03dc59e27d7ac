//! Caches over tiers of their own.

mod free;
mod held;
mod keep;
mod overflow;
mod refill;
#[cfg(checked)]
mod untyped;
mod window;

use super::bins::Bins;
use super::*;
use crate::base::addr::Addr;
use crate::base::geometry::{CARVE, MEDIUM_MIN, PAGE, SURE_AFTER};
use crate::meta::Bump;
use crate::mspan::{Block, CHECKED, MSpan, State};
use crate::os::sim::Sim;
use crate::size_class::{RunClass, SizeClass};
use std::alloc::Layout;
use std::ptr::{NonNull, eq, null_mut};

const KIB: usize = 1 << 10;

struct Place {
    sim: &'static Sim,
    tiers: &'static Tiers,
    own: &'static MCache,
    other: &'static MCache,
}

impl Place {
    fn new() -> Self {
        let sim = Sim::new();
        let tiers: &'static Tiers = Box::leak(Box::new(Tiers::new(sim)));
        // Nothing depends on the time.
        tiers.mheap.set_purge_delay(-1);
        tiers.end_long_rest();
        let [own, other] = [1, 2].map(|id| {
            let layout = Layout::from_size_align(CACHE_BYTES, CACHE_ALIGN).expect("a layout");
            // SAFETY: the layout is not empty.
            let memory = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).expect("memory");
            // SAFETY: so many zeroed bytes, which are leaked.
            let cache = unsafe { MCache::make(memory.cast()) };
            assert!(tiers.directory.enter(sim, &mut Bump::new(), id, &cache.shared));
            cache.make_ready(tiers);
            cache
        });
        Self { sim, tiers, own, other }
    }

    fn take(&self, cache: &MCache, class: SizeClass) -> *mut Block {
        let block = cache.take(self.tiers, class);
        assert!(!block.is_null());
        block
    }

    fn take_many(&self, cache: &MCache, class: SizeClass, count: usize) -> Vec<*mut Block> {
        (0..count).map(|_| self.take(cache, class)).collect()
    }

    /// Frees a block as the heap does.
    fn free(&self, cache: &MCache, class: SizeClass, block: *mut Block) {
        // SAFETY: the block is live, of the class, and given up.
        if !unsafe { cache.bins.push(class, block) } {
            // SAFETY: the block is live, of the class, and given up.
            unsafe { cache.push_over(self.tiers, class, block) };
        }
    }

    /// Frees a block past the bins.
    fn free_to_span(&self, cache: &MCache, block: *mut Block) {
        // SAFETY: the block is live, and given up.
        assert!(unsafe { cache.free(self.tiers, block) });
    }

    fn span(&self, block: *mut Block) -> Option<&'static MSpan> {
        self.tiers.mheap.map().span_of(Addr::of(block))
    }

    fn inuse(&self) -> usize {
        self.tiers.mheap.figures().inuse
    }

    /// Spans in use as small ones of `class`.
    fn spans(&self, class: SizeClass) -> usize {
        let spans = self.tiers.mheap.all_spans();
        spans
            .filter(|span| span.state() == State::Small && span.class() == Some(class))
            .count()
    }

    /// No memory is left for new spans.
    fn exhaust(&self) {
        self.tiers.mheap.set_hard_limit(Some(0));
    }

    /// A large block of the class's size. The bin of runs was asked for it.
    fn take_run(&self, class: RunClass) -> *mut Block {
        let run = self.own.pop_run(class);
        if !run.is_null() {
            return run;
        }
        let run = self.own.pop_longer_run(self.tiers, class);
        assert!(run.is_null(), "these tests want runs of the page heap");
        let span = self.own.alloc_large(self.tiers, class.size(), 1).expect("memory");
        span.base().cast()
    }

    fn free_run(&self, class: RunClass, run: *mut Block) {
        // SAFETY: the run is live, of at least the class's size, and given up.
        if !unsafe { self.own.push_run(class, run) } {
            // SAFETY: the run is live, of at least the class's size, and given up.
            unsafe { self.own.push_run_over(self.tiers, class, run) };
        }
    }

    fn kept(&self) -> usize {
        self.own.shared.run_bytes.load(Relaxed)
    }
}

fn class() -> SizeClass {
    SizeClass::holding(1000)
}

fn run_class(pages: usize) -> RunClass {
    RunClass::serving(pages * PAGE, 1).expect("a run class's size")
}

fn bins(place: &Place) -> &Bins {
    &place.own.bins
}

/// Empties the bin of `class` by handing its blocks out.
fn drain(cache: &MCache, class: SizeClass) -> Vec<*mut Block> {
    core::iter::from_fn(|| Some(cache.bins.pop(class)).filter(|block| !block.is_null())).collect()
}

/// Takes all objects of the thread's active span of `class`, and no more.
fn exhaust(place: &Place, class: SizeClass) -> Vec<*mut Block> {
    let mut row = vec![place.take(place.own, class)];
    let span = place.own.spans.active(class).expect("a refill makes one");
    while span.has_room() || place.own.bins.held(class) > 0 {
        row.push(place.take(place.own, class));
    }
    assert!(place.own.spans.is_active(class, span));
    row
}
