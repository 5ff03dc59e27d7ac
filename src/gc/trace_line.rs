//! `GREYSPAN_TRACE=gc`: one line per cycle in the format of Go's gctrace, so that tools that parse
//! gctrace can parse it.
//!
//! ```text
//! gc 7 @0.512s 3%: 0.012+4.1+0.020 ms clock, 0.012+0.30/3.9/0+0.020 ms cpu,
//!    31->34->16 MB, 32 MB goal, 0 MB stacks, 0 MB globals, 2 P      (all on one line)
//! ```
//!
//! - `clock`: handshake H1; from its end to the end of marking; handshake H3.
//! - `cpu`: H1 and H3 as before, and between them the time of assists, the collector and its
//!   helpers.
//! - `MB`: live bytes at the beginning of the cycle, at the end of the sweep, and found alive.
//! - `stacks` is always 0, because no stack is ever scanned. `globals` are the roots.
//! - `P`: the number of mutators. `(forced)` at the end: `collect` asked for the cycle.

use super::collector::Collector;
use super::cycle::Times;

use super::process;
use crate::os::report;
use crate::sync::tally::Ordering::Relaxed;
use std::time::Duration;

/// Sizes in bytes, taken before the cycle.
pub(crate) struct Sizes {
    pub(crate) before: usize,
    pub(crate) goal: usize,
}

impl Collector {
    /// Writes the line of cycle `number` to standard error.
    pub(crate) fn write_line(&self, times: &Times, sizes: &Sizes, number: u64, forced: bool) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let ns = |nanos: u64| nanos as f64 / 1e6;
        let mb = |bytes: usize| bytes >> 20;
        let age = self.born.elapsed();
        let used = Duration::from_nanos(self.counters.cpu_ns.load(Relaxed));
        let share = 100.0 * used.as_secs_f64() / (age.as_secs_f64() * process::processors() as f64).max(1e-9);
        report::text(&format_args!(
            "gc {number} @{:.3}s {share:.0}%: {:.3}+{:.3}+{:.3} ms clock, {:.3}+{:.3}/{:.3}/{:.3}+{:.3} ms cpu, {}->{}->{} MB, {} MB goal, \
             0 MB stacks, {} MB globals, {} P{}\n",
            age.as_secs_f64(),
            ms(times.t1),
            ms(times.mark.saturating_sub(times.t1)),
            ms(times.t3),
            ms(times.t1),
            ns(times.assists_ns),
            ns(times.collector_ns),
            ns(times.helpers_ns),
            ms(times.t3),
            mb(sizes.before),
            mb(self.bytes.live.load(Relaxed)),
            mb(self.counters.marked_bytes.load(Relaxed) as usize),
            mb(sizes.goal),
            mb(self.roots.bytes()),
            self.mutators(),
            if forced { " (forced)" } else { "" },
        ));
    }
}
