#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod action;
mod address;
mod guard;
mod history;
mod page;
mod pprof;
mod profile;
mod query;
mod reply;
mod route;
mod server;
mod stream;
mod view;

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Serves the console at `address`, on a thread of its own, until the program ends or [`Console::shutdown`] is called. Where the program does
/// not sample its heap yet, sampling begins, at one sample in 512 KiB on average.
///
/// ```no_run
/// greyspan_console::serve("127.0.0.1:6060")?; // http://127.0.0.1:6060/
/// # Ok::<(), greyspan_console::ServeError>(())
/// ```
///
/// # Errors
///
/// When `address` is none, is not of this machine alone, or cannot be had; see [`ServeError`]. Nothing was changed then, and the program can
/// go on without a console.
pub fn serve(address: impl ToSocketAddrs) -> Result<Console, ServeError> {
    Builder::new().serve(address)
}

/// The options of a console.
///
/// ```no_run
/// let console = greyspan_console::Builder::new()
///     .allow_remote(true)
///     .allow_host("heap.example.org")
///     .profile_rate(None)
///     .serve("0.0.0.0:6060")?;
/// # Ok::<(), greyspan_console::ServeError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    remote: bool,
    hosts: Vec<String>,
    rate: Option<usize>,
    #[cfg(feature = "gc")]
    heaps: Vec<Heap>,
}

/// A managed heap; its `Debug` has nothing to say.
#[cfg(feature = "gc")]
#[derive(Clone)]
struct Heap(greyspan::gc::Heap);

#[cfg(feature = "gc")]
impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heap")
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The options of [`serve`].
    pub fn new() -> Self {
        Self {
            remote: false,
            hosts: Vec::new(),
            rate: Some(action::DEFAULT_RATE as usize),
            #[cfg(feature = "gc")]
            heaps: Vec::new(),
        }
    }

    /// Whether addresses that other machines reach may be served. Whoever reaches the console sees names of the program's functions and how
    /// much memory they hold, and can have memory given back; there is no password. Off by default.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.remote = allow;
        self
    }

    /// A name, without a port, under which browsers may ask, besides `localhost` and addresses in numbers. Others are refused, since anybody
    /// can make a name point at this machine.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into().to_ascii_lowercase());
        self
    }

    /// Mean bytes between two samples of the heap profile, which the console begins if nobody has; `None` leaves it to the program, and to
    /// whoever presses the page's button. 512 KiB by default; at least 1.
    pub fn profile_rate(mut self, bytes: Option<usize>) -> Self {
        self.rate = bytes.map(|bytes| bytes.max(1));
        self
    }

    /// A managed heap that `?gc=1` and the page's button collect.
    #[cfg(feature = "gc")]
    pub fn heap(mut self, heap: &greyspan::gc::Heap) -> Self {
        self.heaps.push(Heap(heap.clone()));
        self
    }

    /// Serves the console; see [`serve`](crate::serve()). Port 0 takes any that is free: [`Console::address`] tells which.
    ///
    /// # Errors
    ///
    /// As of [`serve`](crate::serve()).
    pub fn serve(self, address: impl ToSocketAddrs) -> Result<Console, ServeError> {
        let listener = address::bind(address, self.remote)?;
        server::start(listener, self)
    }
}

/// A console that is being served. Dropping it leaves it served; [`shutdown`](Self::shutdown) ends it.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    server: server::Server,
}

impl Console {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser.
    pub fn url(&self) -> String {
        address::url(self.address)
    }

    /// Ends it: closes its port and its connections, answers that are under way included, and waits for its thread. Sampling goes on.
    pub fn shutdown(self) {
        self.server.shutdown();
    }
}

/// Why there is no console.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The address could not be made sense of.
    Address(io::Error),
    /// Other machines could reach the address, and the program did not allow that.
    Remote(SocketAddr),
    /// The address cannot be had: most often, its port is taken.
    Bind(SocketAddr, io::Error),
    /// The system gave no thread, or none of what a thread that serves needs.
    Thread(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => write!(f, "greyspan console: not an address to listen at: {error}"),
            Self::Remote(address) => write!(
                f,
                "greyspan console: {address} can be reached from other machines; use 127.0.0.1, or allow it by Builder::allow_remote"
            ),
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "greyspan console: port {} of {} is taken; choose another, or 0 for any that is free",
                address.port(),
                address.ip()
            ),
            Self::Bind(address, error) => write!(f, "greyspan console: cannot listen at {address}: {error}"),
            Self::Thread(error) => write!(f, "greyspan console: cannot start its thread: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Remote(_) => None,
            Self::Address(error) | Self::Bind(_, error) | Self::Thread(error) => Some(error),
        }
    }
}
