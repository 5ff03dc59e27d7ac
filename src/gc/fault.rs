//! Faults made on purpose. In the models' builds, the environment variable `GREYSPAN_FAULT` names
//! rules to break, and the model of each named rule must then fail (`.ci/loom.sh`). In other builds
//! no rule is ever broken, and the calls below vanish at compile time.

/// Returns whether the rule `name` is broken on purpose.
#[cfg(not(greyspan_loom))]
#[inline(always)]
pub(crate) const fn broken(_name: &str) -> bool {
    false
}

/// Returns whether the rule `name` is broken on purpose.
#[cfg(greyspan_loom)]
pub(crate) use crate::sync::is_broken as broken;

/// Marks a point inside an operation where a scripted model may let other threads act.
#[cfg(not(greyspan_loom))]
#[inline(always)]
pub(crate) const fn at(_point: &str) {}

#[cfg(greyspan_loom)]
#[cfg_attr(not(test), expect(unused_imports, reason = "for the scripts of the models"))]
pub(crate) use script::{at, forget, when};

#[cfg(greyspan_loom)]
mod script {
    use std::cell::RefCell;

    type Act = Box<dyn FnOnce()>;

    thread_local! {
        static SCRIPT: RefCell<Option<(&'static str, Act)>> = const { RefCell::new(None) };
    }

    /// Runs `act` once, when the point `point` is reached.
    pub(crate) fn when(point: &'static str, act: impl FnOnce() + 'static) {
        SCRIPT.set(Some((point, Box::new(act))));
    }

    /// Removes the script.
    pub(crate) fn forget() {
        drop(SCRIPT.take());
    }

    /// Runs the script's action if it waits for the point `point`.
    pub(crate) fn at(point: &str) {
        let act = SCRIPT.with_borrow_mut(|script| script.take_if(|(wanted, _)| *wanted == point));
        if let Some((_, act)) = act {
            act();
        }
    }
}
