//! Workloads and rivals.
