//! Actions: requests that change something. They are POST requests with the header that `guard`
//! demands. Each answer is a small JSON object.

use crate::profile;
use crate::query::Query;
use crate::reply::{self, Refusal, Reply};
use crate::server::{State, work};
use std::sync::Arc;
use std::time::Instant;

/// The default mean number of bytes between two samples: that of Go, 512 KiB.
pub(crate) const DEFAULT_RATE: u64 = 512 << 10;

/// Gives free memory back to the system. Answers `{"bytes":N}` with the number of bytes.
pub(crate) async fn purge(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let bytes = work(|| Ok(greyspan::purge())).await?;
    Ok(reply::ok(reply::JSON, format!("{{\"bytes\":{bytes}}}")))
}

/// Collects the managed heaps. Answers `{"heaps":N,"ms":N}`: their number, and the time in
/// milliseconds.
pub(crate) async fn collect(state: Arc<State>, query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let begin = Instant::now();
    let heaps = work(move || Ok(collect_heaps(&state))).await?;
    let ms = begin.elapsed().as_millis();
    Ok(reply::ok(reply::JSON, format!("{{\"heaps\":{heaps},\"ms\":{ms}}}")))
}

/// Runs a cycle of each managed heap that the program named. Returns their number.
pub(crate) fn collect_heaps(state: &State) -> usize {
    #[cfg(feature = "gc")]
    for heap in &state.options.heaps {
        heap.0.collect();
    }
    managed_heaps(state)
}

/// Returns the number of managed heaps that the program named.
#[cfg_attr(not(feature = "gc"), expect(unused_variables))]
pub(crate) fn managed_heaps(state: &State) -> usize {
    #[cfg(feature = "gc")]
    return state.options.heaps.len();
    #[cfg(not(feature = "gc"))]
    0
}

/// Starts sampling at `rate`, from 1 byte to 1 TiB. Answers `{"profiling":true,"rate":N}`.
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

/// Stops sampling. Answers `{"profiling":false}`.
pub(crate) fn stop_profile(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    profile::stop();
    Ok(reply::ok(reply::JSON, "{\"profiling\":false}"))
}
