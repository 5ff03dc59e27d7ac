//! The sampling heap profiler: which code allocates, and which code holds what is allocated.
//!
//! ```no_run
//! greyspan::profile::start(512 << 10)?;
//! // ... the program does its work ...
//! greyspan::profile::write_pprof(&mut std::fs::File::create("heap.pb.gz")?)?;   // go tool pprof heap.pb.gz
//! greyspan::profile::write_flamegraph(&mut std::fs::File::create("heap.svg")?)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Each thread counts the bytes that it allocates, and about once in every `rate` of them (at random, so that nothing in the program keeps
//! step with it) it notes the stack and watches the object until it is freed. A sample stands for as many objects as its chance to be
//! taken says, so that the figures are true in the mean, whatever the sizes. Objects that were allocated while nobody profiled are not in it.
//!
//! A [`Profile`] is a snapshot. It holds the four figures of Go's heap profiles for each stack: objects and bytes that were allocated since
//! the first [`start`], and those of them in use. [`diff`] of two of them shows what has changed.
//!
//! Calls may come from any thread at any time, but not from a signal handler; only [`Profile`] and what writes it allocate.

mod depot;
#[cfg(feature = "profiling")]
mod exit;
#[cfg(feature = "profiling")]
mod flame;
#[cfg(feature = "profiling")]
mod folded;
mod maps;
mod math;
#[cfg(feature = "preload")]
mod plain;
#[cfg(feature = "profiling")]
mod pprof;
#[cfg(feature = "profiling")]
mod proto;
mod sampler;
#[cfg(feature = "profiling")]
mod snapshot;
#[cfg(feature = "profiling")]
mod symbol;
mod unwind;

#[cfg(feature = "profiling")]
pub use snapshot::{Profile, View, diff};

use crate::base::addr::align_up;
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use crate::os::{NATIVE, Os};
use core::ptr::NonNull;
use depot::{Depot, Node, Region};
#[cfg(feature = "profiling")]
pub(crate) use exit::write_at_exit;
#[cfg(feature = "preload")]
pub(crate) use plain::write as write_plain;
pub(crate) use sampler::Sampler;
#[cfg(feature = "profiling")]
use std::io;
#[cfg(feature = "preload")]
pub(crate) use unwind::load as load_unwinder;

/// The usual mean bytes between samples, as in Go: 512 KiB.
#[cfg_attr(
    not(feature = "profiling"),
    expect(unreachable_pub, reason = "the module is public with the feature")
)]
pub const DEFAULT_RATE: usize = crate::options::PROFILE_RATE;

/// Chains of stacks.
const HEADS: usize = 1 << 13;
/// Bytes of metadata memory, of which no more is touched than is needed: for stacks, and for sampled objects that live at a time.
const NODE_BYTES: usize = 32 << 20;
const SLOT_BYTES: usize = 16 << 20;

static DEPOT: Depot<HEADS> = Depot::new();

/// Begins to sample, once in `rate_bytes` of each thread's allocations in the mean; while it runs, changes the rate.
///
/// # Errors
/// `InvalidInput` for a rate of 0; `OutOfMemory` when the system has no memory for the tables.
#[cfg(feature = "profiling")]
pub fn start(rate_bytes: usize) -> io::Result<()> {
    if rate_bytes == 0 {
        let why = "a heap profile's rate is the mean number of bytes between samples, and 0 is none";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    if begin(rate_bytes) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "no memory for the tables of the heap profile",
        ))
    }
}

/// Ends sampling. What was sampled stays in the profile, and when it is freed that is counted still.
#[cfg(feature = "profiling")]
pub fn stop() {
    end();
}

/// Whether allocations are sampled now.
#[cfg(feature = "profiling")]
pub fn is_active() -> bool {
    sampler::rate() != 0
}

/// The mean bytes between samples; `None` while nothing is sampled.
#[cfg(feature = "profiling")]
pub fn rate() -> Option<usize> {
    (sampler::rate() != 0).then(sampler::rate)
}

/// Writes a profile, taken now, as [`Profile::write_pprof`] does.
///
/// # Errors
/// Those of `out`.
#[cfg(feature = "profiling")]
pub fn write_pprof(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_pprof(out)
}

/// Writes a profile, taken now, as [`Profile::write_folded`] does.
///
/// # Errors
/// Those of `out`.
#[cfg(feature = "profiling")]
pub fn write_folded(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_folded(out)
}

/// Writes a profile, taken now, as [`Profile::write_flamegraph`] does.
///
/// # Errors
/// Those of `out`.
#[cfg(feature = "profiling")]
pub fn write_flamegraph(out: &mut impl io::Write) -> io::Result<()> {
    Profile::take().write_flamegraph(out)
}

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
