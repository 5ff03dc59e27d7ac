//! The human and machine forms of [`Stats`](super::stats::Stats).
