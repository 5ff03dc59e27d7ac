//! Names of addresses, found when a profile is written, and remembered: to look one up takes the debug information of its file, tens of MiB in
//! memory. They are let go at once where it is quick to have them again, and otherwise when a profile needed no new name.

#![forbid(unsafe_code)]

use crate::base::addr::code_at;
use crate::sync::blocking::{Arc, Mutex, TryLockError};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// One function at an address: where others were inlined into it, there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// What addresses are called.
pub(super) struct Symbols(HashMap<usize, Arc<[Function]>>);

/// What was looked up before. Whoever finds it locked does without, so that nobody waits: not the child of a `fork` either.
static KNOWN: Mutex<Known> = Mutex::new(Known {
    names: BTreeMap::new(),
    kept: false,
});

struct Known {
    names: BTreeMap<usize, Arc<[Function]>>,
    /// Whether `backtrace` has debug information in memory.
    kept: bool,
}

/// As many addresses as are remembered: some MiB.
const MOST: usize = 1 << 15;
/// What is quick. A program without debug information of its own takes half of it.
const QUICK: Duration = Duration::from_millis(150);

/// The call of a return address: the address itself may be in the line, or the function, behind.
pub(super) fn call_site(frame: usize) -> usize {
    frame.saturating_sub(1)
}

impl Symbols {
    /// Looks up the frames of all these stacks.
    pub(super) fn of<'a>(stacks: impl Iterator<Item = &'a [usize]>) -> Self {
        let mut known = match KNOWN.try_lock() {
            Ok(known) => Some(known),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let (mut found, mut looked_up, begin) = (HashMap::new(), false, Instant::now());
        for &frame in stacks.flatten() {
            found.entry(frame).or_insert_with(|| {
                if let Some(functions) = known.as_ref().and_then(|known| known.names.get(&frame)) {
                    return Arc::clone(functions);
                }
                looked_up = true;
                let functions: Arc<[Function]> = look_up(frame).into();
                if let Some(known) = known.as_mut().filter(|known| known.names.len() < MOST) {
                    known.names.insert(frame, Arc::clone(&functions));
                }
                functions
            });
        }
        if let Some(known) = &mut known {
            let slow = looked_up && begin.elapsed() > QUICK;
            if !slow && (looked_up || known.kept) {
                backtrace::clear_symbol_cache();
            }
            known.kept = slow;
        }
        Self(found)
    }

    /// The functions at a frame, the innermost first; none where nothing is known.
    pub(super) fn at(&self, frame: usize) -> &[Function] {
        self.0.get(&frame).map_or(&[], |functions| functions)
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

/// Whether a function only carries a request on to the tiers: the allocator's own, and at the inner end of a stack the standard library's
/// collections, so that the first function shown is the program's that fills one.
fn is_allocator(name: &str) -> bool {
    const OWN: [&str; 5] = [
        "greyspan::heap::",
        "greyspan::mcache::",
        "greyspan::profiler::stack",
        "greyspan::profiler::unwind::",
        "greyspan::api::",
    ];
    const LIBRARY: [&str; 4] = ["alloc::", "core::", "std::", "hashbrown::"];
    // `<alloc::string::String as core::fmt::Write>::write_str`, and `<u32 as core::fmt::Display>::fmt`, since the program's types have paths.
    let path = match name.strip_prefix('<').and_then(|rest| rest.split_once(" as ")) {
        Some((of, implemented)) if !of.contains("::") => implemented,
        _ => name,
    };
    let path = path.trim_start_matches(['<', '&']);
    OWN.iter().chain(&LIBRARY).any(|module| path.starts_with(module))
        || ["__rust_", "__rustc::__rust_", "__rustc::__rg_", "__rg_"]
            .iter()
            .any(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_a_request_is_told_from_what_makes_it() {
        for carries in [
            "greyspan::heap::Heap::alloc_slow",
            "<greyspan::api::global::Greyspan as core::alloc::global::GlobalAlloc>::alloc",
            "__rustc::__rust_alloc",
            "alloc::raw_vec::RawVecInner<A>::try_allocate_in",
            "<alloc::string::String as core::fmt::Write>::write_str",
            "<u32 as core::fmt::Display>::fmt",
        ] {
            assert!(is_allocator(carries), "{carries}");
        }
        for makes in [
            "leak_hunt::Server::open_session",
            "greyspan::gc::heap::Heap::new",
            "<app::Type as core::fmt::Display>::fmt",
            "main",
            "allocate",
        ] {
            assert!(!is_allocator(makes), "{makes}");
        }
    }

    #[test]
    fn a_stack_of_nothing_but_the_allocator_is_shown_as_it_is() {
        let function = Function {
            name: "alloc::alloc::alloc".to_owned(),
            ..Function::default()
        };
        let symbols = Symbols(HashMap::from([(16, Arc::from([function]))]));
        assert_eq!(symbols.visible(&[16, 16]), [16, 16]);
        assert_eq!(symbols.visible(&[16, 32]), [32]);
        assert_eq!(symbols.functions(16).len(), 1);
    }
}
