//! [`Profile`]: a copy of the depot at one moment, or the difference of two.

#![forbid(unsafe_code)]

use super::depot::Counted;
use super::own::unsampled;
use super::{DEPOT, math, sampler};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// One of the four figures of a [`Profile`], in the order of a pprof file's columns. See the
/// example of [`Profile`]. Feature `profiling`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// Objects allocated since the first start, whether or not they are freed.
    AllocObjects,
    /// Bytes allocated since the first start, whether or not they are freed.
    AllocSpace,
    /// Objects in use.
    InuseObjects,
    /// Bytes in use.
    #[default]
    InuseSpace,
}

impl View {
    /// All views, in the order of the columns.
    pub const ALL: [Self; 4] = [
        Self::AllocObjects,
        Self::AllocSpace,
        Self::InuseObjects,
        Self::InuseSpace,
    ];

    /// Returns Go's name of the view, and its unit: `alloc_objects` in `count`, `inuse_space` in
    /// `bytes`. See the example of [`from_name`](Self::from_name).
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::AllocObjects => ("alloc_objects", "count"),
            Self::AllocSpace => ("alloc_space", "bytes"),
            Self::InuseObjects => ("inuse_objects", "count"),
            Self::InuseSpace => ("inuse_space", "bytes"),
        }
    }

    /// Returns the view with Go's name `name`, or `None` if there is no such view.
    ///
    /// ```
    /// use greyspan::profile::View;
    ///
    /// assert_eq!(View::from_name("alloc_space"), Some(View::AllocSpace));
    /// assert_eq!(View::from_name("space"), None);
    /// assert_eq!(View::AllocSpace.name(), ("alloc_space", "bytes"));
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name().0 == name)
    }
}

/// One stack, and its figures in 1/256 of a unit.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// Return addresses, the innermost first.
    pub(super) frames: Vec<usize>,
    values: [i64; 4],
}

impl Stack {
    /// Returns the figure of one view, rounded. It may be negative in a difference.
    pub(super) fn value(&self, view: View) -> i64 {
        let scale = math::SCALE as i64;
        let value = self.values[view as usize];
        (value + scale / 2 * value.signum()) / scale
    }
}

/// A heap profile: the samples up to one moment, or between two. Feature `profiling`.
///
/// Its figures are estimates, scaled from the samples to all allocations.
///
/// ```
/// # #[global_allocator]
/// # static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();
/// # if greyspan::Stats::FORWARDS { return Ok(()); }
/// use greyspan::profile::{self, Profile, View};
///
/// profile::start(1 << 10)?;
/// assert_eq!(profile::rate(), Some(1 << 10));
/// let before = Profile::take();
/// let kept: Vec<Vec<u8>> = (0..100).map(|_| vec![7; 10_000]).collect();
/// let delta = Profile::take().diff(&before);
/// profile::stop();
/// assert!(!profile::is_active());
///
/// let bytes = delta.total(View::InuseSpace);
/// assert!((800_000..1_200_000).contains(&bytes), "{bytes}");
/// assert_eq!(delta.lost(), 0);
/// drop(kept);
///
/// // What the writers show: here objects, whether or not they are freed.
/// let delta = delta.with_view(View::AllocObjects);
/// assert_eq!(delta.view().name(), ("alloc_objects", "count"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Profile {
    pub(super) stacks: Vec<Stack>,
    pub(super) taken: SystemTime,
    pub(super) span: Duration,
    pub(super) rate: usize,
    view: View,
    lost: u64,
}

impl Clone for Profile {
    fn clone(&self) -> Self {
        Self {
            stacks: unsampled(|| self.stacks.clone()),
            ..*self
        }
    }
}

impl Profile {
    /// Takes the profile as it is now. Stops no thread: samples that other threads take at this
    /// moment may or may not be in it. Its own allocations are not sampled. See the example of
    /// [`Profile`].
    pub fn take() -> Self {
        unsampled(Self::now)
    }

    fn now() -> Self {
        let mut sums: HashMap<&'static [usize], [i64; 4]> = HashMap::new();
        for node in DEPOT.all() {
            let Counted { allocated, freed } = node.counted();
            let sum = sums.entry(node.frames()).or_default();
            for unit in 0..2 {
                sum[unit] += allocated[unit].cast_signed();
                sum[2 + unit] += allocated[unit].saturating_sub(freed[unit]).cast_signed();
            }
        }
        let stacks = sums.into_iter().map(|(frames, values)| Stack {
            frames: frames.to_vec(),
            values,
        });
        Self::new(stacks.collect(), DEPOT.lost())
    }

    fn new(mut stacks: Vec<Stack>, lost: u64) -> Self {
        stacks.retain(|stack| stack.values != [0; 4]);
        stacks.sort_by(|a, b| a.frames.cmp(&b.frames));
        Self {
            stacks,
            taken: SystemTime::now(),
            span: Duration::ZERO,
            rate: sampler::period(),
            view: View::default(),
            lost,
        }
    }

    /// Returns the change since `base`, an earlier profile of this process. Figures may be
    /// negative. See the example of [`Profile`].
    #[must_use]
    pub fn diff(&self, base: &Self) -> Self {
        unsampled(|| self.changed(base))
    }

    fn changed(&self, base: &Self) -> Self {
        let mut stacks = self.stacks.clone();
        stacks.extend(base.stacks.iter().map(|stack| Stack {
            frames: stack.frames.clone(),
            values: stack.values.map(|value| -value),
        }));
        stacks.sort_by(|a, b| a.frames.cmp(&b.frames));
        stacks.dedup_by(|next, sum| {
            let same = next.frames == sum.frames;
            if same {
                for (sum, value) in sum.values.iter_mut().zip(next.values) {
                    *sum += value;
                }
            }
            same
        });
        Self {
            taken: self.taken,
            span: self.taken.duration_since(base.taken).unwrap_or_default(),
            rate: self.rate,
            view: self.view,
            ..Self::new(stacks, self.lost.saturating_sub(base.lost))
        }
    }

    /// Returns the profile with `view` as its view. Formats with one figure show that view, and
    /// pprof shows it first. The default is [`View::InuseSpace`]. See the example of [`Profile`].
    #[must_use]
    pub fn with_view(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// Returns the view set by [`with_view`](Self::with_view). See the example of [`Profile`].
    pub fn view(&self) -> View {
        self.view
    }

    /// Returns the sum over all stacks, in objects or bytes. It is an unbiased estimate, more
    /// accurate with more samples. See the example of [`Profile`].
    pub fn total(&self, view: View) -> i64 {
        self.stacks.iter().map(|stack| stack.value(view)).sum()
    }

    /// Returns the number of samples that could not be taken, because the tables were full or the
    /// system refused memory. The objects that they stood for are missing from the profile. See
    /// the example of [`Profile`].
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// Returns the change from `base` to `now`, like pprof's `-base`. Same as [`Profile::diff`]. See
/// the example of [`Profile`]. Feature `profiling`.
#[must_use]
pub fn diff(now: &Profile, base: &Profile) -> Profile {
    now.diff(base)
}
