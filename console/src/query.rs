//! Reads a request's query, the part of the address behind `?`, strictly. An unknown name, a name
//! given twice and a value out of range are refused, with a text that states the valid form.
//! Percent escapes are not decoded: no valid value needs one.

use crate::reply::Refusal;

/// The names and values of one request.
pub(crate) struct Query<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Query<'a> {
    /// Reads `text`. Only the names in `known` may occur in it, each once.
    pub(crate) fn read(text: Option<&'a str>, known: &[&str]) -> Result<Self, Refusal> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for part in text.unwrap_or("").split('&').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(Refusal::query(format!(
                    "`{}` has no value: write name=value",
                    shown(part)
                )));
            };
            if !known.contains(&name) {
                let known = match known {
                    [] => "this address takes no query".to_owned(),
                    known => format!("this address takes: {}", known.join(", ")),
                };
                return Err(Refusal::query(format!("unknown name `{}`; {known}", shown(name))));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Refusal::query(format!("`{name}` is given twice; give it once")));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// Returns the value of `name`, a whole number from `least` to `most`; `None` if it is absent.
    pub(crate) fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        // `parse` alone would accept a plus sign.
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits && (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::query(format!(
                "{name}={}: must be a whole number from {least} to {most}",
                shown(value)
            ))),
        }
    }

    /// Returns whether `name` is 1. It is 0 or 1; if it is absent, it counts as 0.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.number(name, 0, 1)? == Some(1))
    }

    /// Returns the index in `words` of the value of `name`; `None` if it is absent.
    pub(crate) fn word(&self, name: &str, words: &[&str]) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match words.iter().position(|word| *word == value) {
            Some(place) => Ok(Some(place)),
            None => Err(Refusal::query(format!(
                "{name}={}: must be one of {}",
                shown(value),
                words.join(", ")
            ))),
        }
    }
}

/// Returns a piece of a request in a form that an answer may repeat: at most 40 characters, all of
/// them printable ASCII.
fn shown(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let mut short: String = text.chars().take(40).map(printable).collect();
    if text.chars().count() > 40 {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let read = Query::read(Some(text), &["seconds", "gc", "view"]).and_then(|query| {
            query.number("seconds", 1, 300)?;
            query.flag("gc")?;
            query.word("view", &["a", "b"])
        });
        read.expect_err(text).text().to_owned()
    }

    #[test]
    fn what_is_right_is_read() {
        let query = Query::read(Some("seconds=5&&gc=1&view=b"), &["seconds", "gc", "view"]).expect("right");
        assert_eq!(query.number("seconds", 1, 300).expect("a number"), Some(5));
        assert!(query.flag("gc").expect("a flag"));
        assert_eq!(query.word("view", &["a", "b"]).expect("a word"), Some(1));
        let query = Query::read(None, &[]).expect("nothing is right");
        assert_eq!(query.number("seconds", 1, 300).expect("absent"), None);
        assert!(!query.flag("gc").expect("absent"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused("seconds").contains("no value"));
        assert!(refused("speed=1").contains("seconds, gc, view"));
        assert!(refused("gc=1&gc=1").contains("twice"));
        assert!(refused("view=c").contains("a, b"));
        for wrong in [
            "0",
            "301",
            "-1",
            "+5",
            "5s",
            "",
            "1e2",
            "99999999999999999999999",
            "%35",
        ] {
            assert!(refused(&format!("seconds={wrong}")).contains("1 to 300"), "{wrong}");
        }
    }

    #[test]
    fn an_answer_repeats_nothing_that_a_browser_could_take_for_more() {
        let text = refused(&format!("seconds={}\r\n", "x\u{7}".repeat(60)));
        assert!(
            text.is_ascii() && text.len() < 120 && !text.contains(['\r', '\n', '\u{7}']),
            "{text}"
        );
    }
}
