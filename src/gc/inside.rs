//! Searches a cleanup for a [`Root`](super::Root) of the object whose death it waits for. That root
//! would keep the object, so the cleanup would never run.
//!
//! The type of a closure does not name the captured values, so the search looks at the closure's
//! words. A root is three words: the address of a slot in use, the address of the object that the
//! slot keeps, and room for the metadata of the object's type.
//!
//! - If a closure has the size of a root and begins with those two addresses, it is a root.
//! - In a larger closure the words may be leftovers in an unused part of a value. So the closure
//!   only counts as a suspect.
//! - Roots behind a pointer, in a `Box` or a `Vec`, are not found.

use super::roots::RootTable;
use core::ptr::NonNull;

/// The result of a search: how a cleanup holds the object that it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    Nothing,
    /// The cleanup seems to hold a root of the object.
    Suspect,
    /// The cleanup is a root of the object.
    Root,
}

/// Searches `cleanup` for a root of the object at `target`.
pub(crate) fn look<F>(cleanup: &F, roots: &RootTable, target: NonNull<u8>) -> Holds {
    let root = 3 * size_of::<usize>();
    // A root has a destructor and is aligned to words.
    if !core::mem::needs_drop::<F>() || align_of::<F>() < align_of::<usize>() {
        return Holds::Nothing;
    }
    let words = size_of::<F>() / size_of::<usize>();
    let first = NonNull::from(cleanup).cast::<usize>();
    for at in 1..words {
        // SAFETY: `at` is below `words`, so the word lies in the closure.
        let address = unsafe { first.add(at) };
        // SAFETY: the word lies in the closure and is aligned, because the closure is.
        if unsafe { word(address) } != target.as_ptr().addr() {
            continue;
        }
        // SAFETY: `at` is at least 1, so the word before lies in the closure.
        let before = unsafe { first.add(at - 1) };
        // SAFETY: the word lies in the closure and is aligned, because the closure is.
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

/// Reads the machine word at `at` with an instruction instead of a read of the language. The
/// closure may have padding there: its value is undefined in the language, but not in memory.
///
/// # Safety
/// A word can be read at `at`, and `at` is aligned.
#[cfg(target_arch = "x86_64")]
unsafe fn word(at: NonNull<usize>) -> usize {
    let word;
    // SAFETY: the load reads a word that is readable (contract of this function) and has no other
    // effect.
    unsafe {
        core::arch::asm!("mov {word}, qword ptr [{at}]", word = out(reg) word, at = in(reg) at.as_ptr(),
            options(nostack, readonly, preserves_flags));
    }
    word
}

/// Reads the machine word at `at`, as on x86-64.
///
/// # Safety
/// A word can be read at `at`, and `at` is aligned.
#[cfg(target_arch = "aarch64")]
unsafe fn word(at: NonNull<usize>) -> usize {
    let word;
    // SAFETY: the load reads a word that is readable (contract of this function) and has no other
    // effect.
    unsafe {
        core::arch::asm!("ldr {word}, [{at}]", word = out(reg) word, at = in(reg) at.as_ptr(),
            options(nostack, readonly, preserves_flags));
    }
    word
}

/// Returns 0: on other architectures the search finds no root.
///
/// # Safety
/// No condition.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn word(_: NonNull<usize>) -> usize {
    0
}
