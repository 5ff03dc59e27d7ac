//! What changes something: POST only, each with the header that `guard` asks for. Answers are small JSON objects.

use crate::profile;
use crate::query::Query;
use crate::reply::{self, Refusal, Reply};
use crate::server::{State, work};
use std::sync::Arc;
use std::time::Instant;

/// Mean bytes between two samples where nobody says otherwise: Go's.
pub(crate) const DEFAULT_RATE: u64 = 512 << 10;

/// `{"bytes":N}`: so much was given back.
pub(crate) async fn purge(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let bytes = work(|| Ok(greyspan::purge())).await?;
    Ok(reply::ok(reply::JSON, format!("{{\"bytes\":{bytes}}}")))
}

/// `{"heaps":N,"ms":N}`: so many were collected, which took so long.
pub(crate) async fn collect(state: Arc<State>, query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let begin = Instant::now();
    let heaps = work(move || Ok(collect_heaps(&state))).await?;
    let ms = begin.elapsed().as_millis();
    Ok(reply::ok(reply::JSON, format!("{{\"heaps\":{heaps},\"ms\":{ms}}}")))
}

/// Runs a cycle of each managed heap that the program named; how many those are.
pub(crate) fn collect_heaps(state: &State) -> usize {
    #[cfg(feature = "gc")]
    for heap in &state.options.heaps {
        heap.0.collect();
    }
    managed_heaps(state)
}

#[cfg_attr(not(feature = "gc"), expect(unused_variables))]
pub(crate) fn managed_heaps(state: &State) -> usize {
    #[cfg(feature = "gc")]
    return state.options.heaps.len();
    #[cfg(not(feature = "gc"))]
    0
}

/// `{"profiling":true,"rate":N}`.
pub(crate) fn start_profile(query: Option<&str>) -> Result<Reply, Refusal> {
    let query = Query::read(query, &["rate"])?;
    let rate = query.number("rate", 1, 1 << 40)?;
    let rate = usize::try_from(rate.unwrap_or(DEFAULT_RATE)).unwrap_or(usize::MAX);
    profile::begin(rate)?;
    Ok(reply::ok(
        reply::JSON,
        format!("{{\"profiling\":true,\"rate\":{rate}}}"),
    ))
}

/// `{"profiling":false}`.
pub(crate) fn stop_profile(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    profile::stop();
    Ok(reply::ok(reply::JSON, "{\"profiling\":false}"))
}
