//! Looks for a [`Root`](super::Root) of an object inside a cleanup that waits for the death of that
//! object: the root keeps the object, and so the cleanup never runs.
//!
//! A closure's type tells nothing of what it captures, so this looks at its words: a root is the
//! address of a slot that is in use, and next to it that of the object which the slot keeps. A
//! closure that begins with those two words and is as large as a root of that object's type is a
//! root. In a larger one they might be what a root has left behind in an unused part of some value,
//! so there they are a suspicion.
//! Roots behind a pointer, in a `Box` or a `Vec`, are not seen.

use super::root::RootTable;
use core::ptr::NonNull;

/// What a cleanup holds of the object that it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    Nothing,
    /// In all likelihood a root.
    Suspect,
    /// A root.
    Root,
}

/// Looks for a root of the object of type `T` at `target` in `cleanup`.
pub(crate) fn look<F, T: ?Sized>(cleanup: &F, roots: &RootTable, target: NonNull<u8>) -> Holds {
    // A root is its slot's address and a pointer, with the metadata of a slice or trait object.
    let root = size_of::<usize>() + size_of::<NonNull<T>>();
    // A root has a destructor and lies at whole words.
    if !core::mem::needs_drop::<F>() || align_of::<F>() < align_of::<usize>() {
        return Holds::Nothing;
    }
    let words = size_of::<F>() / size_of::<usize>();
    let first = NonNull::from(cleanup).cast::<usize>();
    for at in 1..words {
        // SAFETY: the word lies in the closure.
        let address = unsafe { first.add(at) };
        // SAFETY: it can be read, and is aligned as the closure is.
        if unsafe { word(address) } != target.as_ptr().addr() {
            continue;
        }
        // SAFETY: as above: `at` is 1 at least.
        let before = unsafe { first.add(at - 1) };
        // SAFETY: likewise.
        if roots.is_slot_of(unsafe { word(before) }, target) {
            return if size_of::<F>() == root && at == 1 {
                Holds::Root
            } else {
                Holds::Suspect
            };
        }
    }
    Holds::Nothing
}

/// The machine word at `at`. Not a read as the language has it, because the closure may have
/// padding there, whose value is undefined; the machine's memory has one.
///
/// # Safety
/// A word can be read there, and `at` is aligned.
#[cfg(target_arch = "x86_64")]
unsafe fn word(at: NonNull<usize>) -> usize {
    let word;
    // SAFETY: a load from memory that the caller vouches for; it changes nothing else.
    unsafe {
        core::arch::asm!("mov {word}, qword ptr [{at}]", word = out(reg) word, at = in(reg) at.as_ptr(),
            options(nostack, readonly, preserves_flags));
    }
    word
}

/// As above.
///
/// # Safety
/// A word can be read there, and `at` is aligned.
#[cfg(target_arch = "aarch64")]
unsafe fn word(at: NonNull<usize>) -> usize {
    let word;
    // SAFETY: a load from memory that the caller vouches for; it changes nothing else.
    unsafe {
        core::arch::asm!("ldr {word}, [{at}]", word = out(reg) word, at = in(reg) at.as_ptr(),
            options(nostack, readonly, preserves_flags));
    }
    word
}

/// Elsewhere nothing is found.
///
/// # Safety
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn word(_: NonNull<usize>) -> usize {
    0
}
