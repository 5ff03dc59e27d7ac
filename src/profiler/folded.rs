//! Folded stacks: one line for each, as Brendan Gregg's `stackcollapse` scripts write them.

#![forbid(unsafe_code)]

use super::snapshot::Profile;
use super::symbol::Symbols;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The lines of a profile's view: path and figure, by path. What is not positive is left out.
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

/// The functions of a stack, the outermost first.
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
            // What separates frames cannot be in one; a name may hold it in an array's type.
            write!(out, "{separator}{}", name.replace(';', ","))?;
        }
        writeln!(out, " {value}")?;
    }
    Ok(())
}
