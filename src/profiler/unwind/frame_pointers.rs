//! Walks the stack by frame pointers: each frame begins with the address of its caller's frame, and
//! the return address follows. [`capture`](super::capture) calls this in builds that have them.

use super::{DEPTH, Stack};

/// Returns the stack by frame pointers. `None`: they end at once, or the end of the thread's
/// stack is unknown.
#[inline(always)]
pub(super) fn walk() -> Option<Stack> {
    let mut frame = crate::base::arch::frame_pointer();
    let bottom = frame;
    let end = end_of_stack(bottom.addr())?;
    let mut stack = Stack::new();
    while stack.depth < DEPTH && frame.is_aligned() && frame.addr() < end - 2 * size_of::<usize>() {
        // SAFETY: the frame lies between this function's frame and the end of the thread's
        // stack, which is mapped.
        let caller = unsafe { *frame };
        // SAFETY: the loop's bound leaves room for two words below the end of the stack.
        let back = unsafe { *frame.wrapping_add(1) };
        if back == 0 {
            break;
        }
        if let Some(place) = stack.frames.get_mut(stack.depth) {
            *place = back;
        }
        stack.depth += 1;
        // A caller's frame lies above the frames of its callees. A lower address is no frame:
        // code without frame pointers has used the register.
        if caller <= frame.addr() {
            break;
        }
        frame = frame.with_addr(caller);
    }
    (stack.depth > 1).then_some(stack)
}

/// Returns the end of the thread's stack, above `bottom`. The thread's record lies at the end
/// of its stack; the kernel made the main thread's stack. `None` if `bottom` is on another
/// stack, as in some signal handlers.
fn end_of_stack(bottom: usize) -> Option<usize> {
    /// A longer distance is not taken for a stack.
    const LONGEST: usize = 1 << 30;
    unsafe extern "C" {
        static __libc_stack_end: *mut usize;
    }
    // SAFETY: `pthread_self` has no preconditions.
    let record = unsafe { libc::pthread_self() } as usize;
    // SAFETY: the loader wrote it before the program began.
    let main = unsafe { __libc_stack_end }.addr();
    let near = |end: &usize| end.checked_sub(bottom).is_some_and(|bytes| bytes < LONGEST);
    // The nearest of the two: the main thread's record lies below its stack, elsewhere.
    [record, main]
        .into_iter()
        .filter(near)
        .min()
        .filter(|&end| is_mapped(bottom, end))
}

/// Returns whether all pages from `bottom` to `end` are mapped. Asks the system unless the last
/// answer covers them.
fn is_mapped(bottom: usize, end: usize) -> bool {
    use core::cell::Cell;
    thread_local! {
        /// The last stack part found to be mapped.
        static KNOWN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }
    let (from, to) = KNOWN.try_with(Cell::get).unwrap_or((0, 0));
    if from <= bottom && to == end && to != 0 {
        return true;
    }
    const PAGE: usize = 4096;
    let (mut at, start) = (bottom & !(PAGE - 1), bottom & !(PAGE - 1));
    let mut resident = [0u8; 256];
    while at < end {
        let bytes = (end - at).min(resident.len() * PAGE);
        // SAFETY: the array has a byte per page; the system refuses an address that is not
        // mapped.
        if unsafe { libc::mincore(crate::base::addr::code_at(at), bytes, resident.as_mut_ptr()) } != 0 {
            return false;
        }
        at += bytes;
    }
    let _ = KNOWN.try_with(|known| known.set((start, end)));
    true
}
