//! The house rules that a test can check: layers, file length, headers, and words of unfinished work.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut open) = (Vec::new(), vec![root.join(folder)]);
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.push((path.strip_prefix(root).expect("below the root").to_owned(), text));
            }
        }
    }
    found
}

#[test]
fn each_file_imports_only_from_the_layers_above_it() {
    let tour = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs is there");
    let layers: Vec<&str> = tour
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert!(layers.len() > 10, "the layers should be read from lib.rs: {layers:?}");
    for (path, text) in sources("src") {
        let below_src = path
            .strip_prefix("src")
            .expect("below src")
            .to_str()
            .expect("plain names")
            .replace(".rs", "");
        let layer = below_src.split('/').next().expect("a name");
        let Some(own) = layers.iter().position(|name| *name == layer) else {
            continue;
        };
        for import in text.split("crate::").skip(1) {
            let name: String = import
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            let Some(other) = layers.iter().position(|layer| *layer == name) else {
                continue;
            };
            // The lock sleeps by a system call: the one upward need that is not a hook.
            let futex = layer == "sync" && name == "os";
            let allowed = other <= own || name == "base" || name == "sync" || futex;
            assert!(
                allowed,
                "{} may not import from {name}, which stands below it in lib.rs",
                path.display()
            );
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for folder in ["src", "tests", "benches", "fuzz", "examples"] {
        for (path, text) in sources(folder) {
            assert!(
                text.lines().count() <= 600,
                "{}: split it, 600 lines are the limit",
                path.display()
            );
            let header = text.starts_with("//!") || text.starts_with("#!") || path.ends_with("tests.rs");
            assert!(
                folder != "src" || header,
                "{}: open with `//!` and what the module is for",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_unfinished_and_atomics_have_one_door() {
    let words =
        ["TO DO", "FIX ME", "to do!", "unimple mented!", "/wo rk/", "/ro ot/"].map(|word| word.replace(' ', ""));
    for folder in ["src", "tests", "benches", "fuzz", "examples"] {
        for (path, text) in sources(folder) {
            for word in &words {
                assert!(
                    !text.contains(word.as_str()),
                    "{} holds {word}: finish it or take it out",
                    path.display()
                );
            }
            let door = path.starts_with("src/sync") || folder != "src";
            let direct = ["core::sync::", "std::sync::"].iter().any(|name| text.contains(name));
            assert!(door || !direct, "{}: use crate::sync", path.display());
        }
    }
}
