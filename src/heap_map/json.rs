//! The heap map as JSON, for machines.

use super::{Arena, HeapMap, Kind, Usage};
use std::fmt::Write;

/// Appends to a string, which cannot fail.
macro_rules! push {
    ($text:expr, $($arg:tt)*) => {
        let _ = write!($text, $($arg)*);
    };
}

impl HeapMap {
    /// Returns the map as one line of JSON:
    ///
    /// ```text
    /// {"version":1,"page":8192,"huge":2097152,"has_served":1,
    ///  "bytes":{"ready":..,"in_use":..,"huge":..,"small":..,"large":..,"managed":..,
    ///           "spare":..,"changing":..,"free":..,"room":..,"released":..},
    ///  "classes":[{"size":64,"spans":..,"objects":..,"live":..,"bytes":..},..],
    ///  "arenas":[{"address":"0x..","reserved":..,"tables":..,"ready":..,
    ///             "first":"0x..","huge":"0110..",
    ///             "runs":[[pages,"small",size,objects,live],[pages,"large",bytes],
    ///                     [pages,"managed",size,objects],[pages,"free"],..]},..]}
    /// ```
    ///
    /// Runs follow each other without gaps from the address `first`. `huge` of an arena has one
    /// digit per huge page, as [`Arena::huge`](super::Arena::huge). Within a version, keys and
    /// kinds of run may be added but never removed.
    ///
    /// ```
    /// let json = greyspan::heap_map().to_json();
    /// assert!(json.starts_with(r#"{"version":1,"page":8192,"#) && !json.contains('\n'));
    /// ```
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(1024 + self.runs().count() * 24);
        push!(
            text,
            "{{\"version\":1,\"page\":{},\"huge\":{},\"has_served\":{},\"bytes\":{{\"ready\":{},\"in_use\":{},\"huge\":{}",
            Self::PAGE_BYTES,
            Self::HUGE_BYTES,
            u8::from(self.has_served),
            self.ready(),
            self.in_use(),
            self.huge_bytes()
        );
        for kind in Kind::ALL {
            push!(text, ",\"{}\":{}", kind.name(), self.bytes(kind));
        }
        text.push_str("},\"classes\":[");
        for (index, class) in self.classes().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            push!(
                text,
                "{comma}{{\"size\":{},\"spans\":{},\"objects\":{},\"live\":{},\"bytes\":{}}}",
                class.size,
                class.spans,
                class.objects,
                class.live,
                class.bytes
            );
        }
        text.push_str("],\"arenas\":[");
        for (index, arena) in self.arenas.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            push!(
                text,
                "{comma}{{\"address\":\"{:#x}\",\"reserved\":{},\"tables\":{},\"ready\":{},\"first\":\"{:#x}\",\"huge\":\"",
                arena.address,
                arena.reserved,
                arena.tables,
                arena.ready(),
                arena.first()
            );
            text.extend(arena.huge.iter().map(|&asked| if asked { '1' } else { '0' }));
            text.push_str("\",\"runs\":[");
            push_runs(&mut text, arena);
            text.push_str("]}");
        }
        text.push_str("]}");
        text
    }
}

/// Appends the runs of an arena, without the brackets around them.
fn push_runs(text: &mut String, arena: &Arena) {
    for (index, run) in arena.runs.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        push!(text, "{comma}[{},\"{}\"", run.pages, run.usage.kind().name());
        match run.usage {
            Usage::Small { size, objects, live } => {
                push!(text, ",{size},{objects},{live}]");
            }
            Usage::Large { bytes } => {
                push!(text, ",{bytes}]");
            }
            Usage::Managed { size, objects } => {
                push!(text, ",{size},{objects}]");
            }
            _ => {
                push!(text, "]");
            }
        }
    }
}
