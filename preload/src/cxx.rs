//! C++'s operators new and delete, in all their forms, under their names of the Itanium C++ ABI.
//!
//! `new` that finds no memory calls the program's new-handler, if it has one, and tries again; without one it throws `std::bad_alloc`, and the
//! forms that may not throw give null, also where the handler throws: nothing here can catch that, so the C++ library's own form does, which
//! calls ours in turn. Functions of the C++ library are looked for in the process: this one does not depend on it. Sizes and
//! alignments that `delete` is told are not needed: it is `free`, which finds out by itself.

use core::ffi::{CStr, c_void};
use core::ptr::null_mut;
use heap::raw;

/// `std::nothrow_t` and `std::align_val_t`, as they are passed.
type NoThrow = *const c_void;
type Align = usize;

/// `std::get_new_handler`, and what it returns.
type GetHandler = unsafe extern "C-unwind" fn() -> Option<Handler>;
type Handler = unsafe extern "C-unwind" fn();
/// `std::__throw_bad_alloc`.
type Throw = unsafe extern "C-unwind" fn() -> !;

/// The operators that may not throw: with and without an alignment.
type NewOrNull = unsafe extern "C-unwind" fn(usize, NoThrow) -> *mut c_void;
type NewAlignedOrNull = unsafe extern "C-unwind" fn(usize, Align, NoThrow) -> *mut c_void;

/// The address of a function of the process's C++ library, also where that came with a plug-in and others do not see it; null where there is
/// none.
fn function(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string.
    let seen = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if seen.is_null() { own_function(name) } else { seen }
}

/// As [`function`], past what others put in front of the C++ library.
fn own_function(name: &CStr) -> *mut c_void {
    for library in [c"libstdc++.so.6", c"libc++.so.1"] {
        // SAFETY: loads nothing: it looks for what is loaded.
        let library = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if !library.is_null() {
            // SAFETY: the library is open, and stays so.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            if !found.is_null() {
                return found;
            }
        }
    }
    null_mut()
}

/// The program's new-handler.
fn handler() -> Option<Handler> {
    let get = function(c"_ZSt15get_new_handlerv");
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way from an address to a function"
    )]
    // SAFETY: null, or a function of this type: the name is mangled from its signature.
    let get = unsafe { core::mem::transmute::<*mut c_void, Option<GetHandler>>(get) }?;
    // SAFETY: always callable.
    unsafe { get() }
}

fn throw() -> ! {
    for name in [c"_ZSt17__throw_bad_allocv", c"_ZNSt3__117__throw_bad_allocEv"] {
        #[expect(clippy::disallowed_methods, reason = "as above")]
        // SAFETY: null, or a function of this type.
        let throw = unsafe { core::mem::transmute::<*mut c_void, Option<Throw>>(function(name)) };
        if let Some(throw) = throw {
            // SAFETY: always callable; the frames that it unwinds hold nothing.
            unsafe { throw() };
        }
    }
    raw::no_memory("operator new: no memory, and no C++ library to throw std::bad_alloc")
}

/// Calls the handler as long as there is one and memory is not to be had. Unwinds where the handler throws.
#[cold]
#[inline(never)]
fn again(size: usize, align: Align) -> *mut c_void {
    while let Some(handler) = handler() {
        // SAFETY: the program set it to be called here.
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

/// The handler may throw, which the C++ library's own operator catches.
#[cold]
#[inline(never)]
fn again_or_null(size: usize, no: NoThrow) -> *mut c_void {
    if handler().is_none() {
        return null_mut();
    }
    #[expect(clippy::disallowed_methods, reason = "as above")]
    // SAFETY: null, or a function of this type.
    let own = unsafe { core::mem::transmute::<*mut c_void, Option<NewOrNull>>(own_function(c"_ZnwmRKSt9nothrow_t")) };
    match own {
        // SAFETY: always callable.
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
    #[expect(clippy::disallowed_methods, reason = "as above")]
    // SAFETY: null, or a function of this type.
    let own = unsafe { core::mem::transmute::<*mut c_void, Option<NewAlignedOrNull>>(own) };
    match own {
        // SAFETY: always callable.
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

/// The functions of one line each: name, arguments, what they do.
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

/// The forms of `delete`: all are `free`.
macro_rules! deletes {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As for [`free`](crate::free).
        #[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        pub unsafe extern "C-unwind" fn $name(ptr: *mut c_void $(, $arg: $ty)*) {
            // SAFETY: as the caller promised.
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
