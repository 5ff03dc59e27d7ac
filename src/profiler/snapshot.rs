//! [`Profile`]: what the depot held at one moment, and the difference of two such.

#![forbid(unsafe_code)]

use super::depot::Counted;
use super::own::unsampled;
use super::{DEPOT, math, sampler};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// One of the four figures of a [`Profile`], in the order in which pprof files have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// Objects allocated since the first start, freed or not.
    AllocObjects,
    /// Bytes allocated since the first start, freed or not.
    AllocSpace,
    /// Objects in use.
    InuseObjects,
    /// Bytes in use.
    #[default]
    InuseSpace,
}

impl View {
    /// All, in the order of the columns.
    pub const ALL: [Self; 4] = [
        Self::AllocObjects,
        Self::AllocSpace,
        Self::InuseObjects,
        Self::InuseSpace,
    ];

    /// Go's name of it, and its unit: `alloc_objects` in `count`, `inuse_space` in `bytes`.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::AllocObjects => ("alloc_objects", "count"),
            Self::AllocSpace => ("alloc_space", "bytes"),
            Self::InuseObjects => ("inuse_objects", "count"),
            Self::InuseSpace => ("inuse_space", "bytes"),
        }
    }

    /// The view with Go's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name().0 == name)
    }
}

/// One stack, and its figures in 1/256.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// Return addresses, the innermost first.
    pub(super) frames: Vec<usize>,
    values: [i64; 4],
}

impl Stack {
    /// The figure of one view, which may be negative in a difference.
    pub(super) fn value(&self, view: View) -> i64 {
        let scale = math::SCALE as i64;
        let value = self.values[view as usize];
        (value + scale / 2 * value.signum()) / scale
    }
}

/// A heap profile: what was sampled up to one moment, or between two.
///
/// ```
/// # #[global_allocator]
/// # static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();
/// use greyspan::profile::{self, Profile, View};
///
/// profile::start(1 << 10)?;
/// let before = Profile::take();
/// let kept: Vec<Vec<u8>> = (0..100).map(|_| vec![7; 10_000]).collect();
/// let delta = Profile::take().diff(&before);
/// let bytes = delta.total(View::InuseSpace);
/// assert!((800_000..1_200_000).contains(&bytes), "{bytes}");
/// drop(kept);
/// profile::stop();
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
    /// The profile as it is now. Stops nobody: other threads' samples of the moment may be in it or not.
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

    /// What has changed since `base`, an earlier profile of this process: figures may be negative.
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

    /// The same, shown by `view` where a form of output shows one figure, and by pprof at first. Bytes in use unless set.
    #[must_use]
    pub fn with_view(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// What [`with_view`](Self::with_view) has set.
    pub fn view(&self) -> View {
        self.view
    }

    /// The sum over all stacks. An estimate: true in the mean, the nearer the more samples there are.
    pub fn total(&self, view: View) -> i64 {
        self.stacks.iter().map(|stack| stack.value(view)).sum()
    }

    /// Samples that had to be given up, because the tables were full or memory was refused. What they stood for is missing.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// What has changed from `base` to `now`: as pprof's `-base`.
#[must_use]
pub fn diff(now: &Profile, base: &Profile) -> Profile {
    now.diff(base)
}
