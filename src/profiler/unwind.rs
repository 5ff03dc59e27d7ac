//! The stack of a sample: return addresses, the innermost first.
//!
//! Builds with frame pointers follow those. Others use the unwinder that exceptions use, which takes about a microsecond a frame; so each thread
//! remembers the stacks that it took last, with the place of each return address. Where these still hold what they held, nothing has
//! returned since, and the stack is the same. A program allocates most from loops.
//!
//! - N1. Whoever calls has paused the thread's sampler: the unwinder may allocate.
//! - N2. A remembered place is read only when all places nearer to the top of the stack hold what they held. Then its frame is still there.

use super::depot::DEPTH;
use core::cell::Cell;
use core::ffi::{c_int, c_void};

/// Stacks that a thread remembers.
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

    /// Return addresses.
    pub(crate) fn frames(&self) -> &[usize] {
        self.frames.get(..self.depth).unwrap_or_default()
    }
}

/// A stack, with where its return addresses stand.
#[derive(Clone, Copy)]
struct Known {
    /// The stack pointer of [`capture`].
    top: usize,
    stack: Stack,
    places: [*const usize; DEPTH],
}

/// What a thread remembers; in memory that reads as zero at first.
pub(crate) struct Memory {
    known: Cell<[Known; REMEMBERED]>,
    next: Cell<usize>,
}

/// The calling thread's stack, without the frame of this function.
#[inline(never)]
pub(super) fn capture(memory: Option<&Memory>) -> Stack {
    #[cfg(all(greyspan_frame_pointers, any(target_arch = "x86_64", target_arch = "aarch64")))]
    if let Some(stack) = frame_pointers::walk() {
        return stack;
    }
    let top = stack_pointer();
    // Where return addresses stand is known of this processor alone.
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

/// The stack pointer of the function that this is inlined into, which has the same in every call from one place.
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
        // SAFETY: the cell is the thread's own, and nobody writes to it meanwhile but a signal handler, whose stack has another top.
        let all = unsafe { &*self.known.as_ptr() };
        let still = |known: &&Known| {
            let frames = known.stack.frames();
            // SAFETY: the frame is still there (N2).
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
        // SAFETY: as in `find`.
        let all = unsafe { &mut *self.known.as_ptr() };
        if let Some(place) = all.get_mut(next) {
            *place = known;
        }
    }
}

/// A walk under way.
struct Walk {
    stack: Stack,
    places: [*const usize; DEPTH],
    /// The next frame is that of `capture`.
    own: bool,
    /// Every return address stood where a call puts it.
    regular: bool,
}

/// The unwinder has come to a frame.
extern "C-unwind" fn visit(context: *mut c_void, walk: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const END: c_int = 5;
    // SAFETY: what `capture` has passed.
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
    // SAFETY: the unwinder has read its own frame there: at or above the stack pointer of a function that has not returned.
    walk.regular &= cfg!(target_arch = "x86_64") && above.is_aligned() && !above.is_null() && unsafe { **at } == frame;
    GO_ON
}

/// The unwinder of the program: libgcc's, or LLVM's by the same names.
#[cfg(feature = "profiling")]
mod unwinder {
    use core::ffi::{c_int, c_void};

    type Visit = extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int;

    unsafe extern "C" {
        fn _Unwind_Backtrace(visit: Visit, argument: *mut c_void) -> c_int;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
        fn _Unwind_GetCFA(context: *mut c_void) -> usize;
    }

    /// It is there.
    #[cfg(feature = "preload")]
    pub(crate) fn load() -> bool {
        true
    }

    pub(super) fn backtrace(visit: Visit, argument: *mut c_void) {
        // SAFETY: the function does not unwind, and knows the argument.
        unsafe { _Unwind_Backtrace(visit, argument) };
    }

    /// The return address into a frame, and the stack pointer behind it.
    pub(super) fn position(context: *mut c_void) -> (usize, *const usize) {
        // SAFETY: the context of the frame that is visited.
        let frame = unsafe { _Unwind_GetIP(context) };
        // SAFETY: likewise.
        let above = unsafe { _Unwind_GetCFA(context) };
        (frame, crate::base::addr::code_at(above).cast())
    }
}

/// The unwinder of libgcc, in a library that is not linked with it and is loaded into programs that may not have it.
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

    /// Loads it. `false`: there is none. Not to be called inside of a call of the heap: it allocates.
    pub(crate) fn load() -> bool {
        // Acquire: pairs with the Release below.
        if !BACKTRACE.load(Acquire).is_null() {
            return true;
        }
        // SAFETY: a C string. The library is one that programs load at any time, and is never unloaded by us.
        let library = unsafe { libc::dlopen(c"libgcc_s.so.1".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return false;
        }
        // SAFETY: the library is open, the name a C string.
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
        // Release: the other two come first, for the Acquires.
        BACKTRACE.store(backtrace, Release);
        true
    }

    pub(super) fn backtrace(visit: Visit, argument: *mut c_void) {
        // Acquire: pairs with the Release in `load`.
        let function = BACKTRACE.load(Acquire);
        if function.is_null() {
            return;
        }
        // SAFETY: the address is that of the function of this type, by the ABI of the platform.
        let function = unsafe { (&raw const function).cast::<Backtrace>().read() };
        // SAFETY: the function does not unwind, and knows the argument.
        unsafe { function(visit, argument) };
    }

    fn get(function: &AtomicPtr<c_void>, context: *mut c_void) -> usize {
        let address = function.load(Relaxed);
        // SAFETY: as in `backtrace`, through which alone a visit comes here.
        let function = unsafe { (&raw const address).cast::<Get>().read() };
        // SAFETY: the context of the frame that is visited.
        unsafe { function(context) }
    }

    /// The return address into a frame, and the stack pointer behind it.
    pub(super) fn position(context: *mut c_void) -> (usize, *const usize) {
        (
            get(&GET_IP, context),
            crate::base::addr::code_at(get(&GET_CFA, context)).cast(),
        )
    }
}

#[cfg(feature = "preload")]
pub(crate) use unwinder::load;

/// Frame pointers: each frame begins with the address of the one that called it, and the return address follows.
#[cfg(all(greyspan_frame_pointers, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod frame_pointers {
    use super::{DEPTH, Stack};

    /// The stack by frame pointers. `None`: they end at once, or the end of the thread's stack is not known.
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
            // SAFETY: between this function's frame and the end of the thread's stack.
            let caller = unsafe { *frame };
            // SAFETY: likewise.
            let back = unsafe { *frame.wrapping_add(1) };
            if back == 0 {
                break;
            }
            if let Some(place) = stack.frames.get_mut(stack.depth) {
                *place = back;
            }
            stack.depth += 1;
            // Frames lie above those that they called. What does not is no frame: code without frame pointers has used the register.
            if caller <= frame.addr() {
                break;
            }
            frame = frame.with_addr(caller);
        }
        (stack.depth > 1).then_some(stack)
    }

    /// Where the thread's stack ends, upwards of `bottom`. The thread's record lies at the end of its stack; the main thread's stack is the
    /// kernel's. `None` elsewhere: on a stack of its own, as signal handlers may have.
    fn end_of_stack(bottom: usize) -> Option<usize> {
        /// No stack that is longer is believed to be one.
        const LONGEST: usize = 1 << 30;
        unsafe extern "C" {
            static __libc_stack_end: *mut usize;
        }
        // SAFETY: always callable.
        let record = unsafe { libc::pthread_self() } as usize;
        // SAFETY: the loader's, written before the program began.
        let main = unsafe { __libc_stack_end }.addr();
        let near = |end: &usize| end.checked_sub(bottom).is_some_and(|bytes| bytes < LONGEST);
        // The nearest of the two: the main thread's record lies elsewhere, below its stack.
        [record, main]
            .into_iter()
            .filter(near)
            .min()
            .filter(|&end| is_mapped(bottom, end))
    }

    /// Whether all pages from `bottom` to `end` are there. Asked of the system where it is not known yet.
    fn is_mapped(bottom: usize, end: usize) -> bool {
        use core::cell::Cell;
        thread_local! {
            /// What was found last.
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
            // SAFETY: the vector has a byte for each page; an address that is not mapped is refused.
            if unsafe { libc::mincore(crate::base::addr::code_at(at), bytes, resident.as_mut_ptr()) } != 0 {
                return false;
            }
            at += bytes;
        }
        let _ = KNOWN.try_with(|known| known.set((start, end)));
        true
    }
}
