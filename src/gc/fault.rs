//! Faults made on purpose: in the models' builds, the environment variable `GREYSPAN_FAULT` names rules to break, and the model of that rule
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
    FAULT.with(|faults| faults.split(',').any(|fault| fault == name))
}

/// A named point inside an operation, where a scripted model may let others act.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn at(_point: &str) {}

#[cfg(loom)]
#[cfg_attr(not(test), expect(unused_imports, reason = "for the scripts of the models"))]
pub(crate) use script::{at, forget, when};

#[cfg(loom)]
mod script {
    use std::cell::RefCell;

    type Act = Box<dyn FnOnce()>;

    thread_local! {
        static SCRIPT: RefCell<Option<(&'static str, Act)>> = const { RefCell::new(None) };
    }

    /// Once, when the point `point` is reached, `act` runs there.
    pub(crate) fn when(point: &'static str, act: impl FnOnce() + 'static) {
        SCRIPT.set(Some((point, Box::new(act))));
    }

    /// Nothing is to happen any more.
    pub(crate) fn forget() {
        drop(SCRIPT.take());
    }

    /// The point `point` is reached.
    pub(crate) fn at(point: &str) {
        let act = SCRIPT.with_borrow_mut(|script| script.take_if(|(wanted, _)| *wanted == point));
        if let Some((_, act)) = act {
            act();
        }
    }
}
