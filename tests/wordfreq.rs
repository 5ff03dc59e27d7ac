//! Tests the example `wordfreq` against a naive count of the same folder, and with invalid command
//! lines.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Returns the example's executable, which Cargo builds; Cargo's messages name its path.
fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.args(["build", "--quiet", "--example", "wordfreq", "--message-format", "json"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let built = cargo.output().expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let messages = String::from_utf8(built.stdout).expect("messages are UTF-8");
        let path = messages
            .lines()
            .filter(|line| line.contains("\"wordfreq\""))
            .find_map(|line| {
                let (path, _) = line.split_once("\"executable\":\"")?.1.split_once('"')?;
                Some(PathBuf::from(path))
            });
        path.expect("a message with the executable")
    })
}

fn wordfreq<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    Command::new(executable())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the example runs")
}

/// Makes a new, empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(path.join("texts/a/b/c")).expect("a folder for the test");
    path
}

/// Writes texts and other things that are easy to miscount. Returns whether one file is unreadable
/// for this process.
fn fill(texts: &Path) -> bool {
    let write = |name: &str, bytes: &[u8]| fs::write(texts.join(name), bytes).expect("a file for the test");
    write("empty", b"");
    write("no_words", b" \r\n\t--- ... \"\\\" \r\n");
    write("lines", b"One two\r\nTHREE two\rtwo\none-two_three");
    write("ends_in_a_word", "caf\u{e9} na\u{ef}ve CAF\u{c9}".as_bytes());
    // Sharp s stays, and its capital becomes it. A dotted capital I becomes two characters, one of
    // which is no letter. There is no final sigma.
    write(
        "case",
        "stra\u{df}e STRA\u{1e9e}E STRASSE \u{130}stanbul istanbul \u{39f}\u{394}\u{39f}\u{3a3} \u{1c5}".as_bytes(),
    );
    // Accents are no letters, vowel signs are; circled letters and other numerals count too.
    write("marks", "e\u{301}t\u{e9} n\u{303} \u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947} \u{24b6}\u{24d0} x\u{b2} \u{216b} \u{661}\u{662} \u{200d}zwj".as_bytes());
    write(
        "scripts",
        "\u{feff}\u{65e5}\u{672c}\u{8a9e}\u{3001}\u{6f22}\u{5b57} \u{10428}\u{10400} \u{1f600}face\0nul".as_bytes(),
    );
    write("bad_start", b"\xff\xfenot a text");
    let mut late = b"word ".repeat(40_000);
    write("long", &late);
    late.push(0x80);
    write("bad_end", &late);
    write("cut_character", b"caf\xc3");
    write("surrogate", b"half \xed\xa0\x80 pair");
    // A character that lies across the border of any round buffer size.
    write("border", ["x".repeat(65_535), "\u{e9}y".into()].concat().as_bytes());
    write("a/.hidden", b"hidden words hide");
    write("a/b/c/deep", b"deep deep deep");
    write("a/b/name with spaces \"and quotes\"", b"spaces");
    symlink("..", texts.join("a/loop")).expect("a link");
    symlink("lines", texts.join("alias")).expect("a link");
    symlink("nowhere", texts.join("dangling")).expect("a link");
    let fifo = Command::new("mkfifo")
        .arg(texts.join("a/fifo"))
        .status()
        .expect("mkfifo runs");
    assert!(fifo.success());
    write("secret", b"secret");
    fs::set_permissions(texts.join("secret"), fs::Permissions::from_mode(0o000)).expect("permissions");
    fs::read(texts.join("secret")).is_err()
}

/// Counts the words in the simplest way: character by character, one file after another.
fn naive(path: &Path, counts: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(path).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            naive(&entry.path(), counts);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            let mut word = String::new();
            for c in text.chars().chain([' ']) {
                if c.is_alphanumeric() {
                    word.extend(c.to_lowercase());
                } else if !word.is_empty() {
                    *counts.entry(std::mem::take(&mut word)).or_insert(0) += 1;
                }
            }
        }
    }
}

fn naive_json(path: &Path) -> String {
    let mut counts = BTreeMap::new();
    naive(path, &mut counts);
    let mut top: Vec<_> = counts.iter().collect();
    // The map returns words in order, and this sort is stable.
    top.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let top: Vec<String> = top
        .iter()
        .take(20)
        .map(|(word, count)| format!("[\"{word}\",{count}]"))
        .collect();
    let total: u64 = counts.values().sum();
    format!(
        "{{\"words\":{total},\"distinct\":{},\"top\":[{}]}}\n",
        counts.len(),
        top.join(",")
    )
}

#[test]
fn counts_agree_with_a_naive_count_for_any_number_of_threads() {
    let folder = folder("wordfreq_counts");
    let (texts, json) = (folder.join("texts"), folder.join("out.json"));
    let unreadable = fill(&texts);
    let expected = naive_json(&texts);
    assert!(
        expected.contains("[\"two\",4]") && expected.contains("[\"word\",40000]"),
        "{expected}"
    );
    for threads in ["1", "2", "7", "64"] {
        let run = wordfreq([
            OsStr::new("--threads"),
            threads.as_ref(),
            "--json".as_ref(),
            json.as_ref(),
            texts.as_ref(),
        ]);
        let said = String::from_utf8(run.stdout).expect("the report is UTF-8");
        assert!(
            run.status.success() && run.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        assert_eq!(
            fs::read_to_string(&json).expect("the JSON"),
            expected,
            "{threads} threads"
        );
        let read = if unreadable { "12 files read" } else { "13 files read" };
        let mut lines = vec![
            "40000 word",
            read,
            "4   not UTF-8",
            "3   symbolic link, not followed",
            "1   not a regular file",
        ];
        if unreadable {
            lines.push("1   unreadable");
        }
        for line in lines {
            assert!(
                said.lines().any(|found| found.trim_start() == line),
                "no line {line:?} in\n{said}"
            );
        }
        assert!(said.contains("seconds") && said.contains("heap_inuse"), "{said}");
    }
    fs::remove_dir_all(folder).expect("the folder is the test's own");
}

#[test]
fn a_result_that_lies_in_the_folder_is_not_counted_and_is_replaced_whole() {
    let folder = folder("wordfreq_own");
    let (texts, json) = (folder.join("texts"), folder.join("texts/a/out.json"));
    fs::write(texts.join("text"), "just these").expect("a file");
    let expected = naive_json(&texts);
    fs::write(&json, "words of an earlier result, longer than the new one; ".repeat(9)).expect("a file");
    let run = wordfreq([OsStr::new("--json"), json.as_ref(), texts.as_ref()]);
    assert!(run.status.success());
    assert_eq!(fs::read_to_string(&json).expect("the JSON"), expected);
    assert!(String::from_utf8_lossy(&run.stdout).contains("1   the file that --json writes"));
    // One file alone, and a flag with its value in one argument.
    let other = folder.join("out.json");
    let run = wordfreq([
        format!("--json={}", other.display()).as_ref(),
        texts.join("text").as_os_str(),
    ]);
    assert!(run.status.success());
    assert_eq!(fs::read_to_string(&other).expect("the JSON"), expected);
    fs::remove_dir_all(folder).expect("the folder is the test's own");
}

#[test]
fn what_cannot_be_done_is_said_in_one_line_with_exit_code_2() {
    let folder = folder("wordfreq_wrong");
    let text = folder.join("text").display().to_string();
    let (missing, nowhere) = (
        folder.join("missing").display().to_string(),
        folder.join("no/json").display().to_string(),
    );
    fs::write(&text, "kept").expect("a file");
    for (args, named) in [
        (vec![missing.as_str()], missing.as_str()),
        (vec!["--json", &nowhere, &text], &nowhere),
        (vec!["--json", &text, &text], &text),
        (vec!["--json"], "--json"),
        (vec!["--threads", "0", &text], "--threads"),
        (vec!["--threads", "many", &text], "many"),
        (vec!["--colour", &text], "--colour"),
        (vec![&text, &text], "more than one path"),
        (vec!["--", "--help"], "--help"),
    ] {
        let run = wordfreq(&args);
        let said = String::from_utf8(run.stderr).expect("the message is UTF-8");
        assert_eq!(run.status.code(), Some(2), "{args:?}: {said}");
        assert!(
            said.lines().count() == 1 && said.contains(named) && run.stdout.is_empty(),
            "{args:?}: {said}"
        );
    }
    assert_eq!(fs::read_to_string(&text).expect("still there"), "kept");
    let help = wordfreq(["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("usage: wordfreq"));
    fs::remove_dir_all(folder).expect("the folder is the test's own");
}
