//! The shared libraries that a run measures: chosen on the command line, built, checked and named.

use greyspan_bench::runner::arguments::Arguments;
use greyspan_bench::runner::exec::{self, Preload};
use greyspan_bench::runner::machine::Machine;
use greyspan_bench::runner::{Build, not_built, target_folder};
use std::collections::BTreeMap;
use std::fs;

/// Takes `--lib` (also spelled `--so`) and `--alloc`, and returns the libraries that they choose.
pub(crate) fn chosen(arguments: &mut Arguments) -> Result<Vec<Preload>, String> {
    let mut found = exec::find(&target_folder());
    let mut next = || match arguments.value("--lib")? {
        None => arguments.value("--so"),
        text => Ok(text),
    };
    while let Some(text) = next()? {
        let named = exec::named(&text)?;
        found.retain(|known| known.0 != named.0);
        found.push(named);
    }
    let names: Vec<&str> = found.iter().map(|preload| &*preload.0).collect();
    let chosen = arguments.choice("--alloc", &names, str::to_owned);
    let chosen = chosen.map_err(|message| format!("{message} ({})", exec::HOW_TO_GET))?;
    let chosen: Vec<String> = chosen
        .unwrap_or_else(|| names.clone())
        .into_iter()
        .map(str::to_owned)
        .collect();
    found.retain(|preload| chosen.contains(&preload.0));
    Ok(found)
}

/// Builds Greyspan's library if it is among them, removes those that do not load, and names their
/// versions in `machine`. Returns the removed ones, each with the reason.
pub(crate) fn ready(found: &mut Vec<Preload>, machine: &mut Machine) -> BTreeMap<String, String> {
    let (mut skipped, mut versions) = (BTreeMap::new(), BTreeMap::new());
    // Builds the library first, as `run` builds its programs, so that the current code is measured.
    let own = target_folder().join("release").join(exec::LIBRARY);
    if found.iter().any(|(_, library)| library.as_ref() == Some(&own)) {
        eprint!("building {} ... ", exec::LIBRARY);
        match Build::release(&target_folder()).library() {
            Ok(_) => eprintln!("done"),
            Err(output) => {
                found.retain(|(_, library)| library.as_ref() != Some(&own));
                skipped.insert("greyspan".to_owned(), not_built(&output));
            }
        }
    }
    found.retain(|(alloc, library)| match exec::check(library.as_deref()) {
        Ok(()) => true,
        Err(why) => skipped.insert(alloc.clone(), why).is_some_and(|_| false),
    });
    for (alloc, library) in &*found {
        let version = library
            .as_ref()
            .map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
        // Takes the real file name, which holds the version, without its folder: the folder says
        // nothing about the library.
        let version = version
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .or(machine.versions.remove(alloc));
        versions.extend(version.map(|version| (alloc.clone(), version)));
    }
    machine.versions = versions;
    skipped
}
