//! The page: one HTML document that contains its style and its scripts.
//!
//! 1. The page makes no request to another host. Its content security policy forbids that, and
//!    allows only the scripts and styles in the document itself.

use crate::reply::{self, Reply};
use hyper::header;
use std::hash::{BuildHasher, RandomState};

const HTML: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
/// The scripts, each after those that it uses.
const SCRIPTS: [&str; 8] = [
    include_str!("page/core.js"),
    include_str!("page/chart.js"),
    include_str!("page/classes.js"),
    include_str!("page/flame.js"),
    include_str!("page/map.js"),
    include_str!("page/events.js"),
    include_str!("page/collector.js"),
    include_str!("page/main.js"),
];

/// Returns the page. Its scripts and styles carry a nonce: a random number that is new in each
/// answer, and that no attacker can guess.
pub(crate) fn page() -> Reply {
    let nonce = nonce();
    let mut script = String::with_capacity(SCRIPTS.iter().map(|part| part.len() + 1).sum());
    for part in SCRIPTS {
        script.push_str(part);
        script.push('\n');
    }
    let html = HTML
        .replace("{{nonce}}", &nonce)
        .replace("{{style}}", STYLE)
        .replace("{{script}}", &script);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    reply::with(reply::ok(reply::HTML, html), header::CONTENT_SECURITY_POLICY, &policy)
}

/// Returns 128 random bits in hexadecimal. The standard library seeds them from the system.
fn nonce() -> String {
    let half = || RandomState::new().hash_one(0u8);
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_host() {
        for part in SCRIPTS.iter().chain([&HTML, &STYLE]) {
            // The XML namespace of SVG, which no browser requests.
            let part = part.replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http://", "https://", "src=\"", "@import", "//cdn"] {
                assert!(!part.contains(foreign), "{foreign}");
            }
        }
    }

    #[test]
    fn the_page_makes_nothing_from_text_and_has_no_style_attributes() {
        for script in SCRIPTS {
            for risky in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ] {
                assert!(!script.contains(risky), "{risky}");
            }
            assert!(!script.contains("</script"));
        }
        assert!(!HTML.contains(" style=\"") && !HTML.contains(" onclick"));
    }

    #[test]
    fn the_nonce_is_new_each_time() {
        assert_ne!(nonce(), nonce());
        assert_eq!(nonce().len(), 32);
    }
}
