//! `/debug/pprof/`: the same addresses as in Go, so that Go's tools work on a Rust program.

use crate::action::collect_heaps;
use crate::profile::{self, Profile, VIEWS};
use crate::query::Query;
use crate::reply::{self, Refusal, Reply};
use crate::server::{State, work};
use hyper::{StatusCode, header};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const INDEX: &str = include_str!("page/pprof.html");
/// The longest time that a difference may cover, in seconds.
const LONGEST: u64 = 300;

/// One of Go's two heap profiles. They differ only in the view that a tool shows first.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Shows the memory in use first.
    Heap,
    /// Shows the memory allocated since sampling began first.
    Allocs,
}

impl Kind {
    /// Returns the indices in [`VIEWS`] of the views in bytes and in objects.
    fn views(self) -> [usize; 2] {
        match self {
            Self::Heap => [0, 1],
            Self::Allocs => [2, 3],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Allocs => "allocs",
        }
    }
}

pub(crate) fn index(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let sampling = match profile::running() {
        Some(rate) => format!("Sampling runs: one sample in {rate} bytes on average."),
        None => "Sampling is off: the profiles hold the samples from before, if there are any.".to_owned(),
    };
    Ok(reply::ok(reply::HTML, INDEX.replace("{{sampling}}", &sampling)))
}

pub(crate) async fn profile(state: &Arc<State>, kind: Kind, query: Option<&str>) -> Result<Reply, Refusal> {
    let query = Query::read(query, &["debug", "gc", "seconds"])?;
    let (text, collect) = (query.flag("debug")?, query.flag("gc")?);
    let seconds = query.number("seconds", 1, LONGEST)?;
    let base = match seconds {
        None => None,
        Some(seconds) => {
            let Ok(_place) = state.deltas.try_acquire() else {
                return Err(Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many requests with `seconds` are under way; try again when one has ended",
                ));
            };
            let base = taken(state, collect).await?;
            sleep(Duration::from_secs(seconds)).await;
            Some(base)
        }
    };
    let now = taken(state, collect).await?;
    let body = work(move || {
        let changed = match base {
            Some(base) => now.diff(&base),
            None => now,
        };
        let changed = profile::shown(changed, kind.views()[0]);
        if text {
            to_text(changed, kind)
        } else {
            profile::pprof(&changed)
        }
    })
    .await?;
    if text {
        return Ok(reply::ok(reply::TEXT, body));
    }
    let name = match seconds {
        Some(_) => format!("attachment; filename=\"{}-delta.pb.gz\"", kind.name()),
        None => format!("attachment; filename=\"{}.pb.gz\"", kind.name()),
    };
    Ok(reply::with(
        reply::ok(reply::BINARY, body),
        header::CONTENT_DISPOSITION,
        &name,
    ))
}

/// Takes a profile. If `collect` is set, collects the managed heaps first.
async fn taken(state: &Arc<State>, collect: bool) -> Result<Profile, Refusal> {
    let state = Arc::clone(state);
    work(move || {
        if collect {
            collect_heaps(&state);
        }
        profile::take()
    })
    .await
}

/// Writes the profile as readable text. First comes a line as in Go, then the stacks, the largest
/// first, each from the function that allocated to the outermost one. The statistics follow.
fn to_text(profile: Profile, kind: Kind) -> Result<Vec<u8>, Refusal> {
    let total = |view| profile::total(&profile, view);
    let mut text = format!(
        "heap profile: {}: {} [{}: {}] @ heap/{}\n",
        total(1),
        total(0),
        total(3),
        total(2),
        profile::running().unwrap_or_default()
    );
    let [space, objects] = kind.views();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "# objects: bytes in use [objects: bytes allocated]; below, {} and {} of each stack, the largest first\n",
        VIEWS[space], VIEWS[objects]
    );
    let bytes = String::from_utf8_lossy(&profile::folded(&profile)?).into_owned();
    let counts = String::from_utf8_lossy(&profile::folded(&profile::shown(profile, objects))?).into_owned();
    let mut counts: Vec<(&str, u64)> = counts.lines().filter_map(entry).collect();
    counts.sort_unstable();
    let mut stacks: Vec<(&str, u64)> = bytes.lines().filter_map(entry).collect();
    stacks.sort_by_key(|stack| std::cmp::Reverse(stack.1));
    for (stack, bytes) in stacks {
        let objects = counts.binary_search_by_key(&stack, |entry| entry.0);
        let objects = objects.map_or(0, |place| counts[place].1);
        let _ = writeln!(text, "{bytes} bytes in {objects} objects");
        for function in stack.rsplit(';') {
            let _ = writeln!(text, "    {function}");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", greyspan::stats());
    Ok(text.into_bytes())
}

/// Parses a line of folded stacks: the stack, and its value.
fn entry(line: &str) -> Option<(&str, u64)> {
    let (stack, value) = line.rsplit_once(' ')?;
    Some((stack, value.parse().ok()?))
}
