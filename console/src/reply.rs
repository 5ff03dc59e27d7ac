//! Answers: a body with its headers, and refusals with a text that states the reason.
//!
//! 1. Every answer forbids caching, guessing its type, and embedding in a frame. Only the page and
//!    the pictures may run scripts.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

pub(crate) type Reply = Response<Full<Bytes>>;

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const JSON: &str = "application/json";
pub(crate) const SVG: &str = "image/svg+xml";
pub(crate) const BINARY: &str = "application/octet-stream";

/// The content security policy of most documents: they may have styles, and nothing else.
const INERT: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns a successful answer with a body of type `kind`.
pub(crate) fn ok(kind: &'static str, body: impl Into<Bytes>) -> Reply {
    with_status(StatusCode::OK, kind, body.into())
}

/// Returns the answer with a further header. If `value` is not valid in a header, leaves it out.
pub(crate) fn with(mut reply: Reply, name: HeaderName, value: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
    reply
}

/// Returns a successful answer without a body.
pub(crate) fn no_content() -> Reply {
    with_status(StatusCode::NO_CONTENT, TEXT, Bytes::new())
}

/// Returns a redirect to the address `to`.
pub(crate) fn moved(to: &str) -> Reply {
    with(
        with_status(StatusCode::PERMANENT_REDIRECT, TEXT, Bytes::new()),
        header::LOCATION,
        to,
    )
}

fn with_status(status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, INERT),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// The reason why a request is refused: a status and a text.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
    /// The method to use instead, for status 405.
    allow: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            allow: None,
        }
    }

    /// Refuses a malformed request, with status 400.
    pub(crate) fn query(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Refuses a request's method, with status 405; `allow` is the right one.
    pub(crate) fn method(allow: &'static str) -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: format!("this address takes {allow} requests only"),
            allow: Some(allow),
        }
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let reply = with_status(refusal.status, TEXT, format!("{}\n", refusal.text).into());
        match refusal.allow {
            Some(allow) => with(reply, header::ALLOW, allow),
            None => reply,
        }
    }
}
