//! [`Backoff`]: how a thread waits for another one that sends no signal.

#[cfg(not(greyspan_loom))]
use core::time::Duration;

/// Waits a little, longer each time.
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(0)
    }

    pub(crate) fn wait(&mut self) {
        #[cfg(not(greyspan_loom))]
        match self.0 {
            0..16 => core::hint::spin_loop(),
            16..32 => std::thread::yield_now(),
            round => std::thread::sleep(Duration::from_micros(20 * u64::from((round - 31).min(50)))),
        }
        #[cfg(greyspan_loom)]
        crate::sync::spin_hint();
        self.0 = self.0.saturating_add(1);
    }

    /// Returns whether the waiting has lasted some milliseconds, and then at every eighth wait.
    #[cfg(not(greyspan_loom))]
    pub(crate) fn is_long(&self) -> bool {
        self.0 >= 64 && self.0.is_multiple_of(8)
    }
}
