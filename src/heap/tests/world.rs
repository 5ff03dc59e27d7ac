//! A heap over a simulated system, with two caches and a shadow of every block, for tests of whole
//! lives.

use crate::heap::Heap;
use crate::mcache::MCache;
use crate::mheap::HeapFigures;
use crate::os::sim::Sim;
use crate::size_class::SizeClass;
use std::alloc::Layout;

/// One live block.
pub(super) struct Block {
    ptr: *mut u8,
    layout: Layout,
    seed: u8,
}

/// Returns the offsets of a block that carry its pattern: both ends, and one in each KiB.
fn marks(size: usize) -> impl Iterator<Item = usize> {
    (0..size).step_by(1024).chain(size.checked_sub(1))
}

fn pattern(seed: u8, offset: usize) -> u8 {
    seed.wrapping_add((offset / 1024) as u8)
}

impl Block {
    fn fill(&self) {
        for offset in marks(self.layout.size()) {
            // SAFETY: inside the block, which is this test's alone.
            unsafe { self.ptr.wrapping_add(offset).write(pattern(self.seed, offset)) };
        }
    }

    /// Checks that the first `bytes` bytes hold the pattern that `fill` wrote when the block had
    /// `size` bytes.
    fn check(&self, size: usize, bytes: usize) {
        for offset in marks(size).filter(|&offset| offset < bytes) {
            // SAFETY: inside the block.
            let found = unsafe { self.ptr.wrapping_add(offset).read() };
            assert_eq!(found, pattern(self.seed, offset), "{:?} at {offset}", self.layout);
        }
    }
}

/// The heap, its system, its caches and its live blocks.
pub(super) struct World {
    pub(super) sim: &'static Sim,
    pub(super) heap: &'static Heap,
    caches: [Option<&'static MCache>; 2],
    pub(super) live: Vec<Block>,
    seed: u8,
    /// Requests that got nothing.
    pub(super) nulls: usize,
}

impl World {
    /// Returns a heap whose first region is small, so tests reach a second one.
    pub(super) fn new() -> Self {
        Self::on(Sim::new())
    }

    /// Returns the same heap over `sim`.
    pub(super) fn on(sim: &'static Sim) -> Self {
        let heap: &'static Heap = Box::leak(Box::new(Heap::new(sim)));
        heap.tiers.mheap.set_window(20 << 20);
        // Events that depend on time alone would differ from run to run.
        heap.tiers.mheap.set_purge_delay(-1);
        Self {
            sim,
            heap,
            caches: [None; 2],
            live: Vec::new(),
            seed: 0,
            nulls: 0,
        }
    }

    /// Returns a ready cache, if the system has memory for one.
    pub(super) fn cache(&mut self, which: usize) -> Option<&'static MCache> {
        let slot = &mut self.caches[which];
        *slot = slot.or_else(|| self.heap.registry.new_cache(&self.heap.tiers));
        *slot
    }

    /// Does `step`, which returns whether it got all that it asked for. It may be refused only if
    /// the system refused.
    fn step(&mut self, which: usize, step: impl FnOnce(&mut Self, &'static MCache) -> bool) {
        let before = self.sim.refusals();
        let done = match self.cache(which) {
            Some(cache) => step(self, cache),
            None => false,
        };
        if !done {
            self.nulls += 1;
            assert!(
                self.sim.refusals() > before,
                "refused, though the system refused nothing: {:?}",
                self.sim.violations()
            );
        }
    }

    /// Returns the number of live blocks.
    pub(super) fn count(&self) -> usize {
        self.live.len()
    }

    /// Returns the address of a live block.
    pub(super) fn address(&self, index: usize) -> usize {
        self.live[index].ptr.addr()
    }

    /// Returns the bytes of a live block.
    pub(super) fn size(&self, index: usize) -> usize {
        self.live[index].layout.size()
    }

    /// Returns the usable bytes of a live block, as the heap reports them.
    pub(super) fn usable(&self, index: usize) -> usize {
        let block = &self.live[index];
        self.heap.usable_size(block.ptr, block.layout)
    }

    /// Makes a block through cache `which`.
    pub(super) fn make(&mut self, which: usize, size: usize, align: usize, zeroed: bool) {
        let layout = Layout::from_size_align(size, align).expect("a good layout");
        self.step(which, |world, cache| {
            let ptr = if zeroed {
                world.heap.alloc::<true>(cache, layout)
            } else {
                world.heap.alloc::<false>(cache, layout)
            };
            if ptr.is_null() {
                return false;
            }
            assert!(ptr.addr().is_multiple_of(align), "{layout:?} at {ptr:?}");
            if zeroed {
                // SAFETY: the block is this test's, and initialised.
                let bytes = unsafe { std::slice::from_raw_parts(ptr, size) };
                let zero = |page: &[u8]| *page == [0; 4096][..page.len()];
                assert!(bytes.chunks(4096).all(zero), "{layout:?} is not zero");
            }
            world.seed = world.seed.wrapping_add(37);
            let block = Block {
                ptr,
                layout,
                seed: world.seed,
            };
            block.fill();
            world.live.push(block);
            true
        });
    }

    /// Whether cache `which`, which is there, gets a block; it is freed at once.
    pub(super) fn try_alloc(&mut self, which: usize, size: usize, align: usize, zeroed: bool) -> bool {
        let layout = Layout::from_size_align(size, align).expect("a good layout");
        let cache = self.caches[which].expect("a cache");
        let ptr = if zeroed {
            self.heap.alloc::<true>(cache, layout)
        } else {
            self.heap.alloc::<false>(cache, layout)
        };
        if !ptr.is_null() {
            // SAFETY: the block is live, of this layout, and freed once.
            unsafe { self.heap.dealloc(cache, ptr, layout) };
        }
        !ptr.is_null()
    }

    /// Whether cache `which`, which is there, gets `size` bytes for live block `index`.
    pub(super) fn try_resize(&mut self, which: usize, index: usize, size: usize) -> bool {
        let block = &mut self.live[index];
        let cache = self.caches[which].expect("a cache");
        // SAFETY: the block is live, of this layout, and this test's alone.
        let ptr = unsafe { self.heap.realloc(cache, block.ptr, block.layout, size) };
        if !ptr.is_null() {
            block.ptr = ptr;
            block.layout = Layout::from_size_align(size, block.layout.align()).expect("a good layout");
        }
        !ptr.is_null()
    }

    /// Gives the block another size through cache `which`.
    pub(super) fn resize(&mut self, which: usize, index: usize, size: usize) {
        self.step(which, |world, cache| {
            let index = index % world.live.len();
            let block = &mut world.live[index];
            // SAFETY: the block is live, of this layout, and this test's alone.
            let ptr = unsafe { world.heap.realloc(cache, block.ptr, block.layout, size) };
            if ptr.is_null() {
                block.check(block.layout.size(), block.layout.size());
                return false;
            }
            let old = block.layout.size();
            block.ptr = ptr;
            block.layout = Layout::from_size_align(size, block.layout.align()).expect("a good layout");
            block.check(old, old.min(size));
            block.fill();
            true
        });
    }

    /// Frees the block through cache `which`, whichever cache made it.
    pub(super) fn free(&mut self, which: usize, index: usize) {
        if self.live.is_empty() {
            return;
        }
        let block = self.live.swap_remove(index % self.live.len());
        block.check(block.layout.size(), block.layout.size());
        match self.cache(which) {
            // SAFETY: the block is live, of this layout, and freed once.
            Some(cache) => unsafe { self.heap.dealloc(cache, block.ptr, block.layout) },
            None => self.live.push(block),
        }
    }

    /// Ends the thread of cache `which`.
    pub(super) fn exit(&mut self, which: usize) {
        if let Some(cache) = self.caches[which].take() {
            self.heap.registry.retire_cache(&self.heap.tiers, cache);
        }
    }

    /// Forks the process in the thread of cache `which` and goes on as the child.
    pub(super) fn fork(&mut self, which: usize) {
        let left = self.cache(which);
        self.caches = [None; 2];
        self.caches[which] = left;
        self.heap.orphan(|| left.into_iter());
        assert_eq!(self.heap.tiers.room.bytes(), left.map_or(0, MCache::room));
    }

    /// Parks the thread of cache `which`, which is at rest, for as long as it takes to empty the
    /// cache.
    pub(super) fn park(&mut self, which: usize) {
        let Some(cache) = self.cache(which) else { return };
        let tiers = &self.heap.tiers;
        assert!(cache.handover.revoke() && cache.handover.settle());
        let late = self.heap.registry.late();
        cache.rest(tiers);
        drop(late);
        cache.handover.take_back();
    }

    /// Gives the memory of all pages back that hold no live object, in spans that no thread has.
    pub(super) fn sink(&mut self) {
        let tiers = &self.heap.tiers;
        let mut late = self.heap.registry.late();
        if let Some(own) = self.heap.registry.late_cache(tiers, &mut late) {
            for class in SizeClass::all() {
                while own.sink_one(tiers, class, false).is_some() {}
            }
            own.idle(tiers);
        }
    }

    /// Gives all free memory back.
    pub(super) fn purge(&mut self, which: usize) {
        if let Some(cache) = self.cache(which) {
            self.heap.purge(cache);
        }
    }

    /// Checks that the figures agree with each other, every block holds its pattern, and the system
    /// saw no wrong call.
    pub(super) fn check(&self) -> HeapFigures {
        for block in &self.live {
            block.check(block.layout.size(), block.layout.size());
        }
        let figures = self.heap.tiers.mheap.figures();
        assert!(
            figures.inuse <= figures.sys && figures.released <= figures.sys - figures.inuse,
            "{figures:?}"
        );
        let held: usize = self.live.iter().map(|block| block.layout.size()).sum();
        assert!(figures.inuse >= held, "{held} bytes held, {figures:?}");
        assert_eq!(self.sim.violations(), Vec::<String>::new());
        figures
    }

    /// Frees everything, ends all threads, and checks that nothing is left in use.
    pub(super) fn end(mut self) {
        while !self.live.is_empty() {
            self.free(1, 0);
        }
        self.purge(0);
        self.exit(0);
        self.exit(1);
        assert_eq!(self.heap.tiers.room.bytes(), 0, "no cache is left that could have room");
        self.heap.tiers.end_rest();
        self.heap.tiers.mheap.purge();
        let figures = self.check();
        assert_eq!(figures.inuse, 0, "{figures:?}");
        assert_eq!(figures.released, figures.sys, "what is free is released: {figures:?}");
        // SAFETY: the heap is not used any more.
        unsafe { self.sim.tear_down() };
    }
}
