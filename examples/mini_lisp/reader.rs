//! Reads text into forms.

use crate::object::{Name, Object, Value};
use greyspan::gc::Mutator;
use std::collections::HashMap;

/// All names read so far.
#[derive(Default)]
pub(crate) struct Names {
    numbers: HashMap<String, Name>,
    texts: Vec<String>,
}

impl Names {
    pub(crate) fn number(&mut self, text: &str) -> Name {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as Name;
        self.texts.push(text.to_string());
        self.numbers.insert(text.to_string(), number);
        number
    }

    pub(crate) fn text(&self, number: Name) -> &str {
        self.texts.get(number as usize).map_or("?", String::as_str)
    }
}

/// Splits text into words and brackets, without comments and blanks.
pub(crate) fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for line in source.lines() {
        let mut rest = line;
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            rest = &rest[start..];
            if rest.starts_with(';') {
                break;
            }
            let length = match rest.as_bytes()[0] {
                b'(' | b')' | b'\'' => 1,
                b'"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
                _ => rest
                    .find(|c: char| c.is_whitespace() || "()'".contains(c))
                    .unwrap_or(rest.len()),
            };
            tokens.push(rest[..length].to_string());
            rest = &rest[length..];
        }
    }
    tokens
}

/// Reads the next form, if there is one.
pub(crate) fn form<'gc>(
    m: &Mutator<'gc>,
    names: &mut Names,
    tokens: &mut impl Iterator<Item = String>,
) -> Result<Option<Value<'gc>>, String> {
    let Some(token) = tokens.next() else { return Ok(None) };
    let value = match token.as_str() {
        "(" => {
            let mut items = Vec::new();
            loop {
                match form(m, names, tokens)? {
                    Some(item) if matches!(&*item, Object::Name(name) if names.text(*name) == ")") => break,
                    Some(item) => items.push(item),
                    None => return Err("a bracket is not closed".into()),
                }
            }
            items
                .into_iter()
                .rev()
                .fold(m.alloc(Object::Nil), |rest, item| Object::pair(m, item, rest))
        }
        "'" => {
            let quoted = form(m, names, tokens)?.ok_or("nothing is quoted")?;
            let quote = m.alloc(Object::Name(names.number("quote")));
            Object::pair(m, quote, Object::pair(m, quoted, m.alloc(Object::Nil)))
        }
        "#t" => m.alloc(Object::Bool(true)),
        "#f" => m.alloc(Object::Bool(false)),
        text if text.starts_with('"') => m.alloc(Object::Text(text.trim_matches('"').to_string())),
        text => match (text.parse(), text.parse()) {
            (Ok(int), _) => m.alloc(Object::Int(int)),
            (_, Ok(real)) => m.alloc(Object::Real(real)),
            _ => m.alloc(Object::Name(names.number(text))),
        },
    };
    Ok(Some(value))
}

/// Appends the text of a value to `out`.
pub(crate) fn write(value: Value<'_>, out: &mut String) {
    match &*value {
        Object::Nil => out.push_str("()"),
        Object::Bool(true) => out.push_str("#t"),
        Object::Bool(false) => out.push_str("#f"),
        Object::Int(int) => out.push_str(&int.to_string()),
        Object::Real(real) => out.push_str(&real.to_string()),
        Object::Name(name) => out.push_str(&format!("name-{name}")),
        Object::Text(text) => out.push_str(text),
        Object::Vector(items) => out.push_str(&format!("a vector of {}", items.len())),
        Object::Closure { .. } | Object::Native(_) => out.push_str("a function"),
        Object::Pair(..) => {
            out.push('(');
            let mut at = value;
            while let (Ok(first), Ok(rest)) = (at.first(), at.rest()) {
                write(first, out);
                at = rest;
                if matches!(&*at, Object::Pair(..)) {
                    out.push(' ');
                }
            }
            if !matches!(&*at, Object::Nil) {
                out.push_str(" . ");
                write(at, out);
            }
            out.push(')');
        }
    }
}
