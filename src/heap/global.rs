//! [`Greyspan`]: the global allocator of a program. `serve` or `forward` implements its requests.

/// The allocator, to be set as `#[global_allocator]`. It has no state: every value of it stands for
/// the one heap of the process.
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
/// `static GLOBAL: Greyspan = Greyspan;` means the same.
///
/// Every request with a valid `Layout` is served, or refused with null. The allocator never panics,
/// unwinds or aborts on a valid request. The fast path is inlined into the caller. With a constant
/// layout, about six instructions of it remain.
///
/// With the feature `passthrough`, and where the heap is not supported (off Linux, and on 32-bit
/// machines), every request goes to [`System`](std::alloc::System) instead;
/// [`Stats::FORWARDS`](crate::Stats::FORWARDS) tells whether it does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greyspan;

impl Greyspan {
    /// Returns the heap of the process. The value `Greyspan` means the same. See the example of
    /// [`Greyspan`].
    pub const fn new() -> Self {
        Self
    }
}
