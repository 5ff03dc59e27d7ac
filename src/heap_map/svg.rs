//! The heap map for a browser: one SVG without scripts or outside resources, readable on light and
//! on dark ground.
//!
//! Adjacent cells of the same look become one rectangle with a tool tip. One style sheet holds the
//! colours twice, and the viewer's preference selects.

use super::cells::{Cell, cells, pages_per_cell};
use super::text::{Short, percent};
use super::{Arena, ClassUse, HeapMap, Kind, Usage};
use crate::stats::why_empty;
use std::fmt::Write;

/// The cells in a row, the least pages per cell, and the most rows of the map.
const COLUMNS: u64 = 128;
const LEAST: u64 = 2;
const ROWS: u64 = 96;
/// The most size classes that get a bar.
const CLASSES: usize = 24;

/// Lengths in the picture's units.
const WIDTH: u64 = 960;
const LEFT: u64 = 88;
const CELL_WIDTH: u64 = 6;
const ROW_HEIGHT: u64 = 12;
const LINE: u64 = 18;

const STYLE: &str = "\
svg{--ground:#fff;--ink:#1f2328;--soft:#656d76;--line:#d0d7de;--s1:#c6dbef;--s2:#8fbce0;--s3:#4c93cb;--s4:#1f6fb2;\
--large:#e8943a;--managed:#8a5cc2;--spare:#79b8a9;--changing:#d1384a;--free:#f3d878;--room:#e6e9ed;--released:#f4f6f8;\
background:var(--ground);color-scheme:light dark}\
@media (prefers-color-scheme:dark){svg{--ground:#0d1117;--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--s1:#1c3a57;--s2:#27608f;--s3:#3d8fd1;--s4:#7cc4ff;\
--large:#f0a14a;--managed:#b28cf0;--spare:#5a9d8e;--changing:#ff6b78;--free:#b39434;--room:#2b323b;--released:#171d25}}\
text{font:12px system-ui,sans-serif;fill:var(--ink)}.soft{fill:var(--soft)}.title{font-size:18px;font-weight:600}.head{font-weight:600}\
.end{text-anchor:end}.ground{fill:var(--ground)}.frame{fill:none;stroke:var(--line)}\
.s1{fill:var(--s1)}.s2{fill:var(--s2)}.s3{fill:var(--s3)}.s4{fill:var(--s4)}.large{fill:var(--large)}.managed{fill:var(--managed)}\
.spare{fill:var(--spare)}.changing{fill:var(--changing)}.free{fill:var(--free)}.room{fill:var(--room)}.released{fill:var(--released)}";

const SHADES: [&str; 4] = ["s1", "s2", "s3", "s4"];

fn shade(cell: &Cell) -> &'static str {
    if cell.kind == Kind::Small {
        SHADES.get(cell.quarter() - 1).copied().unwrap_or("s4")
    } else {
        cell.kind.name()
    }
}

/// The picture as drawn so far.
struct Picture {
    text: String,
    /// The place of the next line.
    y: u64,
}

/// Appends to the picture's text, which cannot fail.
macro_rules! draw {
    ($picture:expr, $($arg:tt)*) => {
        let _ = write!($picture.text, $($arg)*);
    };
}

impl HeapMap {
    /// Returns the map as a self-contained SVG picture: the pages of each arena, a legend, and how
    /// full the size classes are. Tool tips explain the cells. It follows the viewer's preference
    /// for light or dark. See the example of [`heap_map()`](crate::heap_map()).
    pub fn to_svg(&self) -> String {
        let pages = pages_per_cell(self, COLUMNS, LEAST, ROWS);
        let mut picture = Picture {
            text: String::new(),
            y: 34,
        };
        picture.head(self, pages);
        picture.legend(self);
        for (number, arena) in self.arenas.iter().enumerate() {
            picture.arena(number, arena, pages);
        }
        picture.classes(&self.classes());
        let height = picture.y + 8;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
             aria-label=\"Greyspan heap map\">\n<style>{STYLE}</style>\n<rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n{}</svg>\n",
            picture.text
        )
    }
}

impl Picture {
    fn label(&mut self, x: u64, class: &str, words: &str) {
        draw!(
            self,
            "<text x=\"{x}\" y=\"{}\" class=\"{class}\">{words}</text>\n",
            self.y
        );
    }

    fn head(&mut self, map: &HeapMap, pages: u64) {
        self.label(16, "title", "Heap map");
        self.y += LINE + 4;
        let cell = pages * HeapMap::PAGE_BYTES;
        let words = format!(
            "{} ready for use, {} in use. One cell is {}, one row {}; its colour shows the use of most of its pages.",
            Short(map.ready()),
            Short(map.in_use()),
            Short(cell),
            Short(cell * COLUMNS)
        );
        self.label(16, "soft", &words);
        self.y += LINE;
        if let Some(why) = why_empty(map.has_served) {
            self.label(16, "head", why);
            self.y += LINE;
        }
    }

    /// Draws a patch, an amount and a line for each kind that the map has.
    fn legend(&mut self, map: &HeapMap) {
        for kind in Kind::ALL.into_iter().filter(|&kind| map.bytes(kind) > 0) {
            let top = self.y;
            if kind == Kind::Small {
                for (index, shade) in SHADES.iter().enumerate() {
                    draw!(
                        self,
                        "<rect x=\"{}\" y=\"{top}\" width=\"13\" height=\"12\" class=\"{shade}\"/>\n",
                        16 + 13 * index
                    );
                }
            } else {
                let class = kind.name();
                draw!(
                    self,
                    "<rect x=\"16\" y=\"{top}\" width=\"52\" height=\"12\" class=\"{class}\"/>\n"
                );
            }
            draw!(
                self,
                "<rect x=\"16.5\" y=\"{top}.5\" width=\"51\" height=\"11\" class=\"frame\"/>\n"
            );
            self.y += 11;
            let bytes = Short(map.bytes(kind)).to_string();
            self.label(150, "end", &bytes);
            let share = format!("{} %", percent(map.bytes(kind), map.ready()));
            self.label(196, "end soft", &share);
            self.label(208, "", kind.meaning());
            self.y += LINE - 11;
        }
        if map.huge_bytes() > 0 {
            draw!(
                self,
                "<rect x=\"41\" y=\"{}\" width=\"2\" height=\"12\" class=\"large\"/>\n",
                self.y
            );
            self.y += 11;
            let bytes = Short(map.huge_bytes()).to_string();
            self.label(150, "end", &bytes);
            self.label(208, "", "the system was asked for huge pages here");
            self.y += LINE - 11;
        }
        self.y += LINE;
    }

    fn arena(&mut self, number: usize, arena: &Arena, pages: u64) {
        self.y += 8;
        let words = format!("Arena {number}");
        self.label(16, "head", &words);
        let words = format!(
            "pages from {:#x} on: {} ready of {} of address space, {} of tables",
            arena.first(),
            Short(arena.ready()),
            Short(arena.reserved),
            Short(arena.tables)
        );
        self.label(LEFT, "soft", &words);
        self.label(WIDTH - 16, "end soft", "in use");
        self.y += 8;
        let row = pages * COLUMNS * HeapMap::PAGE_BYTES;
        let mut at = 0;
        let mut huge = arena.huge.chunks((row / HeapMap::HUGE_BYTES).max(1) as usize);
        let mut cells = cells(arena, pages).peekable();
        while cells.peek().is_some() {
            let line: Vec<Cell> = cells.by_ref().take(COLUMNS as usize).collect();
            let asked = huge.next().is_some_and(|huge| huge.contains(&true));
            self.row(at, asked, &line);
            at += row;
        }
        self.y += LINE;
    }

    fn row(&mut self, at: u64, asked: bool, line: &[Cell]) {
        let top = self.y;
        self.y += ROW_HEIGHT - 2;
        let offset = Short(at).to_string();
        self.label(LEFT - 8, "end soft", &offset);
        let alike = |a: &Cell, b: &Cell| shade(a) == shade(b) && (a.kind != Kind::Large || !b.begins);
        let mut x = LEFT;
        for part in line.chunk_by(alike) {
            let width = part.len() as u64 * CELL_WIDTH;
            let class = part.first().map_or("", shade);
            draw!(
                self,
                "<rect x=\"{x}\" y=\"{top}\" width=\"{}\" height=\"{}\" class=\"{class}\"><title>{}</title></rect>\n",
                // The gap keeps adjacent objects and spans apart.
                width - 1,
                ROW_HEIGHT - 1,
                tip(part)
            );
            x += width;
        }
        if asked {
            draw!(
                self,
                "<rect x=\"{}\" y=\"{top}\" width=\"2\" height=\"{}\" class=\"large\"><title>the system was asked for huge pages here</title></rect>\n",
                LEFT - 4,
                ROW_HEIGHT - 1
            );
        }
        let (used, all) = line
            .iter()
            .fold((0, 0), |(used, all), cell| (used + cell.used, all + cell.pages));
        let share = format!("{} %", percent(used, all));
        self.label(WIDTH - 16, "end soft", &share);
        self.y = top + ROW_HEIGHT;
    }

    /// Draws a bar for each of the classes with the most memory: its length shows their share, its
    /// filled part how full they are.
    fn classes(&mut self, classes: &[ClassUse]) {
        let mut most: Vec<&ClassUse> = classes.iter().collect();
        most.sort_by_key(|class| core::cmp::Reverse(class.bytes));
        most.truncate(CLASSES);
        most.sort_by_key(|class| class.size);
        let Some(longest) = most.iter().map(|class| class.bytes).max().filter(|&bytes| bytes > 0) else {
            return;
        };
        self.y += 8;
        self.label(16, "head", "Size classes");
        let words = "with the most memory: a bar shows a class's spans, its filled part the objects in them";
        self.label(104, "soft", words);
        self.y += LINE + 2;
        for class in most {
            let size = format!("{} B", class.size);
            self.label(LEFT - 8, "end", &size);
            let width = (class.bytes * 520 / longest).max(2);
            let full = width * class.live.min(class.objects) / class.objects.max(1);
            draw!(
                self,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"11\" class=\"s1\"/>\
                 <rect x=\"{LEFT}\" y=\"{y}\" width=\"{full}\" height=\"11\" class=\"s4\"/>\n",
                y = self.y - 10
            );
            let words = format!(
                "{} in {} spans, {} of {} objects ({} %)",
                Short(class.bytes),
                class.spans,
                class.live,
                class.objects,
                percent(class.live, class.objects)
            );
            self.label(LEFT + width + 8, "soft", &words);
            self.y += LINE - 2;
        }
        self.y += 8;
    }
}

/// Describes cells of one look, for a tool tip.
fn tip(part: &[Cell]) -> String {
    let Some(first) = part.first() else {
        return String::new();
    };
    let bytes = part.iter().map(|cell| cell.pages).sum::<u64>() * HeapMap::PAGE_BYTES;
    let what = match first.first.usage {
        Usage::Small { size, .. } if first.kind == Kind::Small => {
            let (live, room) = part
                .iter()
                .fold((0, 0), |(live, room), cell| (live + cell.live, room + cell.room));
            let same = part
                .iter()
                .all(|cell| matches!(cell.first.usage, Usage::Small { size: other, .. } if other == size));
            let sizes = if same {
                format!(" of {size} bytes")
            } else {
                String::new()
            };
            format!("small objects{sizes}, spans {} % full", percent(live, room))
        }
        Usage::Large { bytes } if first.kind == Kind::Large => format!("a large object of {bytes} bytes"),
        _ => first.kind.meaning().to_owned(),
    };
    format!("{:#x}, {}: {what}", first.first.address, Short(bytes))
}
