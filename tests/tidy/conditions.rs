//! The conditions of the build (`cfg`) in the sources are few.

use super::files;

/// The lines of `src` that may name a condition of the build.
const CONDITIONS: usize = 250;

/// Whether a line names a condition of the build.
fn is_conditional(line: &str) -> bool {
    ["cfg(", "cfg!(", "cfg_attr("].iter().any(|name| line.contains(name))
}

#[test]
fn conditions_of_the_build_are_few() {
    let all: Vec<(String, usize)> = files("src", &[".rs"])
        .into_iter()
        .map(|(path, text)| (path, text.lines().filter(|line| is_conditional(line)).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let sum: usize = all.iter().map(|(_, count)| count).sum();
    assert!(
        sum <= CONDITIONS,
        "{sum} lines of src name a condition of the build, more than {CONDITIONS}: gate a module, or give it a twin: {all:?}"
    );
}

#[test]
fn conditions_of_the_build_are_seen() {
    for line in [
        "#[cfg(greyspan_loom)]",
        "    if cfg!(checked) {",
        "#![cfg_attr(test, allow(unused_imports))]",
    ] {
        assert!(is_conditional(line), "{line}");
    }
    for line in ["let cfg = 1;", "// The cfg of the build", "#[inline]"] {
        assert!(!is_conditional(line), "{line}");
    }
}
