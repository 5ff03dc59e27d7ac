//! The documents name files, functions and rules; these tests check that all of them exist: the
//! reading paths of ARCHITECTURE.md, the places of CONTRIBUTING.md's "Where to change", and the
//! index docs/design/rules.md. They look at text: nothing is parsed.
//!
//! A place has this form: a path in back quotes, then a colon and names in back quotes, if any.
//!
//! ```text
//! 1. `src/heap/serve.rs`: `current`, `set_current`. Any text.
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The paragraphs below the first heading that begins with `heading`, up to the next heading that
/// is not below it: each as one line, with the number of its first.
fn section(text: &str, heading: &str) -> Vec<(usize, String)> {
    let level = |line: &str| line.bytes().take_while(|&byte| byte == b'#').count();
    let mut lines = (1..).zip(text.lines());
    let is_head = |line: &str| level(line) > 0 && line.trim_start_matches('#').trim().starts_with(heading);
    let Some((_, head)) = lines.find(|(_, line)| is_head(line)) else {
        return Vec::new();
    };
    let mut found: Vec<(usize, String)> = Vec::new();
    for (number, line) in lines.take_while(|(_, line)| level(line) == 0 || level(line) > level(head)) {
        match found.last_mut() {
            // A list's item may go on, indented.
            Some((_, item)) if line.starts_with(' ') => *item = format!("{item} {}", line.trim()),
            _ if line.trim().is_empty() => {}
            _ => found.push((number, line.to_owned())),
        }
    }
    found
}

/// Whether this text in back quotes has the form of a path to a file or a folder.
fn is_path(quoted: &str) -> bool {
    let kinds = [".rs", ".sh", ".md", ".toml", ".py", ".pml", ".c", ".h", ".js", "/"];
    quoted.contains('/') && kinds.iter().any(|kind| quoted.ends_with(kind)) && !quoted.contains([' ', '*', '<', '$'])
}

/// The places that a line names: paths, and the names that are to be found in each.
fn places(line: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut names_follow = false;
    // Odd parts are those in back quotes; an even one is what stands in front of the next.
    let parts: Vec<&str> = line.split('`').collect();
    for pair in parts.chunks_exact(2) {
        let (between, quoted) = (pair[0].trim(), pair[1]);
        if is_path(quoted) {
            found.push((quoted, Vec::new()));
            names_follow = true;
            continue;
        }
        let Some((_, names)) = found.last_mut() else { continue };
        names_follow &= if names.is_empty() {
            between == ":"
        } else {
            between == ","
        };
        if names_follow {
            names.push(quoted);
        }
    }
    found
}

/// Whether the text of a source file defines `name`: a function, a type, a constant or a module.
fn defines(text: &str, name: &str) -> bool {
    let bare = name.rsplit("::").next().unwrap_or(name).trim_end_matches("()");
    let words = [
        "fn",
        "struct",
        "enum",
        "trait",
        "type",
        "const",
        "static",
        "macro_rules!",
        "mod",
        "union",
    ];
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    text.lines().any(|line| {
        let code = line.split("//").next().unwrap_or(line);
        words.iter().any(|word| {
            let sought = format!("{word} {bare}");
            code.match_indices(&sought).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_') && ends(&code[at + sought.len()..])
            })
        })
    })
}

/// The names that a line has in back quotes behind a path: of each the last part, `b` of `A::b` and
/// of `a.b()`. Commands and other texts are left out.
fn mentions(line: &str) -> Vec<(&str, Vec<&str>)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for quoted in line.split('`').skip(1).step_by(2) {
        if is_path(quoted) {
            found.push((quoted, Vec::new()));
        } else if let Some((_, names)) = found.last_mut()
            && quoted.chars().all(|c| is_name(c) || ":.()".contains(c))
        {
            let bare = quoted.trim_end_matches("()");
            names.extend(bare.rsplit([':', '.']).next().filter(|name| !name.is_empty()));
        }
    }
    found
}

/// Whether a text has a word.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|found| found == word)
}

/// Tells why a place does not exist; `None` if it does.
fn wrong(path: &str, names: &[&str]) -> Option<String> {
    let place = root().join(path);
    if path.ends_with('/') {
        return (!place.is_dir()).then(|| format!("there is no folder `{path}`"));
    }
    let Ok(text) = fs::read_to_string(&place) else {
        return Some(format!(
            "there is no file `{path}`: it was moved or renamed, so correct the list"
        ));
    };
    let missing = names
        .iter()
        .find(|name| path.ends_with(".rs") && !defines(&text, name))?;
    Some(format!(
        "`{path}` defines no `{missing}`: it was moved or renamed, so correct the list"
    ))
}

#[test]
fn the_reading_paths_name_files_and_functions_that_exist() {
    let lines = section(&read("ARCHITECTURE.md"), "Reading paths");
    let (mut steps, mut errors) = (0, Vec::new());
    for (number, line) in &lines {
        for (path, names) in places(line) {
            steps += 1;
            errors.extend(wrong(path, &names).map(|error| format!("ARCHITECTURE.md:{number}: {error}")));
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    let paths = lines.iter().filter(|(_, line)| line.starts_with("### ")).count();
    assert_eq!(paths, 8, "ARCHITECTURE.md should have eight reading paths");
    assert!(steps >= 60, "ARCHITECTURE.md: {steps} steps in eight reading paths?");
}

#[test]
fn the_places_where_to_change_things_exist() {
    let mut errors = Vec::new();
    for (number, line) in section(&read("CONTRIBUTING.md"), "Where to change") {
        for (path, names) in mentions(&line) {
            let text = fs::read_to_string(root().join(path)).unwrap_or_default();
            let missing = names.iter().find(|name| !text.is_empty() && !has_word(&text, name));
            let missing = missing.map(|name| format!("`{path}` has no `{name}`: it was moved or renamed"));
            errors.extend(
                wrong(path, &[])
                    .or(missing)
                    .map(|error| format!("CONTRIBUTING.md:{number}: {error}")),
            );
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn places_that_do_not_exist_are_found() {
    let line =
        "3. `src/heap/serve.rs`: `current`, `set_current`. The `cache` of `src/mcache/mod.rs`, and `x/` besides.";
    let found = places(line);
    assert_eq!(
        found,
        [
            ("src/heap/serve.rs", vec!["current", "set_current"]),
            ("src/mcache/mod.rs", vec![]),
            ("x/", vec![]),
        ]
    );
    assert_eq!(wrong("src/lib.rs", &[]), None);
    assert_eq!(
        wrong("src/sync/lock.rs", &["lock", "Lock::release", "Guard", "L2"]),
        Some("`src/sync/lock.rs` defines no `L2`: it was moved or renamed, so correct the list".into())
    );
    assert!(wrong("src/no_such_file.rs", &[]).is_some_and(|error| error.contains("no file")));
    assert!(wrong("src/no_such_folder/", &[]).is_some_and(|error| error.contains("no folder")));
    let text = "pub(crate) fn take_one(&self) {}\n// fn alloc() in a comment\nconst MOST: u32 = 4;\n";
    for good in ["take_one", "take_one()", "Store::take_one", "MOST"] {
        assert!(defines(text, good), "{good}");
    }
    for bad in ["take", "one", "alloc", "take_one_more", "LEAST"] {
        assert!(!defines(text, bad), "{bad}");
    }
    let text = "# A\n## B ...\n\n1. one\n   and more\n### C\ntwo\n## D\nthree\n";
    let lines: Vec<String> = section(text, "B").into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["1. one and more", "### C", "two"]);
    assert!(section(text, "E").is_empty());
    let line = "2. `src/a.rs`: `MOST` bounds, and `Options::X.delay_ms` of `b/c.rs`. Check: `cargo test`, `x()`.";
    assert_eq!(
        mentions(line),
        [("src/a.rs", vec!["MOST", "delay_ms"]), ("b/c.rs", vec!["x"])]
    );
    assert!(has_word("fn take_one(&self)", "take_one") && !has_word("fn take_one(&self)", "take"));
}

/// All `.rs` files below the folders that hold rules.
fn sources() -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = ["src", "preload/src", "console/src"]
        .iter()
        .map(|folder| root().join(folder))
        .collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The label that a line of a module's header defines: `//! - OWN-1. Text.`
fn defined_label(line: &str) -> Option<&str> {
    let (label, _) = line.strip_prefix("//! - ")?.split_once(". ")?;
    let (word, number) = label.split_once('-')?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_word && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(label)
}

#[test]
fn each_rule_has_one_definition_and_stands_in_the_index() {
    let index = read("docs/design/rules.md");
    let mut defined: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in sources() {
        let text = fs::read_to_string(&path).expect("sources are UTF-8");
        for label in text.lines().filter_map(defined_label) {
            let before = defined.insert(label.to_owned(), path.clone());
            assert!(
                before.is_none(),
                "{label} is defined in {} and in {}",
                path.display(),
                before.unwrap_or_default().display()
            );
        }
    }
    for (label, path) in &defined {
        let row = format!("| {label} |");
        assert!(
            index.contains(&row),
            "{} defines {label}: add a row to docs/design/rules.md",
            path.display()
        );
    }
    assert_eq!(defined_label("//! - OWN-1. Only the owner."), Some("OWN-1"));
    for other in [
        "//! - O1. Text.",
        "//! - OWN-x. Text.",
        "// - OWN-1. Text.",
        "//! OWN-1. Text.",
    ] {
        assert_eq!(defined_label(other), None, "{other}");
    }
}
