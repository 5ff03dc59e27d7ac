//! Access control: the checks that every request must pass before the console routes it.
//!
//! 1. The `Host` is an address, `localhost`, or a name that the program allows. An attacker may
//!    point a domain name at this machine (DNS rebinding); the browser then sends that name as the
//!    `Host`, and the request is refused. The unspecified address (`0.0.0.0`) is refused too: no
//!    user needs it, and a browser that uses it does not send the page's origin.
//! 2. A page of another site can neither read anything nor run an action. Browsers send the origin
//!    of a request (`Sec-Fetch-Site`, `Origin`).
//! 3. A request that changes anything is a POST with the header [`ACTION`]. A page of another
//!    origin must ask for permission before it can send that header, and the console grants none.
//! 4. Requests have no bodies.

use crate::reply::Refusal;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Request, StatusCode};
use std::net::IpAddr;

/// The header of a request for an action; its value does not matter.
pub(crate) const ACTION: HeaderName = HeaderName::from_static("greyspan-action");

/// Checks rules 1, 2 and 4. `allowed` lists host names besides `localhost`, in lower case.
pub(crate) fn check<B>(request: &Request<B>, allowed: &[String]) -> Result<(), Refusal> {
    let headers = request.headers();
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = single(headers, &header::HOST)?.or(authority);
    let Some(host) = host else {
        return Err(Refusal::query(
            "the request has no Host header: send one, as HTTP/1.1 demands",
        ));
    };
    if !is_ours(host, allowed) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the Host header is neither an address nor localhost; to allow another name, the program calls `Builder::allow_host`",
        ));
    }
    if let Some(origin) = single(headers, &header::ORIGIN)?
        && origin.strip_prefix("http://").or(origin.strip_prefix("https://")) != Some(host)
    {
        return Err(foreign());
    }
    let site = single(headers, &HeaderName::from_static("sec-fetch-site"))?.unwrap_or("none");
    // A link from another site may open the page, and nothing else.
    let link = request.method() == Method::GET && request.uri().path() == "/";
    if !matches!(site, "none" | "same-origin") && !link {
        return Err(foreign());
    }
    let empty = single(headers, &header::CONTENT_LENGTH)?.is_none_or(|length| length == "0");
    if !empty || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the console takes no request bodies: send the request without one",
        ));
    }
    Ok(())
}

/// Checks rule 3 for an action: the header must be there.
pub(crate) fn check_action(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(ACTION) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "an action needs the header `Greyspan-Action: 1`, which protects it from pages of other sites",
    ))
}

fn foreign() -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        "the request comes from a page of another site; open the console's own page instead",
    )
}

/// Returns the value of a header that may occur only once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::query(format!(
            "the request has the header {name} more than once"
        )));
    }
    match first.map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(Refusal::query(format!("the header {name} is not ASCII"))),
    }
}

fn is_ours(host: &str, allowed: &[String]) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let v6 = |address: IpAddr| address.is_ipv6() && !address.is_unspecified();
            return address.parse().is_ok_and(v6) && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => host
            .split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port))),
    };
    if !port.is_none_or(is_port) {
        return false;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.parse().is_ok_and(|address: IpAddr| !address.is_unspecified())
        || allowed.contains(&name)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, path: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).expect("a request"), &["heap.example".to_owned()])
    }

    #[test]
    fn addresses_localhost_and_allowed_names_are_served() {
        for host in [
            "127.0.0.1:6060",
            "127.0.0.1",
            "localhost:6060",
            "LocalHost",
            "localhost.:1",
            "[::1]:6060",
            "[::1]",
            "10.1.2.3:80",
            "heap.example:6060",
            "Heap.Example",
        ] {
            assert!(asked("GET", "/", &[("host", host)]).is_ok(), "{host}");
        }
    }

    #[test]
    fn names_that_anybody_can_point_here_are_refused() {
        for host in [
            "evil.example",
            "evil.example:6060",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            ":6060",
            "localhost:x",
            "localhost:",
            "[::1]x",
            "[evil]",
            "127.0.0.1:6060:1",
            "127.0.0.1:99999",
            "user@localhost",
            "[127.0.0.1]",
            "0.0.0.0:6060",
            "[::]:6060",
        ] {
            assert!(asked("GET", "/", &[("host", host)]).is_err(), "{host:?}");
        }
        assert!(asked("GET", "/", &[]).is_err());
        assert!(asked("GET", "/", &[("host", "localhost"), ("host", "localhost")]).is_err());
    }

    #[test]
    fn pages_of_other_sites_are_refused_and_links_are_followed() {
        let host = ("host", "localhost:1");
        let cross = ("sec-fetch-site", "cross-site");
        assert!(asked("GET", "/", &[host, cross]).is_ok());
        assert!(asked("GET", "/stats.json", &[host, ("sec-fetch-site", "same-origin")]).is_ok());
        assert!(asked("POST", "/purge", &[host, ("origin", "http://localhost:1")]).is_ok());
        for site in ["cross-site", "same-site", "nonsense"] {
            assert!(asked("GET", "/debug/pprof/heap?gc=1", &[host, ("sec-fetch-site", site)]).is_err());
            assert!(asked("POST", "/", &[host, ("sec-fetch-site", site)]).is_err());
        }
        for origin in ["null", "http://evil.example", "http://localhost:2", "localhost:1"] {
            assert!(
                asked("POST", "/purge", &[host, ("origin", origin)]).is_err(),
                "{origin}"
            );
        }
    }

    #[test]
    fn bodies_are_refused() {
        let host = ("host", "localhost");
        assert!(asked("POST", "/purge", &[host, ("content-length", "0")]).is_ok());
        assert!(asked("POST", "/purge", &[host, ("content-length", "1")]).is_err());
        assert!(asked("POST", "/purge", &[host, ("transfer-encoding", "chunked")]).is_err());
    }
}
