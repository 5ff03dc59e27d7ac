//! Takes the stack of a sample: return addresses, the innermost first.
//!
//! Builds with frame pointers follow those. Others use the unwinder of exceptions, which takes
//! about a microsecond per frame. So each thread remembers the last stacks that it took, with the
//! address of each return address. If those places still hold the same values, no function has
//! returned since, and the stack is the same. This pays because programs allocate mostly in loops.
//!
//! - UNWIND-1. The caller has paused the thread's sampler, since the unwinder may allocate.
//! - UNWIND-2. A remembered place is read only if all places nearer to the top of the stack still
//!   hold their values. Then its frame still exists.

#[cfg(all(greyspan_frame_pointers, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod frame_pointers;
// Programs that profile themselves link an unwinder. libgreyspan.so loads one.
#[cfg_attr(not(feature = "profiling"), path = "loaded.rs")]
mod linked;

use linked as unwinder;
pub(crate) use linked::load;

use super::depot::DEPTH;
use crate::base::arch;
use core::cell::Cell;
use core::ffi::{c_int, c_void};

/// The number of stacks that a thread remembers.
const REMEMBERED: usize = 4;

/// A stack.
#[derive(Clone, Copy)]
pub(crate) struct Stack {
    frames: [usize; DEPTH],
    depth: usize,
}

impl Stack {
    const fn new() -> Self {
        Self {
            frames: [0; DEPTH],
            depth: 0,
        }
    }

    /// Returns the return addresses.
    pub(crate) fn frames(&self) -> &[usize] {
        self.frames.get(..self.depth).unwrap_or_default()
    }
}

/// A stack, with the places of its return addresses.
#[derive(Clone, Copy)]
struct Known {
    /// The stack pointer of [`capture`].
    top: usize,
    stack: Stack,
    places: [*const usize; DEPTH],
}

/// A thread's memory of stacks. It begins as zeroes.
pub(crate) struct Memory {
    known: Cell<[Known; REMEMBERED]>,
    next: Cell<usize>,
}

/// Returns the calling thread's stack, without the frame of this function.
#[inline(never)]
pub(super) fn capture(memory: Option<&Memory>) -> Stack {
    #[cfg(all(greyspan_frame_pointers, any(target_arch = "x86_64", target_arch = "aarch64")))]
    if let Some(stack) = frame_pointers::walk() {
        return stack;
    }
    // The same in every call from one place.
    let top = arch::stack_pointer();
    let memory = memory.filter(|_| arch::RETURNS_BY_STACK);
    if let Some(stack) = memory.and_then(|memory| memory.find(top)) {
        return stack;
    }
    let mut walk = Walk {
        stack: Stack::new(),
        places: [core::ptr::null(); DEPTH],
        own: true,
        regular: true,
    };
    unwinder::backtrace(visit, (&raw mut walk).cast());
    if let Some(memory) = memory.filter(|_| walk.regular && walk.stack.depth > 0) {
        memory.keep(Known {
            top,
            stack: walk.stack,
            places: walk.places,
        });
    }
    walk.stack
}

impl Memory {
    fn find(&self, top: usize) -> Option<Stack> {
        // SAFETY: the cell belongs to this thread. Only a signal handler may write to it meanwhile,
        // for a stack with another top.
        let all = unsafe { &*self.known.as_ptr() };
        let still = |known: &&Known| {
            let frames = known.stack.frames();
            // SAFETY: UNWIND-2: the frame still exists.
            known.top == top
                && !frames.is_empty()
                && frames
                    .iter()
                    .zip(&known.places)
                    .all(|(frame, place)| unsafe { **place } == *frame)
        };
        all.iter().find(still).map(|known| known.stack)
    }

    fn keep(&self, known: Known) {
        let next = self.next.get();
        self.next.set((next + 1) % REMEMBERED);
        // SAFETY: the cell belongs to this thread, and no reference into it is in use.
        let all = unsafe { &mut *self.known.as_ptr() };
        if let Some(place) = all.get_mut(next) {
            *place = known;
        }
    }
}

/// A walk in progress.
struct Walk {
    stack: Stack,
    places: [*const usize; DEPTH],
    /// The next frame is the one of `capture`.
    own: bool,
    /// Every return address was where a call puts it.
    regular: bool,
}

/// Takes the next frame of the unwinder.
extern "C-unwind" fn visit(context: *mut c_void, walk: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const END: c_int = 5;
    // SAFETY: the argument that `capture` passed, a `Walk` that only this call uses.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    if core::mem::take(&mut walk.own) {
        return GO_ON;
    }
    let (frame, above) = unwinder::position(context);
    let depth = walk.stack.depth;
    let (Some(place), Some(at)) = (walk.stack.frames.get_mut(depth), walk.places.get_mut(depth)) else {
        return END;
    };
    if frame == 0 {
        return END;
    }
    *place = frame;
    *at = above.wrapping_sub(1);
    walk.stack.depth += 1;
    // SAFETY: the unwinder has just read its frame there, at or above the stack pointer of a
    // function that has not returned.
    walk.regular &= arch::RETURNS_BY_STACK && above.is_aligned() && !above.is_null() && unsafe { **at } == frame;
    GO_ON
}
