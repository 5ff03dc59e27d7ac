//! The documents name files, functions, rules and each other; these tests check that all of them
//! exist: the reading paths of ARCHITECTURE.md, the places of CONTRIBUTING.md's "Where to change",
//! the index docs/design/rules.md, and links. They look at text: nothing is parsed.
//!
//! A place has this form: a path in back quotes, then a colon and names in back quotes, if any.
//!
//! ```text
//! 1. `src/heap/slot.rs`: `current`, `set_current`. Any text.
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

/// The lines below the heading `heading`, with their numbers, up to the next heading that is not
/// below it.
fn section<'a>(text: &'a str, heading: &str) -> Vec<(usize, &'a str)> {
    let level = |line: &str| line.bytes().take_while(|&byte| byte == b'#').count();
    let mut lines = (1..).zip(text.lines());
    let Some((_, head)) = lines
        .by_ref()
        .find(|(_, line)| level(line) > 0 && line.trim_start_matches('#').trim() == heading)
    else {
        return Vec::new();
    };
    lines
        .take_while(|(_, line)| level(line) == 0 || level(line) > level(head))
        .collect()
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

fn check(document: &str, heading: &str) -> Vec<String> {
    let text = read(document);
    let mut errors = Vec::new();
    for (number, line) in section(&text, heading) {
        for (path, names) in places(line) {
            errors.extend(wrong(path, &names).map(|error| format!("{document}:{number}: {error}")));
        }
    }
    errors
}

#[test]
fn the_reading_paths_name_files_and_functions_that_exist() {
    let text = read("ARCHITECTURE.md");
    let lines = section(&text, "Reading paths");
    let steps = lines.iter().flat_map(|(_, line)| places(line)).count();
    assert!(
        steps >= 60,
        "ARCHITECTURE.md: \"Reading paths\" should list the eight paths: {steps} steps found"
    );
    let headings = lines.iter().filter(|(_, line)| line.starts_with("### ")).count();
    assert_eq!(headings, 8, "ARCHITECTURE.md: eight reading paths");
    let errors = check("ARCHITECTURE.md", "Reading paths");
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn the_places_where_to_change_things_exist() {
    let errors = check("CONTRIBUTING.md", "Where to change");
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn places_that_do_not_exist_are_found() {
    let line = "3. `src/heap/slot.rs`: `current`, `set_current`. The `cache` of `src/mcache/mod.rs`, and `x/` besides.";
    let found = places(line);
    assert_eq!(
        found,
        [
            ("src/heap/slot.rs", vec!["current", "set_current"]),
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
    let text = "# A\n## B\none\n### C\ntwo\n## D\nthree\n";
    assert_eq!(section(text, "B"), [(3, "one"), (4, "### C"), (5, "two")]);
    assert!(section(text, "E").is_empty());
}

/// The anchor that a heading has where Markdown is shown.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let bare = heading.trim_start_matches('#').trim().to_lowercase();
    bare.chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// The lines of a document that are no code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Where the links of a line lead that stay in the tree.
fn links(line: &str) -> Vec<&str> {
    let ends = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    ends.filter(|link| !link.contains(':') && !link.is_empty()).collect()
}

/// Tells why a link of the document at `from` is wrong; `None` if it is right.
fn wrong_link(from: &str, link: &str) -> Option<String> {
    let (path, wanted) = link
        .split_once('#')
        .map_or((link, None), |(path, wanted)| (path, Some(wanted)));
    let folder = root().join(from).parent().map(Path::to_path_buf).unwrap_or_default();
    let place = if path.is_empty() {
        root().join(from)
    } else {
        folder.join(path)
    };
    if !place.exists() {
        return Some(format!("{from}: ({link}) leads to nothing"));
    }
    let text = fs::read_to_string(place).unwrap_or_default();
    let found =
        wanted.is_none_or(|wanted| prose(&text).any(|(_, line)| line.starts_with('#') && anchor(line) == wanted));
    (!found).then(|| format!("{from}: ({link}): no heading there has this anchor"))
}

#[test]
fn links_between_documents_lead_to_files_and_headings_that_exist() {
    let mut documents: Vec<String> = Vec::new();
    for folder in ["", "docs", "docs/design", "docs/guide", "console"] {
        for entry in fs::read_dir(root().join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                documents.push(Path::new(folder).join(name).to_string_lossy().into_owned());
            }
        }
    }
    assert!(documents.len() >= 10, "{documents:?}");
    let mut errors = Vec::new();
    for document in &documents {
        let text = read(document);
        for (number, line) in prose(&text) {
            let wrong = links(line).into_iter().filter_map(|link| wrong_link(document, link));
            errors.extend(wrong.map(|error| format!("line {number} of {error}")));
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    // Wrong ones are seen.
    assert_eq!(links("[a](b.md#c) and [d](https://e) ![f](g.svg)"), ["b.md#c", "g.svg"]);
    assert_eq!(anchor("### OWN: `src/mspan/word.rs`"), "own-srcmspanwordrs");
    assert_eq!(wrong_link("ARCHITECTURE.md", "#the-tiers"), None);
    assert!(wrong_link("ARCHITECTURE.md", "#no-such-heading").is_some());
    assert!(wrong_link("ARCHITECTURE.md", "no-such-file.md").is_some());
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
    let is_word = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
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
