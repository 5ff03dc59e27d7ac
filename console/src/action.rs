//! What changes something: POST only, each with the header that `guard` asks for. Answers are small JSON objects.

use crate::query::Query;
use crate::reply::{self, Refusal, Reply};
use crate::server::{State, work};
use std::sync::Arc;
use std::time::Instant;

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
