//! The order of imports: layers of the library, and modules of the collector.

use super::{code, excepted, files, none};
use std::fs;
use std::path::Path;

/// Returns the names in `mod name;` lines, in order.
fn layers(tour: &str) -> Vec<&str> {
    let name = |line| str::split_once(line, "mod ")?.1.strip_suffix(';');
    tour.lines().filter_map(name).collect()
}

/// Returns the fault of the imports in one line of a file of the layer `own`.
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

/// Returns the fault of the imports in one line of the module `own` of a folder whose modules stand
/// in this order.
fn wrong_sibling(order: &[&str], own: &str, line: &str) -> Option<String> {
    let place = |name: &str| order.iter().position(|module| *module == name);
    let begin = |rest: &str| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or("")
            .to_owned()
    };
    // A name that the parent exports hides its module. Imports of inner modules are indented.
    if let Some(rest) = line.strip_prefix("use super::")
        && place(&begin(rest)).is_none()
    {
        return Some(format!("`{line}` hides the module that it imports from"));
    }
    let named = ["super::", "crate::gc::"].map(|door| line.split(door).skip(1).map(begin));
    let below = named.into_iter().flatten().find(|name| place(name) > place(own))?;
    Some(format!(
        "`{below}` is below `{own}` in mod.rs: move code, or declare a hook"
    ))
}

#[test]
fn each_module_of_the_collector_imports_only_from_those_above_it() {
    let tour = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gc/mod.rs")).expect("src/gc/mod.rs");
    let order = layers(&tour);
    assert!(
        order.contains(&"world"),
        "src/gc/mod.rs should list the modules: {order:?}"
    );
    let mut found = Vec::new();
    for (path, text) in files("src/gc", &[".rs"]) {
        let own = path.split('/').nth(2).unwrap_or("").trim_end_matches(".rs");
        for (number, line) in code(&path, &text).filter(|_| own != "mod" && own != "models") {
            found.extend(wrong_sibling(&order, own, line).map(|fault| format!("{path}:{number}: {fault}")));
        }
    }
    none(&found, "the order of the modules is that of reading");
}

#[test]
fn imports_from_siblings_below_are_seen() {
    let order = layers("mod span;\n\n#[cfg(not(greyspan_loom))]\nmod world;\nmod heap;\n");
    for bad in [
        "use super::heap::Heap;",
        "    x(super::heap::end())",
        "use crate::gc::heap::Heap;",
        "use super::Heap;",
        "use super::{span, heap};",
    ] {
        assert!(wrong_sibling(&order, "world", bad).is_some(), "{bad}");
    }
    for good in [
        "use super::span::Span;",
        "    use super::Trace;",
        "pub(super) fn heap() {",
        "crate::heap::x()",
    ] {
        assert_eq!(wrong_sibling(&order, "world", good), None, "{good}");
    }
}
