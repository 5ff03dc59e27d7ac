//! The statistics as JSON, for machines. Users call [`Stats::to_json`]; libgreyspan.so writes the
//! same text into a buffer.

use super::super::{SizeClassStats, Stats};
use super::rows::rows;
use std::fmt::{self, Write};

impl Stats {
    /// Returns the snapshot as one line of JSON:
    ///
    /// ```text
    /// {"version":1,"exact":0,"forwards":0,"has_served":1,"allocated":..,..,
    ///  "stall_ns":[..],"by_size":[{"size":8,"mallocs":..,"frees":..,"spans":..},..]}
    /// ```
    ///
    /// - All values are whole numbers. Some exceed 2^53, beyond which JavaScript rounds.
    /// - `exact` is 1 if the counts are exact ([`EXACT`](Self::EXACT)), `forwards` is 1 if
    ///   Greyspan forwards to the system's allocator ([`FORWARDS`](Self::FORWARDS)).
    /// - The other keys are the names of the fields.
    /// - Within a version, keys may be added but never removed.
    ///
    /// ```
    /// let json = greyspan::stats().to_json();
    /// assert!(json.starts_with(r#"{"version":1,"#) && json.contains(r#""heap_sys":"#));
    /// ```
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_json(&mut text);
        text
    }

    /// Writes the same text as [`to_json`](Self::to_json). Allocates nothing itself.
    ///
    /// # Errors
    /// Those of `text`.
    pub(crate) fn write_json(&self, text: &mut impl Write) -> fmt::Result {
        let (exact, forwards) = (u8::from(Self::EXACT), u8::from(Self::FORWARDS));
        write!(text, "{{\"version\":1,\"exact\":{exact},\"forwards\":{forwards}")?;
        write!(text, ",\"has_served\":{}", u8::from(self.has_served))?;
        for row in rows() {
            write!(text, ",\"{}\":{}", row.name, (row.read)(self))?;
        }
        text.write_str(",\"stall_ns\":[")?;
        for (index, count) in self.stall_ns.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(text, "{comma}{count}")?;
        }
        text.write_str("],\"by_size\":[")?;
        for (index, class) in self.by_size.iter().enumerate() {
            let SizeClassStats {
                size,
                mallocs,
                frees,
                spans,
            } = class;
            let comma = if index == 0 { "" } else { "," };
            write!(
                text,
                "{comma}{{\"size\":{size},\"mallocs\":{mallocs},\"frees\":{frees},\"spans\":{spans}}}"
            )?;
        }
        text.write_str("]}")
    }
}
