//! The part of the heap that the models of the collector need.

pub(crate) mod source;
