//! Finds the names of addresses when a profile is written, and remembers them.
//!
//! A look-up takes the debug information of its file, tens of MiB in memory. The writer frees that
//! as soon as it has all names for its profile. It builds the remembered names only after that,
//! each text once. So they are small and keep no page of the debug information.

#![forbid(unsafe_code)]

use crate::base::addr::code_at;
use crate::sync::blocking::{Arc, Mutex, TryLockError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// One function at an address. If others were inlined there, the address has several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Function {
    pub(super) name: Arc<str>,
    pub(super) file: Arc<str>,
    pub(super) line: u32,
    /// The function only carries requests on; see [`is_carrier`].
    carries: bool,
}

/// The functions at addresses.
pub(super) struct Symbols(HashMap<usize, Arc<[Function]>>);

/// Earlier look-ups. A writer that finds this locked works without it, so that no writer waits, not
/// even in the child of a `fork`.
static KNOWN: Mutex<Known> = Mutex::new(Known::NONE);

struct Known {
    names: BTreeMap<usize, Arc<[Function]>>,
    /// Each name and each file once.
    texts: BTreeSet<Arc<str>>,
}

/// If more addresses are known, some MiB, the next profile starts anew.
const MOST: usize = 1 << 15;

/// Returns an address in the call before a return address. The return address itself may belong to
/// the next line or function.
pub(super) fn call_site(frame: usize) -> usize {
    frame.saturating_sub(1)
}

impl Symbols {
    /// Looks up the frames of all these stacks.
    pub(super) fn of<'a>(stacks: impl Iterator<Item = &'a [usize]>) -> Self {
        let mut shared = match KNOWN.try_lock() {
            Ok(known) => Some(known),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut alone = Known::NONE;
        let known = shared.as_deref_mut().unwrap_or(&mut alone);
        if known.names.len() > MOST {
            *known = Known::NONE;
        }
        let frames: BTreeSet<usize> = stacks.flatten().copied().collect();
        known.learn(frames.iter().copied());
        let named = |frame| Some((frame, Arc::clone(known.names.get(&frame)?)));
        Self(frames.into_iter().filter_map(named).collect())
    }

    /// Returns the functions at a frame, the innermost first; none if nothing is known.
    pub(super) fn at(&self, frame: usize) -> &[Function] {
        self.0.get(&frame).map_or(&[], |functions| functions)
    }

    /// Returns the frames of a stack without the carriers at its inner end: the allocator, and the
    /// standard library's way to it.
    pub(super) fn visible<'a>(&self, frames: &'a [usize]) -> &'a [usize] {
        let carries = |frame: &&usize| self.at(**frame).last().is_some_and(|function| function.carries);
        let own = frames.iter().take_while(carries).count();
        // A stack of carriers only is shown as it is.
        frames.get(own..).filter(|rest| !rest.is_empty()).unwrap_or(frames)
    }

    /// Like [`visible`](Self::visible), for the functions inlined at one frame.
    pub(super) fn functions(&self, frame: usize) -> &[Function] {
        let all = self.at(frame);
        let own = all.iter().take_while(|function| function.carries).count();
        all.get(own..).filter(|rest| !rest.is_empty()).unwrap_or(all)
    }
}

impl Known {
    const NONE: Self = Self {
        names: BTreeMap::new(),
        texts: BTreeSet::new(),
    };

    /// Looks up the names of those frames that have none yet.
    fn learn(&mut self, frames: impl Iterator<Item = usize>) {
        let unknown: Vec<usize> = frames.filter(|frame| !self.names.contains_key(frame)).collect();
        if unknown.is_empty() {
            return;
        }
        let mut found = Found::default();
        let root = {
            let _forgets = Forgets;
            let root = root();
            for &frame in &unknown {
                found.look_up(frame);
            }
            root
        };
        let (mut text, mut functions) = (found.text.as_str(), found.functions.iter());
        let mut next = |length| {
            let (first, rest) = text.split_at(length);
            text = rest;
            self.texts.get(first).map(Arc::clone).unwrap_or_else(|| {
                let new: Arc<str> = first.into();
                self.texts.insert(Arc::clone(&new));
                new
            })
        };
        for (frame, count) in unknown.into_iter().zip(found.counts) {
            let here = functions.by_ref().take(count);
            let here = here.map(|&(name, file, line)| {
                let (name, file) = (next(name), next(file));
                let carries = is_carrier(&name, &file, root.as_deref());
                Function {
                    name,
                    file,
                    line,
                    carries,
                }
            });
            self.names.insert(frame, here.collect());
        }
    }
}

/// Frees the debug information when dropped. Another writer may use it at that time; it then loads
/// it anew.
struct Forgets;

impl Drop for Forgets {
    fn drop(&mut self) {
        backtrace::clear_symbol_cache();
    }
}

/// The results of look-ups, in few allocations.
#[derive(Default)]
struct Found {
    /// All names and files, one after the other.
    text: String,
    /// Bytes of the name, bytes of the file, and the line.
    functions: Vec<(usize, usize, u32)>,
    /// The number of functions at each frame.
    counts: Vec<usize>,
}

/// Returns the folder of this crate's sources, as the debug information spells it.
fn root() -> Option<String> {
    #[inline(never)]
    fn here() -> u32 {
        std::hint::black_box(line!())
    }
    let mut found = Found::default();
    // A frame's address follows its call.
    found.look_up((here as fn() -> u32 as usize).checked_add(1)?);
    // The outermost function is the last; its file ends the text.
    let &(_, file, _) = found.functions.last()?;
    let file = found.text.get(found.text.len().checked_sub(file)?..)?;
    file.strip_suffix("profiler/output/symbol.rs").map(str::to_owned)
}

impl Found {
    fn look_up(&mut self, frame: usize) {
        let before = self.functions.len();
        // `resolve` takes a return address, and looks at the call before it.
        backtrace::resolve(code_at(frame), |symbol| {
            let Some(name) = symbol.name() else { return };
            let start = self.text.len();
            // Without the hash at the end. A write to a string cannot fail.
            let _ = write!(self.text, "{name:#}");
            let file = self.text.len();
            if let Some(path) = symbol.filename() {
                self.text.push_str(&path.to_string_lossy());
            }
            let line = symbol.lineno().unwrap_or(0);
            self.functions.push((file - start, self.text.len() - file, line));
        });
        self.counts.push(self.functions.len() - before);
    }
}

/// Returns whether a function only carries a request to the tiers. Carriers are the allocator's
/// functions and, at the inner end of a stack, the standard library's collections. So the first
/// function shown is the program's, which fills a collection. `root` is the folder of the
/// allocator's sources.
fn is_carrier(name: &str, file: &str, root: Option<&str>) -> bool {
    // With `line-tables-only`, names have no paths.
    let bare = name
        .split('<')
        .next()
        .is_some_and(|name| !name.is_empty() && !name.contains("::"));
    is_carrier_by_path(name) || bare && is_carrier_by_file(file, root)
}

fn is_carrier_by_file(file: &str, root: Option<&str>) -> bool {
    const OWN: [&str; 5] = ["heap/", "mcache/", "profiler/mod.rs", "profiler/unwind/", "api/"];
    const LIBRARY: [&str; 3] = ["alloc/", "core/", "std/"];
    if let Some(own) = root.and_then(|root| file.strip_prefix(root)) {
        return OWN.iter().any(|module| own.starts_with(module));
    }
    let library = file
        .strip_prefix("/rustc/")
        .or_else(|| Some(file.split_once("/rustlib/src/rust/")?.1))
        .and_then(|rest| Some(rest.split_once("library/")?.1));
    library.is_some_and(|module| LIBRARY.iter().any(|name| module.starts_with(name))) || file.contains("/hashbrown-")
}

fn is_carrier_by_path(name: &str) -> bool {
    const OWN: [&str; 5] = [
        "greyspan::heap::",
        "greyspan::mcache::",
        "greyspan::profiler::stack",
        "greyspan::profiler::unwind::",
        "greyspan::api::",
    ];
    const LIBRARY: [&str; 4] = ["alloc::", "core::", "std::", "hashbrown::"];
    // `<alloc::string::String as core::fmt::Write>::write_str` and `<u32 as
    // core::fmt::Display>::fmt` carry: the program's types have paths.
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
            "<greyspan::heap::global::Greyspan as core::alloc::global::GlobalAlloc>::alloc",
            "__rustc::__rust_alloc",
            "alloc::raw_vec::RawVecInner<A>::try_allocate_in",
            "<alloc::string::String as core::fmt::Write>::write_str",
            "<u32 as core::fmt::Display>::fmt",
        ] {
            assert!(is_carrier(carries, "", None), "{carries}");
        }
        for makes in [
            "leak_hunt::Server::open_session",
            "greyspan::gc::heap::Heap::new",
            "<app::Type as core::fmt::Display>::fmt",
            "main",
            "allocate",
        ] {
            assert!(!is_carrier(makes, "", None), "{makes}");
        }
    }

    #[test]
    fn a_name_without_a_path_is_told_by_its_file() {
        let root = Some("/crates/greyspan-1.0.0/src/");
        for (name, file) in [
            ("stack", "/crates/greyspan-1.0.0/src/profiler/mod.rs"),
            ("alloc_slow<true>", "/crates/greyspan-1.0.0/src/heap/mod.rs"),
            (
                "{closure#0}<u8, app::Type>",
                "/rustc/0123abcd/library/core/src/iter/mod.rs",
            ),
            (
                "grow",
                "/toolchains/stable/lib/rustlib/src/rust/library/alloc/src/vec.rs",
            ),
            ("insert<u8, u8>", "/rust/deps/hashbrown-0.16.0/src/map.rs"),
        ] {
            assert!(is_carrier(name, file, root), "{name} in {file}");
            assert!(!is_carrier("app::make", file, root), "a path says it: {file}");
        }
        for (name, file) in [
            ("hoard", "/app/src/heap/mod.rs"),
            ("main", "/app/src/main.rs"),
            ("new", "/crates/greyspan-1.0.0/src/gc/heap.rs"),
            ("spawn", "/app/library/core/src/lib.rs"),
            ("main", ""),
        ] {
            assert!(!is_carrier(name, file, root), "{name} in {file}");
        }
        assert!(!is_carrier("stack", "/app/src/profiler/mod.rs", None));
    }

    #[test]
    fn the_crates_own_folder_is_found_in_its_debug_information() {
        let root = root().expect("tests have debug information");
        assert!(root.ends_with("/src/"), "{root}");
    }

    #[test]
    fn a_stack_of_nothing_but_the_allocator_is_shown_as_it_is() {
        let function = Function {
            name: "alloc::alloc::alloc".into(),
            carries: true,
            ..Function::default()
        };
        let symbols = Symbols(HashMap::from([(16, Arc::from([function]))]));
        assert_eq!(symbols.visible(&[16, 16]), [16, 16]);
        assert_eq!(symbols.visible(&[16, 32]), [32]);
        assert_eq!(symbols.functions(16).len(), 1);
    }
}
