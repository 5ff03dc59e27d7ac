//! Exports C++'s operators `new` and `delete` in all their forms, under their Itanium C++ ABI
//! names.
//!
//! If `new` finds no memory:
//! - With a new-handler, it calls the handler and tries again.
//! - Without one, it throws `std::bad_alloc`; the forms that may not throw return null.
//! - If the handler throws inside a form that may not throw, the result is null as well. No code
//!   here can catch an exception. So that form calls the C++ library's own operator, which catches
//!   it; that operator calls ours in turn.
//!
//! This library does not depend on the C++ library: it looks the needed functions up in the
//! process. `delete` ignores its size and alignment: it is `free`, which looks both up.

use core::ffi::{CStr, c_void};
use core::ptr::null_mut;
use heap::raw;

/// `std::nothrow_t` and `std::align_val_t`, as the ABI passes them.
type NoThrow = *const c_void;
type Align = usize;

/// `std::get_new_handler`, and the handler that it returns.
type GetHandler = unsafe extern "C-unwind" fn() -> Option<Handler>;
type Handler = unsafe extern "C-unwind" fn();
/// `std::__throw_bad_alloc`.
type Throw = unsafe extern "C-unwind" fn() -> !;

/// The operators that may not throw: without an alignment, and with one.
type NewOrNull = unsafe extern "C-unwind" fn(usize, NoThrow) -> *mut c_void;
type NewAlignedOrNull = unsafe extern "C-unwind" fn(usize, Align, NoThrow) -> *mut c_void;

/// Returns the address of a function of the process's C++ library, or null if there is none. Also
/// finds a C++ library that a plug-in loaded for itself alone.
fn function(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string.
    let seen = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if seen.is_null() { own_function(name) } else { seen }
}

/// Looks in the C++ library only, past any library that was preloaded before it; else as
/// [`function`].
fn own_function(name: &CStr) -> *mut c_void {
    for library in [c"libstdc++.so.6", c"libc++.so.1"] {
        // SAFETY: the name is a C string, and `RTLD_NOLOAD` runs no code: it only finds a library.
        let library = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if !library.is_null() {
            // SAFETY: the handle is open and is never closed; the name is a C string.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            if !found.is_null() {
                return found;
            }
        }
    }
    null_mut()
}

/// Returns the program's new-handler, if it has set one.
fn handler() -> Option<Handler> {
    let get = function(c"_ZSt15get_new_handlerv");
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way from an address to a function"
    )]
    // SAFETY: `get` is null or a function of this type: the mangled name contains its signature.
    let get = unsafe { core::mem::transmute::<*mut c_void, Option<GetHandler>>(get) }?;
    // SAFETY: `std::get_new_handler` has no preconditions.
    unsafe { get() }
}

/// Throws `std::bad_alloc`. If there is no C++ library to throw it, ends the process.
fn throw() -> ! {
    for name in [c"_ZSt17__throw_bad_allocv", c"_ZNSt3__117__throw_bad_allocEv"] {
        #[expect(clippy::disallowed_methods, reason = "as in `handler`")]
        // SAFETY: the address is null or that function, which has this type.
        let throw = unsafe { core::mem::transmute::<*mut c_void, Option<Throw>>(function(name)) };
        if let Some(throw) = throw {
            // SAFETY: the function has no preconditions; the frames that it unwinds own nothing.
            unsafe { throw() };
        }
    }
    raw::no_memory("operator new: out of memory, and the process has no C++ library to throw std::bad_alloc")
}

/// Calls the new-handler and tries again, until there is memory or no handler. Returns null in the
/// second case. Unwinds if the handler throws.
#[cold]
#[inline(never)]
fn again(size: usize, align: Align) -> *mut c_void {
    while let Some(handler) = handler() {
        // SAFETY: the program set this handler, for `operator new` to call.
        unsafe { handler() };
        let block = raw::memalign(align, size);
        if !block.is_null() {
            return block.cast();
        }
    }
    null_mut()
}

#[cold]
#[inline(never)]
fn again_or_throw(size: usize, align: Align) -> *mut c_void {
    let block = again(size, align);
    if block.is_null() {
        throw();
    }
    block
}

#[inline(always)]
fn new(size: usize) -> *mut c_void {
    let block = raw::malloc(size);
    if block.is_null() {
        return again_or_throw(size, 1);
    }
    block.cast()
}

#[inline(always)]
fn new_or_null(size: usize, no: NoThrow) -> *mut c_void {
    let block = raw::malloc(size);
    if block.is_null() {
        return again_or_null(size, no);
    }
    block.cast()
}

/// Tries again without throwing. The handler may throw: the C++ library's own operator catches
/// that.
#[cold]
#[inline(never)]
fn again_or_null(size: usize, no: NoThrow) -> *mut c_void {
    if handler().is_none() {
        return null_mut();
    }
    #[expect(clippy::disallowed_methods, reason = "as in `handler`")]
    // SAFETY: the address is null or a function of this type: the mangled name says so.
    let own = unsafe { core::mem::transmute::<*mut c_void, Option<NewOrNull>>(own_function(c"_ZnwmRKSt9nothrow_t")) };
    match own {
        // SAFETY: the operator takes any size.
        Some(own) => unsafe { own(size, no) },
        None => again(size, 1),
    }
}

#[cold]
#[inline(never)]
fn again_aligned_or_null(size: usize, align: Align, no: NoThrow) -> *mut c_void {
    if handler().is_none() {
        return null_mut();
    }
    let own = own_function(c"_ZnwmSt11align_val_tRKSt9nothrow_t");
    #[expect(clippy::disallowed_methods, reason = "as in `handler`")]
    // SAFETY: the address is null or a function of this type: the mangled name says so.
    let own = unsafe { core::mem::transmute::<*mut c_void, Option<NewAlignedOrNull>>(own) };
    match own {
        // SAFETY: the operator takes any size; `align` is the caller's, of the same operator.
        Some(own) => unsafe { own(size, align, no) },
        None => again(size, align),
    }
}

fn new_aligned(size: usize, align: Align) -> *mut c_void {
    let block = raw::memalign(align, size);
    if block.is_null() {
        return again_or_throw(size, align);
    }
    block.cast()
}

fn new_aligned_or_null(size: usize, align: Align, no: NoThrow) -> *mut c_void {
    let block = raw::memalign(align, size);
    if block.is_null() {
        return again_aligned_or_null(size, align, no);
    }
    block.cast()
}

/// Defines the forms of `new`, one per line: name, arguments, body.
macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $body:expr;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        pub extern "C-unwind" fn $name($($arg: $ty),*) -> $ret {
            $body
        }
    )*};
}

operators! {
    /// `operator new(std::size_t)`
    _Znwm(size: usize) -> *mut c_void = new(size);
    /// `operator new[](std::size_t)`
    _Znam(size: usize) -> *mut c_void = new(size);
    /// `operator new(std::size_t, std::nothrow_t const&)`
    _ZnwmRKSt9nothrow_t(size: usize, no: NoThrow) -> *mut c_void = new_or_null(size, no);
    /// `operator new[](std::size_t, std::nothrow_t const&)`
    _ZnamRKSt9nothrow_t(size: usize, no: NoThrow) -> *mut c_void = new_or_null(size, no);
    /// `operator new(std::size_t, std::align_val_t)`
    _ZnwmSt11align_val_t(size: usize, align: Align) -> *mut c_void = new_aligned(size, align);
    /// `operator new[](std::size_t, std::align_val_t)`
    _ZnamSt11align_val_t(size: usize, align: Align) -> *mut c_void = new_aligned(size, align);
    /// `operator new(std::size_t, std::align_val_t, std::nothrow_t const&)`
    _ZnwmSt11align_val_tRKSt9nothrow_t(size: usize, align: Align, no: NoThrow) -> *mut c_void = new_aligned_or_null(size, align, no);
    /// `operator new[](std::size_t, std::align_val_t, std::nothrow_t const&)`
    _ZnamSt11align_val_tRKSt9nothrow_t(size: usize, align: Align, no: NoThrow) -> *mut c_void = new_aligned_or_null(size, align, no);
}

/// Defines the forms of `delete`: all of them are `free`.
macro_rules! deletes {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As for [`free`](crate::free): `ptr` is null or a block in use that no code uses any
        /// more.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        pub unsafe extern "C-unwind" fn $name(ptr: *mut c_void $(, $arg: $ty)*) {
            // SAFETY: `ptr` is null or a block that no code uses any more (contract of `free`).
            unsafe { raw::free(ptr.cast()) };
        }
    )*};
}

deletes! {
    /// `operator delete(void*)`
    _ZdlPv();
    /// `operator delete[](void*)`
    _ZdaPv();
    /// `operator delete(void*, std::size_t)`
    _ZdlPvm(_size: usize);
    /// `operator delete[](void*, std::size_t)`
    _ZdaPvm(_size: usize);
    /// `operator delete(void*, std::nothrow_t const&)`
    _ZdlPvRKSt9nothrow_t(_no: NoThrow);
    /// `operator delete[](void*, std::nothrow_t const&)`
    _ZdaPvRKSt9nothrow_t(_no: NoThrow);
    /// `operator delete(void*, std::align_val_t)`
    _ZdlPvSt11align_val_t(_align: Align);
    /// `operator delete[](void*, std::align_val_t)`
    _ZdaPvSt11align_val_t(_align: Align);
    /// `operator delete(void*, std::size_t, std::align_val_t)`
    _ZdlPvmSt11align_val_t(_size: usize, _align: Align);
    /// `operator delete[](void*, std::size_t, std::align_val_t)`
    _ZdaPvmSt11align_val_t(_size: usize, _align: Align);
    /// `operator delete(void*, std::align_val_t, std::nothrow_t const&)`
    _ZdlPvSt11align_val_tRKSt9nothrow_t(_align: Align, _no: NoThrow);
    /// `operator delete[](void*, std::align_val_t, std::nothrow_t const&)`
    _ZdaPvSt11align_val_tRKSt9nothrow_t(_align: Align, _no: NoThrow);
}
