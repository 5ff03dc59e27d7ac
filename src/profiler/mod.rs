//! The sampling heap profiler: takes samples, keeps them and writes them. `api::profile` is its
//! public interface.
//!
//! It owns the table of stacks. `mcache` has a [`Sampler`] per thread, and `heap::sample` handles a
//! sampled object. The functions that they call here allocate nothing from the heap; only the
//! unwinder may.

mod depot;
#[cfg(feature = "profiling")]
pub(crate) mod exit;
mod loader;
mod maps;
mod math;
#[cfg(feature = "profiling")]
pub(crate) mod output;
mod own;
mod plain;
mod sampler;
mod unwind;

#[cfg(feature = "profiling")]
pub use output::{Profile, View, diff, unsampled};

use crate::base::addr::align_up;
use crate::os::PageSource;
use crate::os::{NATIVE, Os};
use core::ptr::NonNull;
use depot::{Depot, Node, Region};
pub(crate) use plain::write as write_plain;
pub(crate) use sampler::Sampler;
pub(crate) use sampler::rate;
pub(crate) use unwind::load as load_unwinder;

/// The default mean number of bytes between samples, as in Go: 512 KiB. An argument for
/// [`start`](crate::api::profile::start), as in the example of the
/// [module](crate::api::profile). Feature `profiling`.
#[allow(unreachable_pub, reason = "the module is public with the feature `profiling`")]
pub const DEFAULT_RATE: usize = crate::options::PROFILE_RATE;

/// Gives `put` the bytes of the path `target`, with `%p` replaced by the number of the process. So
/// each of several processes can write a separate profile. Allocates nothing.
pub(crate) fn spell(target: &[u8], put: &mut dyn FnMut(u8)) {
    let mut rest = target;
    loop {
        match rest {
            [b'%', b'p', after @ ..] => {
                // SAFETY: `getpid` has no preconditions.
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

/// The number of chains of stacks.
const HEADS: usize = 1 << 13;
/// Bytes of metadata memory for stacks, and for live sampled objects. The profiler touches only as
/// much of it as it needs.
const NODE_BYTES: usize = 32 << 20;
const SLOT_BYTES: usize = 16 << 20;

static DEPOT: Depot<HEADS> = Depot::new();

/// Returns the stack of the calling thread, which owns `sampler`, for a sample at `rate`. `None`:
/// the table has no room for it.
pub(crate) fn stack(sampler: &Sampler, rate: usize) -> Option<&'static Node> {
    let left = sampler.pause();
    if sampler.memory.get().is_null()
        && let Some((place, _)) = DEPOT.nodes.take(size_of::<unwind::Memory>())
    {
        sampler.memory.set(place.cast());
    }
    // SAFETY: null, or this thread's memory, which is never freed and holds zeroes or values that
    // `unwind` wrote.
    let stack = unwind::capture(unsafe { sampler.memory.get().as_ref() });
    let node = DEPOT.intern(rate, stack.frames());
    if node.is_none() {
        DEPOT.lose();
    }
    sampler.resume(left);
    node
}

/// Counts an object of `node` as allocated, in a span's slot, as [`Depot::began`] does.
pub(crate) fn began(slot: u32, node: &'static Node, size: usize) -> Option<u32> {
    let slot = DEPOT.began(slot, node, size);
    if slot.is_none() {
        DEPOT.lose();
    }
    slot
}

/// Counts a sample that could not be taken.
pub(crate) fn lose() {
    DEPOT.lose();
}

/// Counts the object of a span's slot as freed.
pub(crate) fn ended(slot: u32) {
    DEPOT.ended(slot);
}

/// Begins to sample. `false`: there is no memory for the tables.
pub(crate) fn begin(rate: usize) -> bool {
    if !open(&DEPOT.slots, SLOT_BYTES) || !open(&DEPOT.nodes, NODE_BYTES) {
        return false;
    }
    sampler::set_rate(rate);
    true
}

/// Returns whether sampling has ever begun.
pub(crate) fn has_begun() -> bool {
    DEPOT.nodes.is_open()
}

/// Ends sampling.
pub(crate) fn end() {
    sampler::set_rate(0);
}

/// Gives the region memory if it has none. Returns whether it has memory now.
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
    // SAFETY: the range is Prepared if this call is reached.
    if prepared && unsafe { os.ready(base, bytes) } && region.open(base, bytes) {
        return true;
    }
    unmap(os, base, bytes);
    region.is_open()
}

fn unmap(os: &Os, base: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's reservation, which no other code knows.
    unsafe { os.free(base, bytes) };
}
