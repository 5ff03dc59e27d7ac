//! Who may ask: the checks that every request passes before it is looked at further.
//!
//! 1. The `Host` is an address, `localhost`, or a name that the program allows. Whoever makes a browser take a name of theirs for this machine
//!    (DNS rebinding) has that name in the `Host`, and is refused. So is the address that stands for all (`0.0.0.0`): nobody needs it, and
//!    browsers that go to this machine by it do not say from which page.
//! 2. A page of another site reads nothing, and has nothing done: browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`).
//! 3. What changes anything is asked for by POST with the header [`ACTION`], which a page of another origin cannot send without asking first,
//!    and no such question is answered.
//! 4. Requests have no bodies.

use crate::reply::Refusal;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Request, StatusCode};
use std::net::IpAddr;

/// The header that a request for an action carries; its value does not matter.
pub(crate) const ACTION: HeaderName = HeaderName::from_static("greyspan-action");

/// `allowed`: names besides `localhost`, in lower case.
pub(crate) fn check<B>(request: &Request<B>, allowed: &[String]) -> Result<(), Refusal> {
    let headers = request.headers();
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = single(headers, &header::HOST)?.or(authority);
    let Some(host) = host else {
        return Err(Refusal::query("the request has no Host header"));
    };
    if !is_ours(host, allowed) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the Host header names neither an address nor localhost; the program can allow a name by `Builder::allow_host`",
        ));
    }
    if let Some(origin) = single(headers, &header::ORIGIN)?
        && origin.strip_prefix("http://").or(origin.strip_prefix("https://")) != Some(host)
    {
        return Err(foreign());
    }
    let site = single(headers, &HeaderName::from_static("sec-fetch-site"))?.unwrap_or("none");
    // A link to the page is followed, and no more.
    let link = request.method() == Method::GET && request.uri().path() == "/";
    if !matches!(site, "none" | "same-origin") && !link {
        return Err(foreign());
    }
    let empty = single(headers, &header::CONTENT_LENGTH)?.is_none_or(|length| length == "0");
    if !empty || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "requests have no body here",
        ));
    }
    Ok(())
}

/// What an action needs besides (3).
pub(crate) fn check_action(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(ACTION) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "an action needs the header `Greyspan-Action: 1`, so that no page of another site can ask for it",
    ))
}

fn foreign() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "the request comes from a page of another site")
}

/// The value of a header that may stand there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::query(format!("the header {name} stands there twice")));
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
