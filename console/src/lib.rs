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

/// Serves the console at `address`, on a separate thread, until the program ends or calls
/// [`Console::shutdown`]. If the program does not sample its heap yet, starts sampling: one sample
/// per 512 KiB of allocations on average.
///
/// ```no_run
/// greyspan_console::serve("127.0.0.1:6060")?; // http://127.0.0.1:6060/
/// # Ok::<(), greyspan_console::ServeError>(())
/// ```
///
/// # Errors
///
/// If `address` is not valid, if other machines could reach it, or if the console cannot listen
/// there; see [`ServeError`]. In that case nothing has changed, and the program can go on without a
/// console.
pub fn serve(address: impl ToSocketAddrs) -> Result<Console, ServeError> {
    Builder::new().serve(address)
}

/// The options of a console. Finish with [`Builder::serve`].
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

/// A managed heap, with a `Debug` that prints only its name.
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
    /// Returns the default options, which [`serve`] uses.
    pub fn new() -> Self {
        Self {
            remote: false,
            hosts: Vec::new(),
            rate: Some(action::DEFAULT_RATE as usize),
            #[cfg(feature = "gc")]
            heaps: Vec::new(),
        }
    }

    /// Sets whether the console may listen at an address that other machines can reach. Off by
    /// default.
    ///
    /// There is no password and no encryption. Any machine that reaches the console can read the
    /// names of the program's functions and the sizes of their memory, and can run the actions:
    /// purge, collect, start and stop sampling.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.remote = allow;
        self
    }

    /// Allows a host name, without a port, in requests. `localhost` and numeric addresses are
    /// always allowed. Other names are refused, since any attacker can make a name point at this
    /// machine. Case does not matter. Call it once per name.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into().to_ascii_lowercase());
        self
    }

    /// Sets the mean number of bytes between two samples of the heap profile: at least 1 (0 counts
    /// as 1), 512 KiB by default. The console starts sampling only if the program does not sample
    /// yet.
    ///
    /// `None`: the console starts no sampling. The program or the page's button may start it.
    pub fn profile_rate(mut self, bytes: Option<usize>) -> Self {
        self.rate = bytes.map(|bytes| bytes.max(1));
        self
    }

    /// Adds a managed heap, which `?gc=1` and the page's button collect.
    ///
    /// ```no_run
    /// let heap = greyspan::gc::Heap::new();
    /// greyspan_console::Builder::new().heap(&heap).serve("127.0.0.1:6060")?;
    /// # Ok::<(), greyspan_console::ServeError>(())
    /// ```
    #[cfg(feature = "gc")]
    pub fn heap(mut self, heap: &greyspan::gc::Heap) -> Self {
        self.heaps.push(Heap(heap.clone()));
        self
    }

    /// Serves the console with these options; see [`serve`](crate::serve()). Port 0 takes any free
    /// port; [`Console::address`] returns it.
    ///
    /// # Errors
    ///
    /// As for [`serve`](crate::serve()).
    pub fn serve(self, address: impl ToSocketAddrs) -> Result<Console, ServeError> {
        let listener = address::bind(address, self.remote)?;
        server::start(listener, self)
    }
}

/// A running console. Dropping this value does not end the console; [`shutdown`](Self::shutdown)
/// does.
///
/// ```no_run
/// let console = greyspan_console::serve("127.0.0.1:0")?;
/// println!("{}", console.url()); // such as http://127.0.0.1:35551/
/// console.shutdown();
/// # Ok::<(), greyspan_console::ServeError>(())
/// ```
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    server: server::Server,
}

impl Console {
    /// Returns the address at which the console listens, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL to open in a browser on this machine, such as `http://127.0.0.1:6060/`.
    pub fn url(&self) -> String {
        address::url(self.address)
    }

    /// Ends the console: closes its port and all connections, also those with an answer under way,
    /// and waits for its thread, which takes about a second at most. Sampling goes on.
    pub fn shutdown(self) {
        self.server.shutdown();
    }
}

/// The reason why a console could not be started. Its `Display` states what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is not valid, or its name could not be resolved.
    Address(io::Error),
    /// Other machines could reach this address, and [`Builder::allow_remote`] is off.
    Remote(SocketAddr),
    /// The console cannot listen at this address: most often because another socket uses the port.
    Bind(SocketAddr, io::Error),
    /// The system refused the console's thread, or a resource that the thread needs.
    Thread(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => write!(
                f,
                "greyspan console: cannot use the address: {error}; write it as 127.0.0.1:6060"
            ),
            Self::Remote(address) => write!(
                f,
                "greyspan console: other machines could reach {address}; use 127.0.0.1, or allow it by Builder::allow_remote(true)"
            ),
            Self::Bind(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "greyspan console: port {} of {} is in use; choose another port, or 0 for any free one",
                address.port(),
                address.ip()
            ),
            Self::Bind(address, error) => write!(f, "greyspan console: cannot listen at {address}: {error}"),
            Self::Thread(error) => write!(
                f,
                "greyspan console: the system refused a thread or its resources: {error}"
            ),
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
