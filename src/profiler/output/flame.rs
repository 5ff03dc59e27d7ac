//! The flame graph: an SVG picture that needs only a browser, and works as a plain picture without
//! its script.
//!
//! It follows Brendan Gregg's flame graphs: one box per function, on top of its caller's box, as
//! wide as the function's share of the figure.

#![forbid(unsafe_code)]

use super::folded::lines;
use super::snapshot::{Profile, View};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{self, Write};

/// The width of the drawing without its margins, and the sizes of a box, in pixels.
const WIDTH: f64 = 1180.0;
const ROW: usize = 17;
const MARGIN: f64 = 10.0;
const TOP: usize = 64;
const BOTTOM: usize = 34;
/// The width of a letter in a box.
const GLYPH: f64 = 6.6;
/// Narrower boxes are not drawn.
const NARROWEST: f64 = 0.1;

static SCRIPT: &str = include_str!("flame.js");

#[derive(Default)]
struct Call {
    value: u64,
    callees: BTreeMap<String, Call>,
}

impl Call {
    fn add(&mut self, path: &[String], value: u64) {
        let mut at = self;
        at.value += value;
        for name in path {
            at = at.callees.entry(name.clone()).or_default();
            at.value += value;
        }
    }
}

/// A box to draw: its function, figure, offset in the whole figure, and row.
struct Frame<'a> {
    name: &'a str,
    value: u64,
    start: u64,
    row: usize,
}

/// Returns the boxes of a call and of all calls below it that are wide enough, parents first. A
/// loop instead of recursion, so that the depth of stacks does not matter.
fn frames<'a>(root: &'a Call, name: &'a str) -> Vec<Frame<'a>> {
    let (mut open, mut found) = (vec![(name, root, 0, 0)], Vec::new());
    while let Some((name, call, start, row)) = open.pop() {
        if call.value as f64 / root.value.max(1) as f64 * WIDTH < NARROWEST {
            continue;
        }
        found.push(Frame {
            name,
            value: call.value,
            start,
            row,
        });
        let mut at = start;
        for (name, callee) in &call.callees {
            open.push((name, callee, at, row + 1));
            at += callee.value;
        }
    }
    found
}

/// A text with the special characters of XML escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                letter if letter.is_control() => f.write_str(" ")?,
                letter => write!(f, "{letter}")?,
            }
        }
        Ok(())
    }
}

/// A figure with its unit.
struct Amount(u64, View);

impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let Self(value, view) = *self;
        if view.name().1 != "bytes" {
            return write!(f, "{value} objects");
        }
        let power = (value.max(1).ilog2() / 10).min(4);
        let unit = UNITS.get(power as usize).unwrap_or(&"B");
        let scaled = value as f64 / (1u64 << (10 * power)) as f64;
        write!(f, "{scaled:.*} {unit}", usize::from(power > 0))
    }
}

/// Returns the part of a name that fits into a box.
fn fitting(name: &str, width: f64) -> String {
    let room = ((width - 6.0) / GLYPH).max(0.0) as usize;
    if room < 3 {
        String::new()
    } else if name.chars().count() <= room {
        name.to_owned()
    } else {
        name.chars().take(room - 2).chain("..".chars()).collect()
    }
}

/// Returns a warm colour that depends only on the name, so that a function has the same colour in
/// every picture.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let (hue, light) = (hash % 40 + 8, 62 + (hash >> 8) % 12);
    format!("hsl({hue},85%,{light}%)")
}

pub(crate) fn write(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let mut root = Call::default();
    for (path, value) in lines(profile) {
        root.add(&path, value);
    }
    let (view, all) = (profile.view(), frames(&root, "all"));
    let rows = all.iter().map(|frame| frame.row + 1).max().unwrap_or(1);
    let (width, height) = (WIDTH + 2.0 * MARGIN, TOP + rows * ROW + BOTTOM);
    let (kind, total) = (view.name().0, Amount(root.value, view));
    writeln!(
        out,
        r##"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{width}" height="{height}" viewBox="0 0 {width} {height}" data-width="{WIDTH}">
<title>greyspan heap profile: {kind}</title>
<style>text{{font:11px monospace;fill:#111}} .f{{cursor:pointer}} .f:hover rect{{stroke:#000}} .b{{cursor:pointer;fill:#06c}}
.h{{font:16px sans-serif}} rect.hit{{fill:#c6f!important}}</style>
<rect width="100%" height="100%" fill="#fdf9f0"/>
<text class="h" x="{MARGIN}" y="26">Heap profile: {kind}, {total}</text>
<text class="b" id="reset" x="{MARGIN}" y="48" style="display:none">[whole graph]</text>
<text class="b" id="search" x="{search}" y="26">[search]</text>
<text id="matched" x="{search}" y="48"></text>
<text id="info" x="{MARGIN}" y="{info}"></text>"##,
        search = width - 190.0,
        info = height - 12,
    )?;
    if root.value == 0 {
        writeln!(out, r#"<text x="{MARGIN}" y="{TOP}">Nothing was sampled.</text>"#)?;
    }
    for frame in all.iter().filter(|frame| frame.value > 0) {
        write_frame(out, frame, &root, (height, view))?;
    }
    writeln!(out, "<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>")
}

fn write_frame(out: &mut impl Write, frame: &Frame<'_>, root: &Call, (height, view): (usize, View)) -> io::Result<()> {
    let share = |part: u64| part as f64 / root.value as f64;
    let (start, part) = (share(frame.start), share(frame.value));
    let (x, width) = (start * WIDTH + MARGIN, part * WIDTH);
    let y = height - BOTTOM - (frame.row + 1) * ROW;
    let (name, amount) = (Escaped(frame.name), Amount(frame.value, view));
    let row = frame.row;
    write!(
        out,
        r#"<g class="f" data-x="{start:.9}" data-w="{part:.9}" data-d="{row}" data-n="{name}">"#
    )?;
    write!(out, "<title>{name}: {amount}, {:.2} %</title>", part * 100.0)?;
    let (colour, box_width, box_height) = (colour(frame.name), (width - 0.5).max(0.1), ROW - 1);
    write!(
        out,
        r#"<rect x="{x:.2}" y="{y}" width="{box_width:.2}" height="{box_height}" fill="{colour}"/>"#
    )?;
    let label = fitting(frame.name, width);
    writeln!(
        out,
        r#"<text x="{:.2}" y="{}">{}</text></g>"#,
        x + 3.0,
        y + 12,
        Escaped(&label)
    )
}
