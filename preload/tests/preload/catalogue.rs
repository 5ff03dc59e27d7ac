//! Checks that the catalogue of bad input is covered. Its cases are numbered from 1 to 73. For each
//! case, a test has the number in its name, or [`UNTESTED`] states why there is no test.

use std::collections::BTreeMap;
use std::path::Path;

/// Cases without a test, each with the reason.
const UNTESTED: [(u32, &str); 3] = [
    (
        32,
        "a stale read finds zeros: the default build does not wipe freed blocks",
    ),
    (
        33,
        "a block that is used again holds no secrets: the default build does not wipe freed blocks",
    ),
    (
        62,
        "longjmp out of a handler that interrupted the heap: the README says not to",
    ),
];

/// Files whose test names contain numbers of cases. The script `inject.sh` tests some further
/// cases.
const PLACES: [&str; 4] = [
    "tests/preload/semantics.rs",
    "tests/preload/survival.rs",
    "tests/preload/wrong.rs",
    "../src/heap/tests/failures.rs",
];

/// Returns the numbers at the start of a name: 56 and 57 for `c56_c57_what_it_tells`.
fn numbers(name: &str) -> impl Iterator<Item = u32> + '_ {
    name.split('_').map_while(|part| {
        let digits = part.strip_prefix('c').filter(|digits| digits.len() == 2)?;
        digits.parse().ok()
    })
}

#[test]
fn every_case_has_a_test_that_bears_its_number() {
    let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for place in PLACES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
        let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for word in source.split(|other: char| !other.is_ascii_alphanumeric() && other != '_') {
            // A long word is a test's name; a short one is the argument that selects a case.
            for number in numbers(word).filter(|_| word.len() > 8) {
                found.entry(number).or_default().push(word.to_owned());
            }
        }
    }
    let script = include_str!("../inject.sh");
    assert!(script.contains("cases 52 to 55"));
    for number in 52..=55 {
        found.entry(number).or_default().push("inject.sh".to_owned());
    }
    for (number, why) in UNTESTED {
        assert_eq!(
            found.get(&number),
            None,
            "case {number} has a test, but UNTESTED lists it: {why}"
        );
        found.insert(number, vec![why.to_owned()]);
    }
    let missing: Vec<u32> = (1..=73).filter(|number| !found.contains_key(number)).collect();
    assert_eq!(missing, [], "cases without a test");
}
