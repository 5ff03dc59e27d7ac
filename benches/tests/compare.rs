//! Tests the runner as a user runs it: exit codes, the table, the files, and cells that fail. It
//! builds nothing and uses the cells of this package.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn compare(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.args(words).stdin(Stdio::null());
    command
}

fn finished(words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = compare(words).output().expect("compare starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

/// Returns the folder in which Cargo put the cells.
fn cells() -> &'static str {
    let folder = Path::new(env!("CARGO_BIN_EXE_cell_system")).parent().expect("a folder");
    folder.to_str().expect("UTF-8")
}

/// Makes an empty folder for one test.
fn scratch(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder is made");
    folder
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("UTF-8").to_owned()
}

const TINY: [&str; 9] = [
    "run",
    "--quick",
    "--scale",
    "0.001",
    "--alloc",
    "system,greyspan",
    "--threads",
    "1,2",
    "--cells",
];

#[test]
fn a_quick_run_prints_a_table_and_writes_json_and_a_page() {
    let folder = scratch("quick");
    let (json, html) = (path(&folder, "out.json"), path(&folder, "out.html"));
    let words = [cells(), "--bench", "churn,xmalloc", "--json", &json, "--html", &html];
    let (code, stdout, stderr) = finished(&[&TINY[..], &words].concat());
    assert_eq!(code, 0, "{stdout}{stderr}");
    for part in [
        "churn",
        "xmalloc",
        "peak RSS",
        "over all rows",
        "mixed  threads",
        "worst rows of greyspan",
    ] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    let results: Value = serde_json::from_str(&fs::read_to_string(&json).expect("the file")).expect("JSON");
    assert_eq!(results["version"], 1);
    assert!(results["machine"]["cores"].as_u64() > Some(0) && results["machine"]["kernel"].is_string());
    let cells = results["cells"].as_array().expect("a list");
    let names: Vec<_> = cells
        .iter()
        .map(|cell| (&cell["bench"], &cell["threads"], &cell["alloc"]))
        .collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!((names[4].0.as_str(), names[4].1.as_u64()), (Some("xmalloc"), Some(2)));
    for cell in cells {
        let figures = |key: &str| {
            cell[key]
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_f64).collect::<Vec<_>>())
        };
        let (seconds, peaks) = (
            figures("seconds").expect("a list"),
            figures("rss_bytes").expect("a list"),
        );
        assert!(
            seconds.len() == 3 && seconds.iter().all(|&seconds| seconds > 0.0),
            "{cell}"
        );
        assert!(peaks.len() == 3 && peaks.iter().all(|&bytes| bytes > 1e6), "{cell}");
        assert!(cell["ops"].as_u64() > Some(0), "{cell}");
    }
    let page = fs::read_to_string(&html).expect("the file");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert_eq!(
        page.matches("<svg viewBox=\"0 0 14 14\"").count(),
        8,
        "marks of two allocators in two tables of groups, in the totals and in the legend"
    );

    // `show` reads the written file again, and merges it with itself.
    let (code, again, _) = finished(&["show", &json, &json]);
    assert_eq!(code, 0);
    assert!(again.contains("6 rounds"), "{again}");
}

#[test]
fn idle_benches_show_their_memory_over_time_in_both_forms() {
    let folder = scratch("idle");
    let (json, html) = (path(&folder, "out.json"), path(&folder, "out.html"));
    let words = [
        cells(),
        "--bench",
        "idle-s*,idle-owner",
        "--json",
        &json,
        "--html",
        &html,
    ];
    let (code, stdout, stderr) = finished(&[&TINY[..], &words].concat());
    assert_eq!(code, 0, "{stdout}{stderr}");
    for part in [
        "idle-small ",
        "idle-owner ",
        "filled again",
        "rest / fall",
        "Live pages",
    ] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    let results: Value = serde_json::from_str(&fs::read_to_string(&json).expect("the file")).expect("JSON");
    for cell in results["cells"].as_array().expect("a list") {
        let curve: Vec<_> = cell["curve"].as_array().expect("a curve").iter().collect();
        assert!(
            !curve.is_empty() && curve.iter().all(|kib| kib.as_u64() > Some(500)),
            "{cell}"
        );
    }
    let page = fs::read_to_string(&html).expect("the file");
    assert!(page.contains("Memory over time") && page.contains("<path class=\"curve c0\""));

    // Under shared libraries; the C library, put before itself, changes nothing.
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
    let library = maps.split_whitespace().find(|word| word.contains("/libc.so"));
    let Some(library) = library else { return };
    let (same, json) = (format!("same={library}"), path(&folder, "preload.json"));
    let words = [
        "run",
        "--quick",
        "--scale",
        "0.001",
        "--preload",
        "--lib",
        &same,
        "--alloc",
        "system,same",
    ];
    let more = ["--bench", "idle-small", "--cells", cells(), "--json", &json];
    let (code, stdout, stderr) = finished(&[&words[..], &more].concat());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("by LD_PRELOAD"), "{stdout}");
    let results: Value = serde_json::from_str(&fs::read_to_string(&json).expect("the file")).expect("JSON");
    let names = results["cells"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|cell| &cell["alloc"]);
    assert_eq!(names.collect::<Vec<_>>(), ["system", "same"]);
}

#[test]
fn wrong_arguments_are_answered_before_anything_runs() {
    let start = Instant::now();
    for (words, part) in [
        (&["run", "--alloc", "jemaloc"][..], "valid: greyspan, system, mimalloc"),
        (
            &["run", "--bench", "churn,chrun"],
            "unknown \"chrun\"; valid: box64-lifo",
        ),
        (&["run", "--threads", "0"], "--threads needs numbers"),
        (
            &["run", "--bench", "xmalloc", "--threads", "1"],
            "xmalloc needs two or more",
        ),
        (&["run", "--repeat", "many"], "--repeat needs a number"),
        (&["run", "--json"], "--json needs a value"),
        (&["run", "--jsn", "x"], "unknown argument \"--jsn\""),
        (
            &["run", "--json", "/no/such/folder/out.json"],
            "/no/such/folder/out.json can't be written",
        ),
        (
            &["run", "--html", "/no/such/folder/out.html"],
            "/no/such/folder/out.html can't be written",
        ),
        (&["exec", "--", "true"], "exec needs a NAME"),
        (&["exec", "name"], "a command after --"),
        (
            &["exec", "name", "--alloc", "nonesuch", "--", "true"],
            "unknown \"nonesuch\"",
        ),
        (&["exec", "name", "--lib", "x", "--", "true"], "--lib needs NAME=PATH"),
        (&["show", "/no/such/file"], "/no/such/file"),
        (&["walk"], "unknown command \"walk\""),
        (&[], "no command"),
    ] {
        let (code, stdout, stderr) = finished(words);
        assert_eq!(code, 2, "{words:?}: {stderr}");
        assert!(
            stderr.contains(part) && stdout.is_empty(),
            "{words:?}: {stdout}{stderr}"
        );
        assert!(
            !stderr.contains(" test-"),
            "a bench that tests the runner is named: {stderr}"
        );
    }
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "something was built or measured"
    );
}

#[test]
fn cells_that_go_wrong_are_named_and_the_others_go_on() {
    let folder = scratch("faults");
    let (json, html) = (path(&folder, "out.json"), path(&folder, "out.html"));
    let words = [
        cells(),
        "--bench",
        "test-crash,test-hang,test-wrong,churn",
        "--timeout",
        "2",
        "--json",
        &json,
        "--html",
        &html,
    ];
    let (code, stdout, stderr) = finished(&[&TINY[..], &words].concat());
    assert_eq!(code, 1, "{stdout}{stderr}");
    for part in [
        "FAILED: test-crash under system: signal: 6 (SIGABRT)",
        "FAILED: test-hang under greyspan: out of time after 2 s",
        "FAILED: test-wrong under greyspan: wrong result",
    ] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    let results: Value = serde_json::from_str(&fs::read_to_string(&json).expect("the file")).expect("JSON");
    for cell in results["cells"].as_array().expect("a list") {
        let good = cell["bench"] == "churn";
        assert_eq!(cell.get("failure").is_none(), good, "{cell}");
        assert!(!good || cell["seconds"].as_array().map(Vec::len) == Some(3), "{cell}");
    }
    let page = fs::read_to_string(&html).expect("the file");
    assert!(page.contains("failed: signal: 6 (SIGABRT)"));
}

#[test]
fn an_allocator_whose_program_is_missing_is_named_and_the_others_run() {
    let folder = scratch("missing");
    fs::copy(env!("CARGO_BIN_EXE_cell_system"), folder.join("cell_system")).expect("a copy");
    let words = [folder.to_str().expect("UTF-8"), "--bench", "churn"];
    let (code, stdout, _) = finished(&[&TINY[..], &words].concat());
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("SKIPPED: greyspan: no "), "{stdout}");
    let ran = |line: &str| line.split_whitespace().take(3).eq(["churn", "1", "system"]) && line.contains(" MiB");
    assert!(stdout.lines().any(ran), "{stdout}");
}

#[test]
fn a_ctrl_c_ends_the_run_and_what_is_done_is_written() {
    let folder = scratch("interrupt");
    let (json, html) = (path(&folder, "out.json"), path(&folder, "out.html"));
    let words = [cells(), "--bench", "churn,test-hang", "--json", &json, "--html", &html];
    let words = [&TINY[..], &words].concat();
    let mut command = compare(&words);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("compare starts");
    // Waits until the cells before the one that hangs are done, in the warm-up round.
    std::thread::sleep(Duration::from_secs(3));
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(killed.success());
    let start = Instant::now();
    let output = child.wait_with_output().expect("it ends");
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "the cell that hangs was waited for"
    );
    assert_eq!(output.status.code(), Some(130));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("INTERRUPTED"), "{stdout}");
    let results: Value = serde_json::from_str(&fs::read_to_string(&json).expect("the file")).expect("JSON");
    assert_eq!(results["settings"]["interrupted"], true);
    assert!(fs::read_to_string(&html).expect("the file").contains("INTERRUPTED"));
}

#[test]
fn any_command_runs_under_each_library() {
    let folder = scratch("exec");
    let json = path(&folder, "out.json");
    let words = [
        "exec",
        "pause",
        "--alloc",
        "system",
        "--repeat",
        "2",
        "--json",
        &json,
        "--",
        "/bin/sh",
        "-c",
        "sleep 0.05; exit 0",
    ];
    let (code, stdout, stderr) = finished(&words);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("command: /bin/sh -c sleep 0.05; exit 0"), "{stdout}");
    let results: Value = serde_json::from_str(&fs::read_to_string(&json).expect("the file")).expect("JSON");
    let cell = &results["cells"][0];
    assert_eq!(
        (cell["alloc"].as_str(), cell["bench"].as_str()),
        (Some("system"), Some("pause"))
    );
    let seconds: Vec<f64> = cell["seconds"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert!(
        seconds.len() == 2 && seconds.iter().all(|&seconds| (0.05..20.0).contains(&seconds)),
        "{seconds:?}"
    );

    for key in [
        "major_faults",
        "voluntary_switches",
        "involuntary_switches",
        "user_seconds",
        "system_seconds",
    ] {
        assert_eq!(cell[key].as_array().map(Vec::len), Some(2), "{key} in {cell}");
    }
    for part in ["CPU time", "wall time", "peak RSS", "page faults", "context switches"] {
        assert!(
            stdout.lines().any(|line| line.starts_with(part)),
            "no {part} in {stdout}"
        );
    }

    // More libraries, by either spelling; the C library, put before itself, changes nothing.
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
    if let Some(library) = maps.split_whitespace().find(|word| word.contains("/libc.so")) {
        let (one, two) = (format!("one={library}"), format!("two={library}"));
        let words = [
            "exec", "quick", "--lib", &one, "--so", &two, "--alloc", "one,two", "--repeat", "1", "--", "true",
        ];
        let (code, stdout, stderr) = finished(&words);
        assert_eq!(code, 0, "{stdout}{stderr}");
        let heading: Vec<_> = stdout
            .lines()
            .find(|line| line.starts_with("CPU time "))
            .into_iter()
            .collect();
        assert!(
            heading.concat().contains("one") && heading.concat().contains("two"),
            "{stdout}"
        );
    }

    let (code, stdout, _) = finished(&[
        "exec", "bad", "--alloc", "system", "--repeat", "1", "--", "/bin/sh", "-c", "exit 9",
    ]);
    assert_eq!(code, 1);
    assert!(stdout.contains("FAILED: bad under system"), "{stdout}");
}

/// Uses a program in place of valgrind: it runs the command and leaves counts of two processes.
#[test]
fn counts_of_all_processes_are_added_up_and_have_their_tables() {
    use std::os::unix::fs::PermissionsExt;

    let folder = scratch("count");
    let (valgrind, json) = (path(&folder, "valgrind"), path(&folder, "out.json"));
    let script = "#!/bin/sh\nfor word; do case $word in --cachegrind-out-file=*) out=${word#*=} ;; esac; done\n\
                  while [ \"${1#-}\" != \"$1\" ]; do shift; done\n\
                  for part in 1 2; do printf 'events: Ir D1mr DLmr D1mw DLmw\\nsummary: 50 4 3 2 1\\n' > \"${out%\\%p}$part\"; done\n\
                  exec \"$@\"\n";
    fs::write(&valgrind, script).expect("a script");
    fs::set_permissions(&valgrind, fs::Permissions::from_mode(0o755)).expect("a program");
    let search = format!("{}:/usr/bin:/bin", folder.display());
    let run = |command: &str| {
        let words = [
            "exec", "one", "--count", "--alloc", "system", "--json", &json, "--", "/bin/sh", "-c", command,
        ];
        compare(&words).env("PATH", &search).output().expect("the program")
    };
    let output = run("exit 0");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        stdout.contains("has no TLB") && !stdout.contains("wall time"),
        "{stdout}"
    );
    let results: Value = serde_json::from_str(&fs::read_to_string(&json).expect("the file")).expect("JSON");
    let cell = &results["cells"][0];
    let counts = ["instructions", "d1_misses", "ll_misses"].map(|key| cell[key][0].as_u64());
    assert_eq!(counts, [Some(100), Some(12), Some(8)]);
    // `show` reads them again.
    let (code, again, _) = finished(&["show", &json]);
    assert!(code == 0 && again.contains("D1 misses"), "{again}");

    let output = run("exit 3");
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("FAILED: one under system"), "{stdout}");
    let words = ["exec", "one", "--count", "--alloc", "system", "--", "/bin/true"];
    let output = compare(&words)
        .env("PATH", "/no/such/folder")
        .output()
        .expect("the program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && stderr.contains("needs valgrind"),
        "{stderr}"
    );
}

/// Uses two programs in place of Cargo: one that notes its arguments and fails, and one that does
/// not exist.
#[test]
fn greyspan_is_built_for_exec_or_its_absence_is_told() {
    use std::os::unix::fs::PermissionsExt;

    let folder = scratch("exec-build");
    let (cargo, noted) = (path(&folder, "cargo"), path(&folder, "noted"));
    let script = format!("#!/bin/sh\necho \"$@\" >> {noted}\necho 'error: no luck today' >&2\nexit 1\n");
    fs::write(&cargo, script).expect("a script");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("a program");
    for (cargo, why) in [
        (cargo.as_str(), "no luck today"),
        ("/no/such/cargo", "could not be started"),
    ] {
        let words = [
            "exec",
            "quick",
            "--alloc",
            "greyspan,system",
            "--repeat",
            "1",
            "--",
            "true",
        ];
        let output = compare(&words).env("CARGO", cargo).output().expect("the program");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(stderr.contains("building libgreyspan.so"), "{stderr}");
        assert!(
            stdout.contains("greyspan") && stdout.contains(why) && stdout.contains("system"),
            "{stdout}{stderr}"
        );
    }
    let noted = fs::read_to_string(noted).expect("what Cargo was asked for");
    assert!(noted.contains("build") && noted.contains("greyspan-preload"), "{noted}");
    assert_eq!(noted.lines().count(), 1);
}

/// The script of the programs answers before it builds or measures.
#[test]
fn wrong_arguments_of_the_script_of_programs_are_answered_at_once() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs.sh");
    for (words, part) in [
        (&[][..], "expected a name"),
        (&["--cont", "name"], "unknown option --cont"),
        (&["name", "--only"], "--only needs a value"),
        (&["a/b"], "expected a name"),
        (&["name", "1", "2"], "expected a name"),
    ] {
        let output = Command::new("bash").arg(script).args(words).output().expect("bash");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        assert!(
            stderr.contains(part) && stderr.contains("--count"),
            "{words:?}: {stderr}"
        );
    }
}

#[test]
fn the_list_names_allocators_and_benches() {
    let (code, stdout, _) = finished(&["list"]);
    assert_eq!(code, 0);
    for part in [
        "greyspan",
        "snmalloc-rs",
        "larson",
        "two or more",
        "fixed sizes",
        "latency-32k-p99.9 ",
    ] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    assert!(!stdout.contains(" test-"), "{stdout}");
}

#[test]
fn a_map_shows_the_heap_of_a_bench_and_is_written_for_browsers_and_machines() {
    let folder = scratch("map");
    let (svg, json) = (path(&folder, "map.svg"), path(&folder, "map.json"));
    let (code, stdout, stderr) = finished(&[
        "map",
        "churn",
        "--scale",
        "0.05",
        "--threads",
        "2",
        "--cells",
        cells(),
        "--svg",
        &svg,
        "--json",
        &json,
    ]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    for part in ["churn with 2 threads", "arena 0", "spans of small objects", "in use"] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    let picture = fs::read_to_string(svg).expect("written");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    let map: Value = serde_json::from_str(&fs::read_to_string(json).expect("written")).expect("JSON");
    assert_eq!(map["version"], 1);
    let runs = map["arenas"][0]["runs"].as_array().expect("a list");
    let pages: u64 = runs.iter().map(|run| run[0].as_u64().expect("a number")).sum();
    let bytes = &map["bytes"];
    assert_eq!(
        Some(pages * map["page"].as_u64().expect("a number")),
        bytes["ready"].as_u64()
    );
    assert!(bytes["in_use"].as_u64() > Some(0) && bytes["in_use"].as_u64() <= bytes["ready"].as_u64());

    for words in [
        &["map", "no-such-bench"][..],
        &["map", "churn", "--threads", "0"],
        &["map", "--scale", "x"],
    ] {
        let (code, _, stderr) = finished(words);
        assert_eq!(code, 2, "{words:?}: {stderr}");
    }
}
