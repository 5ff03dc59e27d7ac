//! The table of options: one row per option with its key, its form, its help and its value in the
//! listing. The parser, the warnings and the listing read it.

use super::form::Form;
use super::limit::SoftLimit;
use super::listing::Value;
use super::{Huge, Options};

/// One option.
pub(super) struct Row {
    pub(super) key: &'static str,
    pub(super) form: Form,
    /// Returns the value for the listing.
    pub(super) show: fn(&Options) -> Value,
    pub(super) help: &'static str,
}

pub(super) static TABLE: &[Row] = &[
    Row {
        key: "PURGE_DELAY",
        form: Form::Millis(|options, millis| options.purge_delay_ms = millis),
        show: |options| Value::Millis(options.purge_delay_ms),
        help: "how long idle memory stays with the program",
    },
    Row {
        key: "MEMLIMIT",
        form: Form::Limit(|options, limit| options.memory_limit = limit),
        show: |options| match (options.memory_limit, options.found) {
            (SoftLimit::Bytes(bytes), _) => Value::Bytes(Some(bytes)),
            (SoftLimit::Off, _) | (SoftLimit::Auto, None) => Value::Bytes(None),
            (SoftLimit::Percent(percent), None) => Value::Percent(Some(percent)),
            (_, Some(found)) => Value::Bytes(Some(found.bytes)),
        },
        help: "soft limit: above it, free memory is returned at once",
    },
    Row {
        key: "HARD_LIMIT",
        form: Form::Size(|options, bytes| options.hard_limit = Some(bytes)),
        show: |options| Value::Bytes(options.hard_limit),
        help: "hard limit: above it, requests fail",
    },
    Row {
        key: "BACKGROUND",
        form: Form::Switch(|options, on| (options.background, options.background_wanted) = (on, on)),
        show: |options| Value::Switch(options.background),
        help: "a background thread returns idle memory",
    },
    Row {
        key: "THP",
        form: Form::Huge(|options, huge| options.huge = huge),
        show: |options| {
            Value::Word(match options.huge {
                Huge::Auto => "auto",
                Huge::Always => "always",
                Huge::Never => "never",
            })
        },
        help: "transparent huge pages",
    },
    Row {
        key: "VERBOSE",
        form: Form::Switch(|options, on| options.verbose = on),
        show: |options| Value::Switch(options.verbose),
        help: "list the options at the start, and each return of memory",
    },
    Row {
        key: "SHOW_STATS",
        form: Form::Switch(|options, on| options.show_stats = on),
        show: |options| Value::Switch(options.show_stats),
        help: "print the statistics at exit",
    },
    Row {
        key: "GC",
        form: with_gc(Form::Percent(|options, percent| options.gc_percent = percent)),
        show: |options| Value::Percent(options.gc_percent),
        help: "growth of a managed heap before it collects",
    },
    Row {
        key: "TRACE",
        form: with_gc(Form::Name("gc", |options| options.trace_gc = true)),
        show: |options| Value::Word(if options.trace_gc { "gc" } else { "off" }),
        help: "print a line per cycle of the collector",
    },
    Row {
        key: "PROFILE",
        form: with_profiler(Form::Profile(|options, rate| options.profile_rate = Some(rate))),
        show: |options| Value::Rate(options.profile_rate),
        help: "write a heap profile at exit",
    },
];

/// Returns the form of an option of the collector.
const fn with_gc(form: Form) -> Form {
    if cfg!(feature = "gc") {
        form
    } else {
        Form::Without("gc")
    }
}

/// Returns the form of an option of the profiler.
const fn with_profiler(form: Form) -> Form {
    if cfg!(sampling) {
        form
    } else {
        Form::Without("profiling")
    }
}
