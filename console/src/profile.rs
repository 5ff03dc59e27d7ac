//! The heap profile as the console needs it, in a build with profiling and in one without. Only here stands which it is.

use crate::reply::Refusal;

/// The views, by their names in Go's profiles; the first is what is shown if nobody asks for another.
pub(crate) const VIEWS: [&str; 4] = ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"];

#[cfg(feature = "profiling")]
pub(crate) use with::*;
#[cfg(not(feature = "profiling"))]
pub(crate) use without::*;

/// What a build is asked for that has no profiles.
#[cfg_attr(feature = "profiling", expect(dead_code))]
fn absent() -> Refusal {
    Refusal::new(
        hyper::StatusCode::NOT_IMPLEMENTED,
        "this program was built without profiling: use greyspan-console with its feature `profiling`",
    )
}

#[cfg(feature = "profiling")]
mod with {
    use super::VIEWS;
    use crate::reply::Refusal;
    pub(crate) use greyspan::profile::{Profile, stop, unsampled};
    use greyspan::profile::{View, is_active, rate, start};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    pub(crate) const CAN_PROFILE: bool = true;

    /// Whether the console has seen the profiler at work: then there may be something to show.
    static SEEN: AtomicBool = AtomicBool::new(false);

    /// The mean bytes between samples; `None`: nothing is sampled.
    pub(crate) fn running() -> Option<usize> {
        let rate = rate();
        if rate.is_some() {
            SEEN.store(true, Relaxed);
        }
        rate
    }

    /// Whether anything was sampled.
    pub(crate) fn was_running() -> bool {
        running();
        SEEN.load(Relaxed)
    }

    pub(crate) fn begin(rate: usize) -> Result<(), Refusal> {
        start(rate)?;
        SEEN.store(true, Relaxed);
        Ok(())
    }

    pub(crate) fn begin_if_off(rate: usize) {
        if !is_active() {
            // Without memory for its tables there is no profile, and the console says so where one is asked for.
            let _ = begin(rate);
        }
    }

    fn view(index: usize) -> View {
        VIEWS
            .get(index)
            .and_then(|name| View::from_name(name))
            .unwrap_or_default()
    }

    /// A profile shown by the view with this place in [`VIEWS`].
    pub(crate) fn shown(profile: Profile, index: usize) -> Profile {
        profile.with_view(view(index))
    }

    pub(crate) fn total(profile: &Profile, index: usize) -> i64 {
        profile.total(view(index))
    }

    pub(crate) fn pprof(profile: &Profile) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        profile.write_pprof(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn folded(profile: &Profile) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        profile.write_folded(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn flamegraph(profile: &Profile) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        profile.write_flamegraph(&mut bytes)?;
        Ok(bytes)
    }

    /// The profile as it is now.
    pub(crate) fn take() -> Result<Profile, Refusal> {
        Ok(Profile::take())
    }
}

#[cfg(not(feature = "profiling"))]
mod without {
    use super::absent;
    use crate::reply::Refusal;

    pub(crate) const CAN_PROFILE: bool = false;

    /// There is none.
    pub(crate) struct Profile;

    impl Profile {
        pub(crate) fn diff(&self, _base: &Self) -> Self {
            Self
        }
    }

    pub(crate) fn running() -> Option<usize> {
        None
    }

    pub(crate) fn was_running() -> bool {
        false
    }

    pub(crate) fn begin(_rate: usize) -> Result<(), Refusal> {
        Err(absent())
    }

    pub(crate) fn begin_if_off(_rate: usize) {}

    pub(crate) fn stop() {}

    pub(crate) fn unsampled<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    pub(crate) fn shown(profile: Profile, _index: usize) -> Profile {
        profile
    }

    pub(crate) fn total(_profile: &Profile, _index: usize) -> i64 {
        0
    }

    pub(crate) fn pprof(_profile: &Profile) -> Result<Vec<u8>, Refusal> {
        Err(absent())
    }

    pub(crate) fn folded(_profile: &Profile) -> Result<Vec<u8>, Refusal> {
        Err(absent())
    }

    pub(crate) fn flamegraph(_profile: &Profile) -> Result<Vec<u8>, Refusal> {
        Err(absent())
    }

    pub(crate) fn take() -> Result<Profile, Refusal> {
        Err(absent())
    }
}
