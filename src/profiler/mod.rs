//! The sampling heap profiler: what is sampled, where that is kept, and how it is written. `api::profile` is its public face.
//!
//! Owns the table of stacks. `mcache` has a [`Sampler`] for each thread, and `heap::sample` decides what becomes of a sampled object; whatever
//! they call here allocates nothing of the heap's but what the unwinder may ask for.

mod depot;
#[cfg(all(feature = "profiling", not(feature = "preload")))]
mod exit;
#[cfg(feature = "profiling")]
pub(crate) mod flame;
#[cfg(feature = "profiling")]
pub(crate) mod folded;
mod maps;
mod math;
#[cfg(feature = "profiling")]
mod own;
#[cfg(feature = "preload")]
mod plain;
#[cfg(feature = "profiling")]
pub(crate) mod pprof;
#[cfg(feature = "profiling")]
mod proto;
mod sampler;
#[cfg(feature = "profiling")]
mod snapshot;
#[cfg(feature = "profiling")]
mod symbol;
mod unwind;

#[cfg(feature = "profiling")]
pub use own::unsampled;
#[cfg(feature = "profiling")]
pub use snapshot::{Profile, View, diff};

use crate::base::addr::align_up;
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use crate::os::{NATIVE, Os};
use core::ptr::NonNull;
use depot::{Depot, Node, Region};
#[cfg(all(feature = "profiling", not(feature = "preload")))]
pub(crate) use exit::write_at_exit;
#[cfg(feature = "preload")]
pub(crate) use plain::write as write_plain;
pub(crate) use sampler::Sampler;
pub(crate) use sampler::rate;
#[cfg(feature = "preload")]
pub(crate) use unwind::load as load_unwinder;

/// The usual mean bytes between samples, as in Go: 512 KiB.
#[cfg_attr(
    not(feature = "profiling"),
    expect(unreachable_pub, reason = "the module is public with the feature")
)]
pub const DEFAULT_RATE: usize = crate::options::PROFILE_RATE;

/// Gives `put` the bytes of the path `target`, where `%p` stands for the number of the process: so each of a tree of processes writes a profile of
/// its own. Allocates nothing.
pub(crate) fn spell(target: &[u8], put: &mut dyn FnMut(u8)) {
    let mut rest = target;
    loop {
        match rest {
            [b'%', b'p', after @ ..] => {
                // SAFETY: it only tells a number.
                let pid = unsafe { libc::getpid() }.cast_unsigned();
                let mut power = 1_000_000_000;
                while power > 0 {
                    if pid >= power {
                        put(b'0' + (pid / power % 10) as u8);
                    }
                    power /= 10;
                }
                rest = after;
            }
            [byte, after @ ..] => {
                put(*byte);
                rest = after;
            }
            [] => return,
        }
    }
}

/// Chains of stacks.
const HEADS: usize = 1 << 13;
/// Bytes of metadata memory, of which no more is touched than is needed: for stacks, and for sampled objects that live at a time.
const NODE_BYTES: usize = 32 << 20;
const SLOT_BYTES: usize = 16 << 20;

static DEPOT: Depot<HEADS> = Depot::new();

/// The stack of the calling thread, whose sampler this is, for a sample at `rate`. `None`: no room for it.
pub(crate) fn stack(sampler: &Sampler, rate: usize) -> Option<&'static Node> {
    let left = sampler.pause();
    if sampler.memory.get().is_null()
        && let Some((place, _)) = DEPOT.nodes.take(size_of::<unwind::Memory>())
    {
        sampler.memory.set(place.cast());
    }
    // SAFETY: null, or this thread's, which reads as zero or as what `unwind` has put there, and is never freed.
    let stack = unwind::capture(unsafe { sampler.memory.get().as_ref() });
    let node = DEPOT.intern(rate, stack.frames());
    if node.is_none() {
        DEPOT.lose();
    }
    sampler.resume(left);
    node
}

/// Counts an object as allocated by `node`, in a span's slot; as [`Depot::began`].
pub(crate) fn began(slot: u32, node: &'static Node, size: usize) -> Option<u32> {
    let slot = DEPOT.began(slot, node, size);
    if slot.is_none() {
        DEPOT.lose();
    }
    slot
}

/// A sample could not be taken.
pub(crate) fn lose() {
    DEPOT.lose();
}

/// Counts the object of a span's slot as freed.
pub(crate) fn ended(slot: u32) {
    DEPOT.ended(slot);
}

/// Begins to sample. `false`: no memory for the tables.
pub(crate) fn begin(rate: usize) -> bool {
    if !open(&DEPOT.slots, SLOT_BYTES) || !open(&DEPOT.nodes, NODE_BYTES) {
        return false;
    }
    sampler::set_rate(rate);
    true
}

/// Whether sampling has ever begun.
#[cfg(feature = "preload")]
pub(crate) fn has_begun() -> bool {
    DEPOT.nodes.is_open()
}

/// Ends sampling.
pub(crate) fn end() {
    sampler::set_rate(0);
}

/// Sees that a region has memory.
fn open(region: &Region, bytes: usize) -> bool {
    if region.is_open() {
        return true;
    }
    let os: &Os = &NATIVE;
    let bytes = align_up(bytes, os.page_size());
    let Some(base) = os.reserve(bytes, os.page_size()) else {
        return false;
    };
    // SAFETY: reserved just now.
    let prepared = unsafe { os.prepare(base, bytes) };
    // SAFETY: prepared just now, where it is reached.
    if prepared && unsafe { os.ready(base, bytes) } && region.open(base, bytes) {
        return true;
    }
    unmap(os, base, bytes);
    region.is_open()
}

fn unmap(os: &Os, base: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's reservation, of which nobody knows.
    unsafe { os.free(base, bytes) };
}
