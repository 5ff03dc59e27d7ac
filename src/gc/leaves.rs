//! Implements [`Trace`] for types of the standard library that hold no edge. The rules are those of
//! [`trace`](super::trace).

use super::meter::Meter;
use super::trace::Trace;
use super::visitor::Visitor;
use core::marker::PhantomData;

/// Implements `Trace` for types that hold no edge.
macro_rules! leaf {
    ($($(#[$meta:meta])* [$($generics:tt)*] $type:ty;)*) => {$(
        $(#[$meta])*
        // SAFETY: the type holds no edge: it contains no value of its parameters, or only `'static`
        // ones, and no `Gc` is `'static`.
        unsafe impl<'gc, $($generics)*> $crate::gc::trace::Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false;
            #[inline(always)]
            fn trace(&self, _: &mut $crate::gc::visitor::Visitor<'gc>) {}
        }
    )*};
}
pub(crate) use leaf;

// Numbers and small values.
leaf! {
    [] bool; [] char; [] u8; [] u16; [] u32; [] u64; [] u128; [] usize; [] i8; [] i16; [] i32; [] i64; [] i128; [] isize; [] f32; [] f64;
    [] (); [] str; [] core::cmp::Ordering; [] core::any::TypeId; [] core::alloc::Layout; [] core::convert::Infallible;
    [] core::ops::RangeFull; [] core::marker::PhantomPinned; [] core::num::FpCategory;
    [T: ?Sized + Send + Sync] PhantomData<T>;
    [T: 'static] core::mem::Discriminant<T>;
    [T: ?Sized + Sync + 'static] &'static T;
}

mod nonzero {
    use core::num::{
        NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroIsize, NonZeroU8, NonZeroU16, NonZeroU32,
        NonZeroU64, NonZeroU128, NonZeroUsize,
    };

    leaf! {
        [] NonZeroU8; [] NonZeroU16; [] NonZeroU32; [] NonZeroU64; [] NonZeroU128; [] NonZeroUsize;
        [] NonZeroI8; [] NonZeroI16; [] NonZeroI32; [] NonZeroI64; [] NonZeroI128; [] NonZeroIsize;
    }
}

// Values of the system. Those with a destructor close a handle; the drop thread does that.
leaf! {
    [] core::time::Duration; [] std::time::Instant; [] std::time::SystemTime;
    [] std::path::Path; [] std::ffi::OsStr; [] core::ffi::CStr;
    [] core::net::IpAddr; [] core::net::Ipv4Addr; [] core::net::Ipv6Addr;
    [] core::net::SocketAddr; [] core::net::SocketAddrV4; [] core::net::SocketAddrV6;
    [] std::net::TcpStream; [] std::net::TcpListener; [] std::net::UdpSocket;
    [] std::fs::File; [] std::fs::Metadata; [] std::fs::FileType; [] std::fs::Permissions;
    [] std::thread::ThreadId; [] std::thread::Thread; [T: 'static] std::thread::JoinHandle<T>;
    [] std::process::Child; [] std::process::ExitStatus; [] std::hash::RandomState;
    [H: 'static] core::hash::BuildHasherDefault<H>;
}

// Errors, and values of any `'static` type.
leaf! {
    [] core::fmt::Error; [] std::io::Error; [] std::io::ErrorKind; [] core::str::Utf8Error; [] std::string::FromUtf8Error;
    [] core::num::ParseIntError; [] core::num::ParseFloatError; [] core::num::TryFromIntError; [] core::net::AddrParseError;
    [] dyn core::any::Any + Send + Sync; [] dyn core::error::Error + Send + Sync;
}

/// Implements `Trace` for pointers to functions with these parameters. A closure is another type,
/// and so is a function for all lifetimes, such as `fn(&str)`.
macro_rules! functions {
    ($(($($arg:ident)*))*) => {$(
        leaf! {
            [R, $($arg),*] fn($($arg),*) -> R;
            [R, $($arg),*] unsafe fn($($arg),*) -> R;
            [R, $($arg),*] extern "C" fn($($arg),*) -> R;
            [R, $($arg),*] unsafe extern "C" fn($($arg),*) -> R;
        }
    )*};
}

functions! {
    () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

/// Implements `Trace` for strings that own their memory, and measures them.
macro_rules! text {
    ($($type:ty, $self:ident => $bytes:expr;)*) => {$(
        // SAFETY: text holds no edge.
        unsafe impl<'gc> Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false;
            #[inline(always)]
            fn trace(&self, _: &mut Visitor<'gc>) {}
            #[inline]
            fn measure(&$self, meter: &mut Meter) {
                meter.add($bytes);
            }
        }
    )*};
}

text! {
    String, self => self.capacity();
    std::path::PathBuf, self => self.capacity();
    std::ffi::OsString, self => self.capacity();
    std::ffi::CString, self => self.as_bytes_with_nul().len();
}

/// Locks, shared values and channels of the standard library, where they hold no edge. Their names
/// come from `crate::sync`. A lazy value counts only if it can never hold an edge: its first use
/// changes it, and no barrier sees that.
mod shared {
    use crate::sync::blocking::{
        Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, Sender, SyncSender, Weak,
    };

    leaf! {
        [T: ?Sized + Send + Sync + 'static] Arc<T>;
        [T: ?Sized + Send + Sync + 'static] Weak<T>;
        [T: ?Sized + Send + 'static] Mutex<T>;
        [T: ?Sized + Send + Sync + 'static] RwLock<T>;
        [T: Send + Sync + 'static] OnceLock<T>;
        [T: Send + Sync + 'static, F: Send + 'static] LazyLock<T, F>;
        [T: Send + 'static] Sender<T>; [T: Send + 'static] SyncSender<T>;
        [] Condvar; [] Barrier; [] Once;
    }
}

mod atomics {
    use crate::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
    use crate::sync::tally::{AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicPtr, AtomicU16};

    leaf! {
        [] AtomicBool; [] AtomicU8; [] AtomicU16; [] AtomicU32; [] AtomicU64; [] AtomicUsize;
        [] AtomicI8; [] AtomicI16; [] AtomicI32; [] AtomicI64; [] AtomicIsize;
        [T: 'static] AtomicPtr<T>;
    }
}
