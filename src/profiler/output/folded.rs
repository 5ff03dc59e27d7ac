//! Folded stacks: one line per stack, in the format of Brendan Gregg's `stackcollapse` scripts.

#![forbid(unsafe_code)]

use super::snapshot::Profile;
use super::symbol::Symbols;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Returns the lines of a profile's view, path and figure, by path. Leaves out figures that are not
/// positive.
pub(super) fn lines(profile: &Profile) -> BTreeMap<Vec<String>, u64> {
    let symbols = Symbols::of(profile.stacks.iter().map(|stack| stack.frames.as_slice()));
    let mut sums: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    for stack in &profile.stacks {
        let value = stack.value(profile.view());
        if value != 0 {
            *sums.entry(path(&symbols, &stack.frames)).or_default() += value;
        }
    }
    let positive = |(path, value)| Some((path, u64::try_from(value).ok().filter(|&value| value > 0)?));
    sums.into_iter().filter_map(positive).collect()
}

/// Returns the functions of a stack, the outermost first.
fn path(symbols: &Symbols, frames: &[usize]) -> Vec<String> {
    let mut path = Vec::new();
    for &frame in symbols.visible(frames).iter().rev() {
        match symbols.functions(frame) {
            [] => path.push(format!("0x{frame:x}")),
            functions => path.extend(functions.iter().rev().map(|function| function.name.to_string())),
        }
    }
    if path.is_empty() {
        path.push("(stack unknown)".to_owned());
    }
    path
}

pub(crate) fn write(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    for (path, value) in lines(profile) {
        for (place, name) in path.iter().enumerate() {
            let separator = if place == 0 { "" } else { ";" };
            // `;` separates frames, so a name must not hold it; an array's type may.
            write!(out, "{separator}{}", name.replace(';', ","))?;
        }
        writeln!(out, " {value}")?;
    }
    Ok(())
}
