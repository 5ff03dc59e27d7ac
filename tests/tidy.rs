//! House rules that a test can check: layer order, file length, module headers, unfinished work, and one door each to atomics and to
//! pointers made from integers. It looks at text: comments and test modules are cut away, nothing is parsed.

use std::fs;
use std::path::Path;

/// What these lines hold has its reason: a waiting thread sleeps by a system call; the mark of a closed stack is never followed.
fn excepted(path: &str, line: &str) -> bool {
    let exceptions = [("lock.rs", "crate::os"), ("stack.rs", "without_provenance")];
    let at = path.strip_prefix("src/sync/");
    exceptions
        .iter()
        .any(|(file, what)| at == Some(file) && line.contains(what))
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
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.push((below.into_owned(), text));
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
    let code = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .filter(|_| !is_test(path))
        .unwrap_or("");
    let bare = |line: &'a str| line.split("//").next().unwrap_or(line);
    code.lines()
        .enumerate()
        .map(move |(index, line)| (index + 1, bare(line)))
}

/// The names in `mod name;` lines, in order.
fn layers(tour: &str) -> Vec<&str> {
    let name = |line| str::split_once(line, "mod ")?.1.strip_suffix(';');
    tour.lines().filter_map(name).collect()
}

/// What is wrong with the imports in one line of a file of the layer `own`.
fn wrong_import(layers: &[&str], own: &str, line: &str) -> Option<String> {
    let place = |name: &str| layers.iter().position(|layer| *layer == name);
    line.split("crate::").skip(1).find_map(|rest| {
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        // `crate::{` and `crate::*` hide the layer.
        let from_below = name.is_empty() || place(name) > place(own) && !["base", "sync"].contains(&name);
        from_below.then(|| format!("`{name}` is below `{own}` in src/lib.rs: move code, or declare a hook"))
    })
}

#[test]
fn each_file_imports_only_from_the_layers_above_it() {
    let tour = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("src/lib.rs");
    let layers = layers(&tour);
    assert!(layers.contains(&"api"), "src/lib.rs should list the layers: {layers:?}");
    for (path, text) in files("src", &[".rs"]) {
        let own = path.split('/').nth(1).unwrap_or("").trim_end_matches(".rs");
        for (number, line) in code(&path, &text).filter(|(_, line)| own != "lib" && !excepted(&path, line)) {
            assert_eq!(wrong_import(&layers, own, line), None, "{path}:{number}");
        }
    }
}

#[test]
fn imports_from_below_are_seen() {
    let layers = layers("mod base;\nmod sync;\n\npub mod os;\npub(crate) mod heap;\nmod api;\nmod inline {\n}\n");
    for bad in ["use crate::heap::HEAP;", "x(crate::api::stats())", "use crate::{a, b};"] {
        assert!(wrong_import(&layers, "os", bad).is_some(), "{bad}");
    }
    for good in ["use crate::os::env;", "crate::sync::x(crate::base::y)", "super::x()"] {
        assert_eq!(wrong_import(&layers, "os", good), None, "{good}");
    }
    assert!(code("src/a.rs", "a // b\n#[cfg(test)]\nmod tests {").eq([(1, "a ")]));
}

#[test]
fn files_are_short_and_modules_say_what_they_are_for() {
    let folders = ["src", "benches", "console", "fuzz", "tests", "examples"];
    for (path, text) in folders.iter().flat_map(|folder| files(folder, &[".rs"])) {
        let lines = text.lines().count();
        assert!(lines <= 600, "{path}: {lines} lines: split it where its concepts part");
        let header = text.starts_with("//!") || !path.starts_with("src/") || path == "src/lib.rs" || is_test(&path);
        assert!(
            header,
            "{path}: open with `//!`: purpose, what it owns, who calls it, invariants"
        );
    }
}

#[test]
fn no_work_is_left_unfinished_and_no_machine_is_named() {
    let words = [
        "TO~DO",
        "FIX~ME",
        "XX~X ",
        "to~do!",
        "unimplemented~!",
        "/wo~rk/",
        "/ro~ot/",
        "/ho~me/",
    ];
    let words = words.map(|word| word.replace('~', "")); // so that this file does not hold them
    for (path, text) in files("", &[".rs", ".toml", ".md", ".sh", ".py"]) {
        for (number, line) in text.lines().enumerate() {
            let held = words.iter().find(|word| line.contains(word.as_str()));
            let number = number + 1;
            assert_eq!(held, None, "{path}:{number}: finish it, and name no machine's path");
        }
    }
}

#[test]
fn atomics_and_pointers_from_integers_have_one_door_each() {
    let atomics = ["core::sync", "std::sync"];
    let pointers = ["exposed_provenance", "without_provenance", " as *const", " as *mut"];
    for (path, text) in files("src", &[".rs"]) {
        for (number, line) in code(&path, &text).filter(|(_, line)| !excepted(&path, line)) {
            let door = path.starts_with("src/sync/") || !atomics.iter().any(|name| line.contains(name));
            assert!(door, "{path}:{number}: use crate::sync, which loom sees into");
            let door = path == "src/base/addr.rs" || !pointers.iter().any(|name| line.contains(name));
            assert!(
                door,
                "{path}:{number}: make the pointer in src/base/addr.rs, or keep yours"
            );
        }
    }
}
