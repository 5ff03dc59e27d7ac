//! Faults made on purpose: in the models' builds, the environment variable `GREYSPAN_FAULT` names a rule to break, and the model of that rule
//! must then fail (`.ci/loom.sh`). Everywhere else no rule is ever broken, and the tests below are gone at compile time.

/// Whether the rule `name` is to be broken.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn broken(_name: &str) -> bool {
    false
}

/// Whether the rule `name` is to be broken.
#[cfg(loom)]
pub(crate) fn broken(name: &str) -> bool {
    thread_local! {
        static FAULT: String = std::env::var("GREYSPAN_FAULT").unwrap_or_default();
    }
    FAULT.with(|fault| fault == name)
}
