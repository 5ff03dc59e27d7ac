//! Routing: maps each address to the function that answers it.
//!
//! 1. A GET request changes nothing but the program's speed: `?gc=1` of the profiles collects
//!    managed heaps first, as in Go. Any other change needs a POST with the header that `guard`
//!    demands.

use crate::reply::{self, Refusal, Reply};
use crate::server::State;
use crate::{action, guard, page, pprof, view};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use std::sync::Arc;

/// Returns the answer to `request`, which may be a refusal.
pub(crate) async fn answer(request: Request<Incoming>, state: Arc<State>) -> Reply {
    match routed(&request, state).await {
        Ok(reply) => reply,
        Err(refusal) => refusal.into(),
    }
}

async fn routed(request: &Request<Incoming>, state: Arc<State>) -> Result<Reply, Refusal> {
    guard::check(request, &state.options.hosts)?;
    let path = request.uri().path();
    let query = request.uri().query();
    let acts = matches!(path, "/purge" | "/collect" | "/profile/start" | "/profile/stop");
    match *request.method() {
        Method::GET | Method::HEAD if !acts => {}
        Method::POST if acts => guard::check_action(request.headers())?,
        _ => return Err(Refusal::method(if acts { "POST" } else { "GET" })),
    }
    match path {
        "/" => Ok(page::page()),
        // The links in the list are relative to the address with the slash.
        "/debug/pprof" => Ok(reply::moved("/debug/pprof/")),
        "/debug/pprof/" => pprof::index(query),
        "/debug/pprof/heap" => pprof::profile(&state, pprof::Kind::Heap, query).await,
        "/debug/pprof/allocs" => pprof::profile(&state, pprof::Kind::Allocs, query).await,
        "/metrics" => view::metrics(query),
        "/stats.json" => view::stats(query),
        "/status.json" => view::status(&state, query),
        "/history.json" => view::history(&state, query),
        "/folded" => view::folded(query).await,
        "/flamegraph.svg" => view::flamegraph(query).await,
        "/heapmap.json" => view::map_json(query).await,
        "/heapmap.svg" => view::map_svg(query).await,
        "/events.json" => view::events(query),
        "/purge" => action::purge(query).await,
        "/collect" => action::collect(state, query).await,
        "/profile/start" => action::start_profile(query),
        "/profile/stop" => action::stop_profile(query),
        "/favicon.ico" => Ok(reply::no_content()),
        _ => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "no such address; / is the console, and /debug/pprof/ lists the profiles",
        )),
    }
}
