//! Stands in for `c` in builds without programs in C: no call is nested.

#![forbid(unsafe_code)]

pub(super) mod nested {
    //! Calls that come while another call of the same thread runs.

    use crate::heap::{HEAP, thread};
    use crate::mcache::MCache;

    pub(in crate::heap) fn is_nested(_: &MCache) -> bool {
        false
    }

    /// The thread is about to end: it has no cache from now on.
    pub(in crate::heap) fn before_exit() {
        thread::have_no_cache();
    }

    /// Mends the heap, in the child of a fork.
    pub(in crate::heap) fn mend_in_child() {
        HEAP.mend_in_child(thread::current());
    }
}
