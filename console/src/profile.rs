//! The heap profile as the console needs it, in a build with profiling and in one without. No other
//! module has a `cfg` for that.

use crate::reply::Refusal;

/// The views, by their names in Go's profiles. The first one is the default.
pub(crate) const VIEWS: [&str; 4] = ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"];

#[cfg(feature = "profiling")]
pub(crate) use with::*;
#[cfg(not(feature = "profiling"))]
pub(crate) use without::*;

/// Refuses a request for a profile, in a build without profiling.
#[cfg_attr(feature = "profiling", expect(dead_code))]
fn absent() -> Refusal {
    Refusal::new(
        hyper::StatusCode::NOT_IMPLEMENTED,
        "this program was built without profiling: build greyspan-console with its feature `profiling`",
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

    /// Whether the console has seen the profiler run: then there may be samples to show.
    static SEEN: AtomicBool = AtomicBool::new(false);

    /// Returns the mean number of bytes between two samples, or `None` if sampling is off.
    pub(crate) fn running() -> Option<usize> {
        let rate = rate();
        if rate.is_some() {
            SEEN.store(true, Relaxed);
        }
        rate
    }

    /// Returns whether the console has seen the profiler run.
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
            // Without memory for the profiler's tables, sampling stays off; the page then says so.
            let _ = begin(rate);
        }
    }

    fn view(index: usize) -> View {
        VIEWS
            .get(index)
            .and_then(|name| View::from_name(name))
            .unwrap_or_default()
    }

    /// Returns the profile with the view at `index` in [`VIEWS`] as the one that is shown first.
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

    /// Takes the profile as it is now.
    pub(crate) fn take() -> Result<Profile, Refusal> {
        Ok(Profile::take())
    }
}

#[cfg(not(feature = "profiling"))]
mod without {
    use super::absent;
    use crate::reply::Refusal;

    pub(crate) const CAN_PROFILE: bool = false;

    /// Stands for the profile in a build that has none.
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
