//! The heap map for a terminal: one mark for a few pages, one row for a huge page or more.

use super::cells::{Cell, cells, pages_per_cell};
use super::{Arena, HeapMap, Kind};
use crate::stats::{Human, why_empty};
use std::fmt;

/// The marks in a row, the least pages per mark, and the most rows.
const COLUMNS: u64 = 64;
const LEAST: u64 = 4;
const ROWS: u64 = 48;
/// The cells of a bar that shows a share.
const BAR: u64 = 16;

/// The marks of spans of small objects, by quarters.
const QUARTERS: [char; 4] = ['░', '▒', '▓', '█'];

const fn mark(kind: Kind) -> char {
    match kind {
        Kind::Small => '█',
        Kind::Large => '=',
        Kind::Managed => 'g',
        Kind::Spare => 'o',
        Kind::Changing => '?',
        Kind::Free => '-',
        Kind::Room => ':',
        Kind::Released => '.',
    }
}

fn mark_of(cell: &Cell) -> char {
    if cell.kind == Kind::Small {
        QUARTERS.get(cell.quarter() - 1).copied().unwrap_or('█')
    } else {
        mark(cell.kind)
    }
}

/// Returns `part` in percent of `whole`, rounded; 0 if `whole` is 0.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    (part * 100 + whole / 2).checked_div(whole).unwrap_or(0)
}

impl fmt::Display for HeapMap {
    /// Prints a picture with its legend and a table of the size classes. In a small heap a row is 2
    /// MiB; in a larger one it is more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = pages_per_cell(self, COLUMNS, LEAST, ROWS);
        let (cell, row) = (pages * Self::PAGE_BYTES, pages * COLUMNS * Self::PAGE_BYTES);
        writeln!(
            f,
            "Greyspan {} heap map: {} ready for use, {} in use",
            env!("CARGO_PKG_VERSION"),
            Short(self.ready()),
            Short(self.in_use())
        )?;
        if let Some(why) = why_empty(self.has_served) {
            writeln!(f, "{why}")?;
        }
        writeln!(
            f,
            "one mark is {}, one row {}; a mark shows the use of most of its pages\n",
            Short(cell),
            Short(row)
        )?;
        for kind in Kind::ALL.into_iter().filter(|&kind| self.bytes(kind) > 0) {
            let marks: String = if kind == Kind::Small {
                QUARTERS.iter().collect()
            } else {
                format!("{}   ", mark(kind))
            };
            writeln!(f, "  {marks}  {}  {}", Human(self.bytes(kind)), kind.meaning())?;
        }
        if self.huge_bytes() > 0 {
            writeln!(
                f,
                "  H     {}  the system was asked for huge pages here",
                Human(self.huge_bytes())
            )?;
        }
        for (number, arena) in self.arenas.iter().enumerate() {
            Self::write_arena(f, number, arena, pages)?;
        }
        self.write_classes(f)
    }
}

impl HeapMap {
    /// Writes an arena's heading, and its rows of marks for `pages` pages each.
    fn write_arena(f: &mut fmt::Formatter<'_>, number: usize, arena: &Arena, pages: u64) -> fmt::Result {
        let row = pages * COLUMNS * Self::PAGE_BYTES;
        writeln!(
            f,
            "\narena {number}, pages from {:#x} on: {} ready of {} mapped, {} of tables",
            arena.first(),
            Short(arena.ready()),
            Short(arena.reserved),
            Short(arena.tables)
        )?;
        let mut cells = cells(arena, pages).peekable();
        let mut at = 0;
        let mut huge = arena.huge.chunks((row / Self::HUGE_BYTES).max(1) as usize);
        writeln!(f, "     offset   {:width$}   in use", "", width = COLUMNS as usize)?;
        while cells.peek().is_some() {
            let asked = huge.next().is_some_and(|huge| huge.contains(&true));
            write!(f, "  {} {}|", Human(at), if asked { 'H' } else { ' ' })?;
            let (mut used, mut all) = (0, 0);
            for _ in 0..COLUMNS {
                let cell = cells.next();
                write!(f, "{}", cell.as_ref().map_or(' ', mark_of))?;
                let Some(cell) = cell else { continue };
                used += cell.used;
                all += cell.pages;
            }
            writeln!(f, "|{:>6} %", percent(used, all))?;
            at += row;
        }
        Ok(())
    }

    fn write_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nthe spans of small objects, by size class")?;
        let classes = self.classes();
        if classes.is_empty() {
            return writeln!(f, "  none");
        }
        writeln!(
            f,
            "  {:>12}{:>10}{:>14}{:>14}{:>14}  full",
            "object bytes", "spans", "memory", "room for", "objects"
        )?;
        for class in classes {
            let share = percent(class.live, class.objects);
            let filled = (share * BAR).div_ceil(100).min(BAR) as usize;
            writeln!(
                f,
                "  {:>12}{:>10}    {}{:>14}{:>14}  {}{} {share:>3} %",
                class.size,
                class.spans,
                Human(class.bytes),
                class.objects,
                class.live,
                "█".repeat(filled),
                "░".repeat(BAR as usize - filled),
            )?;
        }
        Ok(())
    }
}

/// Bytes in a readable unit, without padding.
pub(super) struct Short(pub(super) u64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Human(self.0).to_string();
        let text = text.trim();
        f.write_str(text)
    }
}
