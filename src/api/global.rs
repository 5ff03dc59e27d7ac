//! [`Greyspan`]: the program's global allocator. `serve` and `forward` implement its requests.

/// The allocator, to be set as `#[global_allocator]`. It has no state of its own: every value of it is the one heap of the process.
///
/// ```
/// use greyspan::Greyspan;
///
/// #[global_allocator]
/// static GLOBAL: Greyspan = Greyspan::new();
///
/// let words: Vec<String> = ["out", "of", "band"].map(String::from).to_vec();
/// assert_eq!(words.concat(), "outofband");
/// ```
///
/// `static GLOBAL: Greyspan = Greyspan;` is the same.
///
/// Requests of any size and alignment that `Layout` allows are served, or refused with null; it never panics, unwinds or aborts on a
/// valid request. The fast path is inlined into the caller, where a constant layout leaves about six instructions of it.
///
/// With the feature `passthrough`, and where the heap is not supported (off Linux, and on 32-bit
/// machines), every request goes to [`System`](std::alloc::System) instead;
/// [`Stats::FORWARDS`](crate::Stats::FORWARDS) tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greyspan;

impl Greyspan {
    /// The heap of the process: the same as `Greyspan`.
    pub const fn new() -> Self {
        Self
    }
}
