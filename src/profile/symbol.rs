//! Names of addresses, found when a profile is written.

#![forbid(unsafe_code)]

use crate::base::addr::code_at;
use std::collections::HashMap;

/// One function at an address: where others were inlined into it, there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// What addresses are called.
pub(super) struct Symbols(HashMap<usize, Vec<Function>>);

/// The call of a return address: the address itself may be in the line, or the function, behind.
pub(super) fn call_site(frame: usize) -> usize {
    frame.saturating_sub(1)
}

impl Symbols {
    /// Looks up the frames of all these stacks.
    pub(super) fn of<'a>(stacks: impl Iterator<Item = &'a [usize]>) -> Self {
        let mut found = HashMap::new();
        for &frame in stacks.flatten() {
            found.entry(frame).or_insert_with(|| look_up(frame));
        }
        Self(found)
    }

    /// The functions at a frame, the innermost first; none where nothing is known.
    pub(super) fn at(&self, frame: usize) -> &[Function] {
        self.0.get(&frame).map_or(&[], Vec::as_slice)
    }

    /// The frames of a stack without those at its inner end that are the allocator's own and the standard library's way to it.
    pub(super) fn visible<'a>(&self, frames: &'a [usize]) -> &'a [usize] {
        let own = frames
            .iter()
            .take_while(|&&frame| {
                self.at(frame)
                    .last()
                    .is_some_and(|function| is_allocator(&function.name))
            })
            .count();
        // A stack of nothing else is shown as it is.
        frames.get(own..).filter(|rest| !rest.is_empty()).unwrap_or(frames)
    }

    /// As [`visible`](Self::visible), of the functions that were inlined at one frame.
    pub(super) fn functions(&self, frame: usize) -> &[Function] {
        let all = self.at(frame);
        let own = all.iter().take_while(|function| is_allocator(&function.name)).count();
        all.get(own..).filter(|rest| !rest.is_empty()).unwrap_or(all)
    }
}

fn look_up(frame: usize) -> Vec<Function> {
    let mut functions = Vec::new();
    backtrace::resolve(code_at(call_site(frame)), |symbol| {
        let Some(name) = symbol.name() else { return };
        functions.push(Function {
            // Without the hash at the end.
            name: format!("{name:#}"),
            file: symbol
                .filename()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            line: symbol.lineno().unwrap_or(0),
        });
    });
    functions
}

/// Whether a function only carries a request from the program to the tiers.
fn is_allocator(name: &str) -> bool {
    const EXACT: [&str; 9] = [
        "__rust_alloc",
        "__rust_alloc_zeroed",
        "__rust_realloc",
        "__rustc::__rust_alloc",
        "__rustc::__rust_alloc_zeroed",
        "__rustc::__rust_realloc",
        "alloc::alloc::alloc",
        "alloc::alloc::alloc_zeroed",
        "alloc::alloc::realloc",
    ];
    const WITHIN: [&str; 9] = [
        "greyspan::heap::",
        "greyspan::mcache::",
        "greyspan::profile::unwind",
        "greyspan::api::",
        "<greyspan::heap::",
        "<greyspan::api::",
        "alloc::alloc::Global",
        "alloc::alloc::exchange_malloc",
        "<alloc::alloc::Global",
    ];
    EXACT.contains(&name)
        || WITHIN.iter().any(|module| name.starts_with(module))
        || name.contains("__rg_alloc")
        || name.contains("__rg_realloc")
        || name.contains("__rust_alloc")
        || name.contains("__rust_realloc")
}
