//! The answers that only read: statistics, the heap over time, the flame graph, the map, the
//! events.

use crate::action::managed_heaps;
use crate::profile::{self, VIEWS};
use crate::query::Query;
use crate::reply::{self, Refusal, Reply};
use crate::server::{State, work};
use greyspan::events::Reader;
use hyper::header;
use std::env;
use std::fmt::Write;

/// Returns the statistics in the text format of Prometheus.
pub(crate) fn metrics(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let reply = reply::ok(reply::TEXT, greyspan::stats().to_prometheus());
    Ok(reply::with(
        reply,
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    ))
}

/// Returns the statistics as JSON.
pub(crate) fn stats(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    Ok(reply::ok(reply::JSON, greyspan::stats().to_json()))
}

/// Returns, as JSON, the facts about the program that the page needs besides its heap.
pub(crate) fn status(state: &State, query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let path = env::current_exe().unwrap_or_default();
    let program = path.file_name().unwrap_or_default().to_string_lossy();
    let serves = greyspan::stats().has_served;
    let text = format!(
        "{{\"version\":\"{}\",\"program\":{},\"pid\":{},\"uptime_ms\":{},\"serves_program\":{serves},\"can_profile\":{},\"profiling\":{},\
         \"profile_rate\":{},\"has_profile\":{},\"managed_heaps\":{},\"memory_limit\":{},\"hard_limit\":{}}}",
        greyspan::version(),
        quoted(&program),
        std::process::id(),
        state.since.elapsed().unwrap_or_default().as_millis(),
        profile::CAN_PROFILE,
        profile::running().is_some(),
        profile::running().unwrap_or_default(),
        profile::was_running(),
        managed_heaps(state),
        number_or_null(greyspan::memory_limit()),
        number_or_null(greyspan::hard_limit()),
    );
    Ok(reply::ok(reply::JSON, text))
}

/// Returns the heap over time as JSON.
pub(crate) fn history(state: &State, query: Option<&str>) -> Result<Reply, Refusal> {
    let query = Query::read(query, &["since"])?;
    let since = query.number("since", 0, u64::MAX)?.unwrap_or(0);
    Ok(reply::ok(reply::JSON, state.history(|history| history.to_json(since))))
}

pub(crate) async fn folded(query: Option<&str>) -> Result<Reply, Refusal> {
    let view = view(query)?;
    let body = work(move || profile::folded(&profile::shown(profile::take()?, view))).await?;
    Ok(reply::ok(reply::TEXT, body))
}

pub(crate) async fn flamegraph(query: Option<&str>) -> Result<Reply, Refusal> {
    let view = view(query)?;
    let body = work(move || profile::flamegraph(&profile::shown(profile::take()?, view))).await?;
    Ok(picture(body))
}

pub(crate) async fn map_json(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let body = work(|| Ok(greyspan::heap_map().to_json())).await?;
    Ok(reply::ok(reply::JSON, body))
}

pub(crate) async fn map_svg(query: Option<&str>) -> Result<Reply, Refusal> {
    Query::read(query, &[])?;
    let body = work(|| Ok(greyspan::heap_map().to_svg())).await?;
    Ok(picture(body.into_bytes()))
}

/// Returns the events from number `since` on, as far as the allocator remembers them:
/// `{"next":N,"missed":N,"events":[{"sequence":N,"t":MS,"name":"purge","text":"..."},..]}`. Reading
/// does not remove them: other readers get the same events.
pub(crate) fn events(query: Option<&str>) -> Result<Reply, Refusal> {
    let query = Query::read(query, &["since"])?;
    let mut reader = match query.number("since", 0, u64::MAX)? {
        Some(since) => Reader::since(since),
        None => Reader::new(),
    };
    let mut list = String::new();
    let missed = reader.read(&mut |event| {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(
            list,
            "{comma}{{\"sequence\":{},\"t\":{},\"name\":\"{}\",\"text\":{}}}",
            event.sequence,
            event.unix_nanos / 1_000_000,
            event.kind.name(),
            quoted(&event.kind.to_string())
        );
    });
    let next = reader.position();
    Ok(reply::ok(
        reply::JSON,
        format!("{{\"next\":{next},\"missed\":{missed},\"events\":[{list}]}}"),
    ))
}

fn view(query: Option<&str>) -> Result<usize, Refusal> {
    Ok(Query::read(query, &["view"])?.word("view", &VIEWS)?.unwrap_or(0))
}

/// Returns a picture that the console has made. Its policy allows scripts: a flame graph contains
/// one that zooms and searches.
fn picture(body: Vec<u8>) -> Reply {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'; sandbox allow-scripts";
    reply::with(reply::ok(reply::SVG, body), header::CONTENT_SECURITY_POLICY, policy)
}

fn number_or_null(number: Option<usize>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}

/// Returns `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            // Writing to a string cannot fail.
            letter if letter < ' ' => drop(write!(out, "\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_a_string_of_json() {
        assert_eq!(quoted("plain-1.2"), "\"plain-1.2\"");
        assert_eq!(quoted("a\"b\\c\n\u{1}é"), "\"a\\\"b\\\\c\\u000a\\u0001é\"");
    }
}
