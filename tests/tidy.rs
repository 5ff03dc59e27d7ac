//! House rules that a test can check. It looks at text: it cuts comments and test modules away
//! where it looks for code, and parses nothing.
//!
//! - Code: the order of the layers, one door each to atomics and to pointers made from integers,
//!   short files and functions.
//! - Words: plain English in comments, labels that are defined, SAFETY comments that say a fact.
//! - Both: no unfinished work, no path of a machine.

#[path = "tidy/conditions.rs"]
mod conditions;
#[path = "tidy/imports.rs"]
mod imports;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Whether the line may break the rule about imports or pointers: a waiting thread sleeps by a
/// system call, and the mark of a closed stack is never followed.
fn excepted(path: &str, line: &str) -> bool {
    let exceptions = [("lock.rs", "crate::os"), ("stack.rs", "without_provenance")];
    let at = path.strip_prefix("src/sync/");
    exceptions
        .iter()
        .any(|(file, what)| at == Some(file) && line.contains(what))
}

/// Returns the path below the project's folder, with `/`, and the text of each file of these kinds.
/// Leaves out the files that builds and fuzzing make.
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

/// Fails with all faults that a rule found.
fn none(faults: &[String], advice: &str) {
    let (count, list) = (faults.len(), faults.join("\n"));
    assert!(faults.is_empty(), "{advice}; {count} times:\n{list}");
}

fn is_test(path: &str) -> bool {
    path.trim_end_matches(".rs")
        .split('/')
        .any(|part| ["tests", "models"].contains(&part) || part.ends_with("_tests"))
}

/// Returns the code of a source file by line number: without comments, up to the test module at its
/// end. Test files have none.
fn code<'a>(path: &str, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let code = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .and_then(|text| {
            text.split("\n#[cfg(all(test, not(greyspan_loom)))]\nmod tests {")
                .next()
        })
        .filter(|_| !is_test(path))
        .unwrap_or("");
    let bare = |line: &'a str| line.split("//").next().unwrap_or(line);
    code.lines()
        .enumerate()
        .map(move |(index, line)| (index + 1, bare(line)))
}

/// Returns the text of a line that holds only a comment.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.strip_prefix(['/', '!']).unwrap_or(text).trim())
}

/// Returns the paragraphs of a source file's comments, each on one line, with the number of its
/// first line. Each item of a list is a paragraph, without its mark.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let (words, apart) = match comment(line) {
            Some(words) => (words, false),
            None => (line.split_once(" // ").map_or("", |(_, words)| words), true),
        };
        let item = words.trim_start_matches(|c: char| c.is_ascii_digit());
        let item = item
            .strip_prefix("- ")
            .or(item.strip_prefix(". ").filter(|_| item != words));
        match item {
            _ if words.is_empty() => {}
            None if goes_on && !apart => {
                let (_, whole) = found.last_mut().expect("a paragraph");
                *whole = format!("{whole} {words}");
            }
            _ => found.push((index + 1, item.unwrap_or(words).to_owned())),
        }
        goes_on = !words.is_empty() && !apart;
    }
    found
}

/// Returns the files that are too long, and one line about the library if its mean is too high.
fn long_files(files: &[(String, String)]) -> Vec<String> {
    const MEAN: usize = 200;
    let lines = |(path, text): &(String, String)| (path.starts_with("src/"), text.lines().count());
    let source: Vec<usize> = files
        .iter()
        .map(lines)
        .filter(|(own, _)| *own)
        .map(|(_, count)| count)
        .collect();
    let mut found: Vec<String> = files
        .iter()
        .map(|file| (&file.0, lines(file)))
        .filter(|(_, (own, count))| *count > if *own { 500 } else { 600 })
        .map(|(path, (_, count))| format!("{path}: {count} lines"))
        .collect();
    let (sum, most) = (source.iter().sum::<usize>(), MEAN * source.len());
    if sum > most {
        let mean = sum as f64 / source.len() as f64;
        found.push(format!(
            "src: a mean of {mean:.1} lines, {} lines above {MEAN} each",
            sum - most
        ));
    }
    found
}

#[test]
fn files_are_short_and_modules_say_what_they_are_for() {
    let folders = [
        "src", "preload", "derive", "benches", "console", "fuzz", "tests", "examples",
    ];
    let files: Vec<_> = folders.iter().flat_map(|folder| files(folder, &[".rs"])).collect();
    for (path, text) in &files {
        let header = text.starts_with("//!") || !path.starts_with("src/") || path == "src/lib.rs" || is_test(path);
        assert!(
            header,
            "{path}: open with `//!`: purpose, owned state, callers, invariants"
        );
    }
    none(&long_files(&files), "split it where its concepts part");
}

#[test]
fn long_files_are_seen() {
    let file = |path: &str, lines: usize| (path.to_owned(), "\n".repeat(lines));
    assert_eq!(
        long_files(&[file("src/a.rs", 400), file("src/b.rs", 0), file("tests/c.rs", 600)]),
        [""; 0]
    );
    for bad in [
        &[file("src/a.rs", 501), file("src/b.rs", 0), file("src/c.rs", 0)][..],
        &[file("tests/a.rs", 601)],
        &[file("src/a.rs", 201)],
    ] {
        assert_eq!(long_files(bad).len(), 1, "{bad:?}");
    }
}

/// Returns the functions of more than 60 lines. A function ends at the first closing brace with the
/// indentation of its `fn`.
fn long_functions(path: &str, text: &str) -> Vec<String> {
    const BEFORE: [&str; 7] = ["pub", "const", "unsafe", "async", "extern", "default", "\"C\""];
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<(usize, &str)> = code(path, text).collect();
    let mut found = Vec::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        let mut words = line.split_whitespace();
        let mut before = words.by_ref().take_while(|word| *word != "fn");
        let begins = before.all(|word| BEFORE.contains(&word) || word.starts_with("pub("));
        let Some(name) = words.next().filter(|_| begins) else {
            continue;
        };
        let ends = |line: &str| {
            let same = indentation(line) == indentation(lines[index].1);
            same && line.trim_end().ends_with(['}', ';'])
        };
        let last = lines[index..].iter().find(|(_, line)| ends(line));
        let count = last.map_or(0, |(last, _)| last + 1 - number);
        if count > 60 {
            let name = name.split(['(', '<']).next().unwrap_or(name);
            found.push(format!("{path}:{number}: `{name}` has {count} lines"));
        }
    }
    found
}

#[test]
fn functions_are_short() {
    let tests = ["/tests/", "/models/", "_tests.rs"];
    let mut found = Vec::new();
    for (path, text) in files("src", &[".rs"]) {
        if !tests.iter().any(|part| path.contains(part)) {
            found.extend(long_functions(&path, &text));
        }
    }
    none(&found, "give a part of it a name");
}

#[test]
fn long_functions_are_seen() {
    let body = |lines: usize| "        x();\n".repeat(lines);
    for (head, lines, long) in [
        ("    fn f() {\n", 58, false),
        ("    fn f() {\n", 59, true),
        (
            "    pub(crate) const unsafe extern \"C\" fn f(\n    ) -> u8 {\n",
            58,
            true,
        ),
        ("    fn only_declared();\n", 99, false),
        ("    // fn in a comment\n    {\n", 99, false),
        ("    let a: fn(u8) = {\n", 99, false),
    ] {
        let text = format!("impl A {{\n{head}{}    }}\n}}\n", body(lines));
        assert_eq!(
            !long_functions("src/a.rs", &text).is_empty(),
            long,
            "{head}{lines} lines"
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

/// Returns the word in the line that stands for a thread, a caller or code without a name.
fn vague_word(line: &str) -> Option<&str> {
    let words = ["who~ever", "no~body", "some~body"].map(|word| word.replace('~', "")); // not in this file
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .find(|word| words.contains(&word.to_lowercase()))
}

#[test]
fn threads_and_callers_are_named() {
    let mut found = Vec::new();
    for (path, text) in files("", &[".rs", ".md", ".sh", ".py", ".c", ".h"]) {
        for (index, line) in text.lines().enumerate() {
            let word = vague_word(line).filter(|_| !path.starts_with("benches/results/"));
            found.extend(word.map(|word| format!("{path}:{}: {word}", index + 1)));
        }
    }
    none(&found, "name the thread, the caller or the code");
}

#[test]
fn vague_words_are_seen() {
    for bad in ["// Who~ever frees it.", "some~body's block", "no~body, then"] {
        let bad = bad.replace('~', "");
        assert!(vague_word(&bad).is_some(), "{bad}");
    }
    for good in ["fn after_t1_no~body_is_idle()", "no thread", "no bodyguard"] {
        assert_eq!(vague_word(&good.replace('~', "")), None, "{good}");
    }
}

/// Whether a sentence of the paragraph has a clause in place of its subject, and asks nothing.
fn begins_with_a_clause(paragraph: &str) -> bool {
    let begins = |at: &usize| {
        let before = paragraph[..*at].trim_end();
        before.is_empty() || before.ends_with(['.', '?', '!', ':', '('])
    };
    let asks = |at: usize| {
        let sentence = &paragraph[at..];
        let end = [". ", "? ", "! "].iter().filter_map(|end| sentence.find(end)).min();
        sentence[..end.map_or(sentence.len(), |end| end + 1)].ends_with('?')
    };
    let mut found = paragraph.match_indices("What ").map(|(at, _)| at).filter(begins);
    found.any(|at| !asks(at))
}

#[test]
fn sentences_of_comments_have_a_noun_as_subject() {
    let mut found = Vec::new();
    for (path, text) in files("", &[".rs"]) {
        let bad = paragraphs(&text)
            .into_iter()
            .filter(|(_, words)| begins_with_a_clause(words));
        found.extend(bad.map(|(number, words)| format!("{path}:{number}: {words}")));
    }
    none(&found, "name the thing");
}

#[test]
fn clauses_as_subjects_are_seen() {
    let text = "//! - First.\n//! - What is freed\n//!   stays. Yes.\n".to_owned();
    let text = text + &"let a = 1; /~/ What it is\n/// It is. What\n/// is it?\n".replace('~', "");
    let found = paragraphs(&text);
    let expected = [
        (1, "First."),
        (2, "What is freed stays. Yes."),
        (4, "What it is"),
        (5, "It is. What is it?"),
    ];
    assert!(
        found.iter().map(|(line, words)| (*line, words.as_str())).eq(expected),
        "{found:?}"
    );
    let verdicts: Vec<bool> = found.iter().map(|(_, words)| begins_with_a_clause(words)).collect();
    assert_eq!(verdicts, [false, true, true, false]);
    assert!(begins_with_a_clause("It is. What is more, it stays."));
    assert!(!begins_with_a_clause("It says What it is."));
}

/// Whether the line is a comment that is too wide, without an address that cannot be broken.
fn is_wide(line: &str) -> bool {
    comment(line).is_some() && line.chars().count() > 100 && !line.contains("://")
}

#[test]
fn comments_are_narrow() {
    let mut found = Vec::new();
    for (path, text) in files("", &[".rs"]) {
        let wide = text.lines().enumerate().filter(|(_, line)| is_wide(line));
        found.extend(wide.map(|(index, line)| format!("{path}:{}: {} columns", index + 1, line.chars().count())));
    }
    none(&found, "break the line at 100 columns");
}

#[test]
fn wide_comments_are_seen() {
    let words = "─".repeat(93);
    assert!(is_wide(&format!("    /// {words}")) && is_wide(&format!("    //! {words}")));
    assert!(!is_wide(&format!("   /// {words}")) && !is_wide(&format!("    //! https://{words}")));
    assert!(!is_wide(&format!("    let a = \"{words}\";")));
}

/// The definitions of rules' labels by file, and the faults in them and in references to them.
#[derive(Default)]
struct Labels {
    /// The file that defines the rules with this word.
    homes: BTreeMap<String, String>,
    defined: Vec<String>,
    faults: Vec<String>,
}

impl Labels {
    /// Splits `WORD-n` at the beginning of the text into its word and itself.
    fn label(text: &str) -> Option<(&str, &str)> {
        let word = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
        let number = word.strip_prefix('-')?;
        let rest = number.trim_start_matches(|c: char| c.is_ascii_digit());
        let word = &text[..text.len() - word.len()];
        (word.len() > 1 && rest.len() < number.len()).then(|| (word, &text[..text.len() - rest.len()]))
    }

    /// Takes the definitions from the header of a module.
    fn define(&mut self, path: &str, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let at = format!("{path}:{}", index + 1);
            let Some(rule) = line.strip_prefix("//! - ") else {
                continue;
            };
            let old = rule.trim_start_matches(|c: char| c.is_ascii_uppercase());
            let number = old.trim_start_matches(|c: char| c.is_ascii_digit());
            if old.len() < rule.len() && number.len() < old.len() && number.starts_with(". ") {
                self.faults
                    .push(format!("{at}: the label has no word of its module: {rule}"));
            }
            let Some((word, label)) = Self::label(rule).filter(|(_, label)| rule[label.len()..].starts_with(". "))
            else {
                continue;
            };
            let home = self.homes.entry(word.to_owned()).or_insert_with(|| path.to_owned());
            if home != path {
                self.faults.push(format!("{at}: {home} has the rules called {word}"));
            }
            if self.defined.iter().any(|defined| defined == label) {
                self.faults.push(format!("{at}: {label} is defined twice"));
            }
            self.defined.push(label.to_owned());
        }
    }

    /// Looks up the labels in a text.
    fn refer(&mut self, path: &str, text: &str) {
        const OTHERS: [&str; 5] = ["UTF-8", "UTF-16", "SHA-1", "SHA-256", "ISO-8859"];
        for (index, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices(|c: char| c.is_ascii_uppercase()) {
                let joined = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
                let Some((_, label)) = Self::label(&line[at..]).filter(|_| !line[..at].ends_with(joined)) else {
                    continue;
                };
                let inside = line[at + label.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
                if !inside && !OTHERS.contains(&label) && !self.defined.iter().any(|defined| defined == label) {
                    self.faults
                        .push(format!("{path}:{}: {label} is not defined", index + 1));
                }
            }
        }
    }
}

#[test]
fn rules_have_labels_of_their_module_and_references_lead_to_them() {
    let mut labels = Labels::default();
    let folders = ["src", "preload", "derive", "console"];
    for (path, text) in folders.iter().flat_map(|folder| files(folder, &[".rs"])) {
        labels.define(&path, &text);
    }
    for (path, text) in ["src", "tests", "docs"]
        .iter()
        .flat_map(|folder| files(folder, &[".rs", ".md"]))
    {
        // The examples of the test below are no references.
        if path != "tests/tidy.rs" {
            labels.refer(&path, &text);
        }
    }
    let tour = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md"));
    labels.refer("ARCHITECTURE.md", &tour.expect("ARCHITECTURE.md"));
    none(
        &labels.faults,
        "a rule's label is `WORD-n`, defined in the header of one module",
    );
}

#[test]
fn wrong_labels_are_seen() {
    let mut labels = Labels::default();
    labels.define(
        "src/a.rs",
        "//! - OWN-1. It is.\n//! - OWN-2. It is.\n//! - UTF-8 is no rule.\n//! - X is.\n",
    );
    labels.refer(
        "src/b.rs",
        "// OWN-1, (OWN-2) and `OWN-1`: UTF-8, ISO-8859-1, FNV-1a, MY_OWN-3, A-1, C1\n",
    );
    assert_eq!(labels.faults, [""; 0]);
    labels.define("src/b.rs", "//! - OWN-3. It is.\n");
    labels.define("src/a.rs", "//! - OWN-1. It is.\n");
    labels.define("src/c.rs", "//! - X1. It is.\n");
    labels.refer("src/c.rs", "// OWN-4 and BIN-1.");
    assert_eq!(labels.faults.len(), 5, "{:?}", labels.faults);
}

/// Whether a SAFETY comment only refers to another one, or to its caller, and says no fact.
fn says_nothing(paragraph: &str) -> bool {
    const PHRASES: [&str; 12] = [
        "as above",
        "as the caller",
        "as before",
        "as for",
        "as in",
        "as stated",
        "as there",
        "likewise",
        "the same",
        "see above",
        "ditto",
        "by the caller's word",
    ];
    let words = paragraph.strip_prefix("SAFETY: ").map(str::to_lowercase);
    words.is_some_and(|words| {
        let rest = PHRASES.iter().find_map(|phrase| words.strip_prefix(phrase));
        rest.is_some_and(|rest| rest.len() <= 40 && !rest.contains([':', ';']))
    })
}

#[test]
fn safety_comments_say_a_fact() {
    let mut found = Vec::new();
    for (path, text) in ["src", "preload", "derive"]
        .iter()
        .flat_map(|folder| files(folder, &[".rs"]))
    {
        let empty = paragraphs(&text).into_iter().filter(|(_, words)| says_nothing(words));
        found.extend(empty.map(|(number, words)| format!("{path}:{number}: {words}")));
    }
    if found.len() >= 20 {
        none(
            &found,
            "say the fact, or the label of the rule; fewer than 20 may refer to another",
        );
    }
}

#[test]
fn safety_comments_without_a_fact_are_seen() {
    for bad in [
        "SAFETY: as above.",
        "SAFETY: Likewise, the next one.",
        "SAFETY: as the caller promised.",
    ] {
        assert!(says_nothing(bad), "{bad}");
    }
    for good in [
        "SAFETY: likewise: the block is the owner's.",
        "SAFETY: OWN-2.",
        "As above.",
        "SAFETY: the block is live.",
    ] {
        assert!(!says_nothing(good), "{good}");
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
