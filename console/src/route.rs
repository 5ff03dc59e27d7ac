//! Which address is answered by whom.
//!
//! 1. GET changes nothing that a program could notice but by its speed: `?gc=1` of the profiles collects managed heaps first, as it does in Go. What changes anything else is a POST with a header of its own.

use crate::reply::{self, Refusal, Reply};
use crate::server::State;
use crate::{action, guard, page, pprof, view};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use std::sync::Arc;

/// The answer to `request`, whatever it is.
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
        // What the list links to stands below it.
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
            "nothing is here; / is the console, and /debug/pprof/ lists the profiles",
        )),
    }
}
