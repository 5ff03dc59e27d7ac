//! House rules that a test can check: layer order, file length, module headers, unfinished work, and one door each to atomics and to
//! pointers made from integers. It looks at text: comments and test modules are cut away, nothing is parsed.

use std::fs;
use std::path::Path;

const MAX_LINES: usize = 600;
/// File, what it may hold all the same, and why.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "src/sync/lock.rs",
        "crate::os",
        "a waiting thread sleeps by a system call",
    ),
    (
        "src/sync/stack.rs",
        "without_provenance",
        "the mark of a closed stack is never followed",
    ),
];

fn excepted(path: &str, line: &str) -> bool {
    EXCEPTIONS
        .iter()
        .any(|(file, what, _)| *file == path && line.contains(what))
}

/// Path below the project's folder, with `/`, and text of each file of these kinds; not of what builds and fuzzing leave behind.
fn files(folder: &str, kinds: &[&str]) -> Vec<(String, String)> {
    const FOREIGN: [&str; 6] = [".git", "target", "corpus", "artifacts", "seeds", "proptest-regressions"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut open) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            if path.is_dir() && !FOREIGN.contains(&&*name) {
                open.push(path);
            } else if path.is_file() && kinds.iter().any(|kind| name.ends_with(kind)) {
                let below = path.strip_prefix(root).expect("below the root").to_string_lossy();
                found.push((
                    below.replace('\\', "/"),
                    fs::read_to_string(&path).expect("sources are UTF-8"),
                ));
            }
        }
    }
    found
}

fn is_test(path: &str) -> bool {
    ["tests", "models"].contains(&path.trim_end_matches(".rs").rsplit('/').next().unwrap_or(path))
}

/// The code of a source file by line number: without comments, up to the test module at its end. Test files have none.
fn code<'a>(path: &str, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let all = if is_test(path) { "" } else { text };
    let code = all
        .lines()
        .take_while(|line| !(line.starts_with("#[cfg(") && line.contains("test")));
    code.enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or(line)))
}

/// The names in `mod name;` lines, in order.
fn layers(tour: &str) -> Vec<&str> {
    tour.lines()
        .filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'))
        .collect()
}

/// What is wrong with the imports in one line of a file of the layer `own`.
fn wrong_import(layers: &[&str], own: &str, line: &str) -> Option<String> {
    let place = |name: &str| layers.iter().position(|layer| *layer == name);
    line.split("crate::").skip(1).find_map(|rest| {
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        if name.is_empty() {
            return Some("name one layer in each `use crate::` line".to_owned());
        }
        let from_below = place(name) > place(own) && !["base", "sync"].contains(&name);
        from_below.then(|| format!("`{own}` may not import from `{name}` below it in src/lib.rs: move the code, or let `{own}` declare a hook"))
    })
}

#[test]
fn each_file_imports_only_from_the_layers_above_it() {
    let tour = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("src/lib.rs");
    let layers = layers(&tour);
    assert!(
        layers.contains(&"api"),
        "src/lib.rs should list the layers as `mod name;`, found {layers:?}"
    );
    for (path, text) in files("src", &[".rs"]) {
        let own = path
            .split('/')
            .nth(1)
            .expect("a name below src")
            .trim_end_matches(".rs");
        for (number, line) in code(&path, &text).filter(|(_, line)| own != "lib" && !excepted(&path, line)) {
            let wrong = wrong_import(&layers, own, line);
            assert_eq!(wrong, None, "{path}:{number}");
        }
    }
}

#[test]
fn imports_from_below_are_seen() {
    let layers = layers("mod base;\nmod sync;\n\npub mod os;\npub(crate) mod heap;\nmod api;\nmod inline {\n}\n");
    assert_eq!(layers, ["base", "sync", "os", "heap", "api"]);
    for bad in [
        "use crate::heap::HEAP;",
        "let x = crate::api::stats();",
        "use crate::{base, api};",
        "use crate::*;",
    ] {
        assert!(wrong_import(&layers, "os", bad).is_some(), "{bad}");
    }
    for good in [
        "use crate::base::Addr;",
        "use crate::os::env;",
        "crate::sync::x(crate::base::y)",
        "super::x()",
    ] {
        assert_eq!(wrong_import(&layers, "os", good), None, "{good}");
    }
    assert!(code("src/a.rs", "a // b\n#[cfg(test)]\nmod tests {").eq([(1, "a ")]));
}

#[test]
fn files_are_short_and_modules_say_what_they_are_for() {
    for (path, text) in ["src", "benches", "fuzz", "tests", "examples"]
        .iter()
        .flat_map(|folder| files(folder, &[".rs"]))
    {
        let lines = text.lines().count();
        assert!(
            lines <= MAX_LINES,
            "{path} has {lines} lines, {MAX_LINES} are the most: split it where its concepts part"
        );
        let opens = text.starts_with("//!") || text.starts_with("#![doc = ");
        let header = opens || !path.starts_with("src/") || is_test(&path);
        assert!(
            header,
            "{path}: open with `//!`: what the module is for, what it owns, who calls it, its invariants"
        );
    }
}

#[test]
fn no_work_is_left_unfinished_and_no_machine_is_named() {
    // Written in two parts, so that this file does not hold them.
    let words = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X "),
        ("todo", "!"),
        ("unimplemented", "!"),
    ];
    let words = words
        .into_iter()
        .chain([("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/")])
        .map(|(a, b)| [a, b].concat());
    let words: Vec<String> = words.collect();
    for (path, text) in files("", &[".rs", ".toml", ".md", ".sh", ".py"]) {
        for (number, line) in text.lines().enumerate() {
            let held = words.iter().find(|word| line.contains(word.as_str()));
            assert_eq!(
                held,
                None,
                "{path}:{}: finish the work, and name no machine's paths",
                number + 1
            );
        }
    }
}

#[test]
fn atomics_and_pointers_from_integers_have_one_door_each() {
    let atomics = ["core::sync", "std::sync"];
    let pointers = [
        "with_exposed_provenance",
        "without_provenance",
        " as *const",
        " as *mut",
    ];
    for (path, text) in files("src", &[".rs"]) {
        for (number, line) in code(&path, &text).filter(|(_, line)| !excepted(&path, line)) {
            let door = path.starts_with("src/sync/") || !atomics.iter().any(|name| line.contains(name));
            assert!(door, "{path}:{number}: use crate::sync, which loom sees into");
            let door = path == "src/base/addr.rs" || !pointers.iter().any(|name| line.contains(name));
            assert!(
                door,
                "{path}:{number}: make the pointer in src/base/addr.rs, or keep the one you had"
            );
        }
    }
}
