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

use super::depot::DEPTH;
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
    let top = stack_pointer();
    // The places of return addresses are known only on this processor.
    let memory = memory.filter(|_| cfg!(target_arch = "x86_64"));
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

/// Returns the stack pointer of the function that this is inlined into. It is the same in every
/// call from one place.
#[inline(always)]
fn stack_pointer() -> usize {
    let top: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) top, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        top = 0;
    }
    top
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
    walk.regular &= cfg!(target_arch = "x86_64") && above.is_aligned() && !above.is_null() && unsafe { **at } == frame;
    GO_ON
}

/// The unwinder of the program: libgcc's, or LLVM's with the same names.
#[cfg(feature = "profiling")]
mod unwinder {
    use core::ffi::{c_int, c_void};

    type Visit = extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int;

    unsafe extern "C" {
        fn _Unwind_Backtrace(visit: Visit, argument: *mut c_void) -> c_int;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
        fn _Unwind_GetCFA(context: *mut c_void) -> usize;
    }

    /// Returns whether the unwinder is loaded: always.
    #[cfg(feature = "preload")]
    pub(crate) fn load() -> bool {
        true
    }

    pub(super) fn backtrace(visit: Visit, argument: *mut c_void) {
        // SAFETY: `visit` does not unwind and takes this argument.
        unsafe { _Unwind_Backtrace(visit, argument) };
    }

    /// Returns the return address into a frame, and the stack pointer behind it.
    pub(super) fn position(context: *mut c_void) -> (usize, *const usize) {
        // SAFETY: the context is that of the frame under visit.
        let frame = unsafe { _Unwind_GetIP(context) };
        // SAFETY: the context is that of the frame under visit.
        let above = unsafe { _Unwind_GetCFA(context) };
        (frame, crate::base::addr::code_at(above).cast())
    }
}

/// The unwinder of libgcc, for a library that does not link it and may run in programs without it.
#[cfg(not(feature = "profiling"))]
mod unwinder {
    use crate::sync::atomic::{
        AtomicPtr,
        Ordering::{Acquire, Relaxed, Release},
    };
    use core::ffi::{c_int, c_void};
    use core::ptr::null_mut;

    type Visit = extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int;
    type Backtrace = unsafe extern "C" fn(Visit, *mut c_void) -> c_int;
    type Get = unsafe extern "C" fn(*mut c_void) -> usize;

    static BACKTRACE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
    static GET_IP: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
    static GET_CFA: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

    /// Loads the unwinder. `false`: there is none. It allocates, so no code calls it inside of a
    /// call of the heap.
    pub(crate) fn load() -> bool {
        // Acquire: pairs with the Release below.
        if !BACKTRACE.load(Acquire).is_null() {
            return true;
        }
        // SAFETY: a C string. Programs may load this library at any time, and this code never
        // unloads it.
        let library = unsafe { libc::dlopen(c"libgcc_s.so.1".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return false;
        }
        // SAFETY: the library is open, and the name is a C string.
        let find = |name: &core::ffi::CStr| unsafe { libc::dlsym(library, name.as_ptr()) };
        let (backtrace, ip, cfa) = (
            find(c"_Unwind_Backtrace"),
            find(c"_Unwind_GetIP"),
            find(c"_Unwind_GetCFA"),
        );
        if backtrace.is_null() || ip.is_null() || cfa.is_null() {
            return false;
        }
        GET_IP.store(ip, Relaxed);
        GET_CFA.store(cfa, Relaxed);
        // Release: publishes the other two addresses for the Acquires.
        BACKTRACE.store(backtrace, Release);
        true
    }

    pub(super) fn backtrace(visit: Visit, argument: *mut c_void) {
        // Acquire: pairs with the Release in `load`.
        let function = BACKTRACE.load(Acquire);
        if function.is_null() {
            return;
        }
        // SAFETY: the address is of a function of this type, by the platform's ABI.
        let function = unsafe { (&raw const function).cast::<Backtrace>().read() };
        // SAFETY: `visit` does not unwind and takes this argument.
        unsafe { function(visit, argument) };
    }

    fn get(function: &AtomicPtr<c_void>, context: *mut c_void) -> usize {
        let address = function.load(Relaxed);
        // SAFETY: the address is of a function of this type. Only a visit calls this, through
        // `backtrace`, whose Acquire made the address visible.
        let function = unsafe { (&raw const address).cast::<Get>().read() };
        // SAFETY: the context is that of the frame under visit.
        unsafe { function(context) }
    }

    /// Returns the return address into a frame, and the stack pointer behind it.
    pub(super) fn position(context: *mut c_void) -> (usize, *const usize) {
        (
            get(&GET_IP, context),
            crate::base::addr::code_at(get(&GET_CFA, context)).cast(),
        )
    }
}

#[cfg(feature = "preload")]
pub(crate) use unwinder::load;

/// Frame pointers: each frame begins with the address of its caller's frame, and the return address
/// follows.
#[cfg(all(greyspan_frame_pointers, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod frame_pointers {
    use super::{DEPTH, Stack};

    /// Returns the stack by frame pointers. `None`: they end at once, or the end of the thread's
    /// stack is unknown.
    #[inline(always)]
    pub(super) fn walk() -> Option<Stack> {
        let mut frame: *const usize;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads a register.
        unsafe {
            core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: reads a register.
        unsafe {
            core::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
        }
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
}
