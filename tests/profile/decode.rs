//! A reader of pprof's files, based on `profile.proto` and not on this crate's writer. It checks
//! every reference, that numbers have no gap, that a mapping has each symbol once, and that a
//! mapping's flags agree with its locations.

use flate2::read::GzDecoder;
use std::collections::{HashMap, HashSet};
use std::io::Read;

/// A field of a message: its number and its content.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().expect("a varint that ends");
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Value::Bytes(value)
            }
            kind => panic!("wire type {kind}"),
        };
        all.push((key >> 3, value));
    }
    all
}

fn numbers(message: &[u8], field: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for (number, value) in fields(message) {
        match value {
            Value::Number(value) if number == field => all.push(value),
            Value::Bytes(mut list) if number == field => {
                while !list.is_empty() {
                    all.push(varint(&mut list));
                }
            }
            _ => {}
        }
    }
    all
}

fn number(message: &[u8], field: u64) -> u64 {
    numbers(message, field).first().copied().unwrap_or(0)
}

fn messages(message: &[u8], field: u64) -> Vec<&[u8]> {
    fields(message)
        .into_iter()
        .filter_map(|(number, value)| match value {
            Value::Bytes(bytes) if number == field => Some(bytes),
            _ => None,
        })
        .collect()
}

/// Checks that the mappings' flags agree with their names, and that each symbol of a mapping is one
/// function.
fn check_names(bytes: &[u8], functions: &HashMap<u64, [String; 2]>) {
    let mut used = HashSet::new();
    for mapping in messages(bytes, 3) {
        let at = |location: &&[u8]| number(location, 2) == number(mapping, 1);
        let locations: Vec<&[u8]> = messages(bytes, 4).into_iter().filter(at).collect();
        let lines: Vec<&[u8]> = locations.iter().flat_map(|place| messages(place, 4)).collect();
        let known = !locations.is_empty() && locations.iter().all(|place| !messages(place, 4).is_empty());
        // The same rule as in pprof: a flag is true if some function has a file.
        let some_have = |has: &dyn Fn(&[u8]) -> bool| known && lines.iter().any(|line| has(line));
        let files = some_have(&|line| !functions[&number(line, 1)][1].is_empty());
        let numbers = some_have(&|line| number(line, 2) != 0);
        let flags = [7, 8, 9, 10].map(|field| number(mapping, field) != 0);
        let right = [known, files, numbers, numbers];
        assert_eq!(flags, right, "functions, files, lines, inlined");
        let ids: HashSet<u64> = lines.iter().map(|line| number(line, 1)).collect();
        let symbols: HashSet<_> = ids.iter().map(|id| &functions[id]).collect();
        assert_eq!(ids.len(), symbols.len(), "one function for each symbol");
        used.extend(ids);
    }
    assert_eq!(used.len(), functions.len(), "each function is at some location");
}

/// A stack: its functions, innermost first, and its values by kind.
pub(crate) struct Sample {
    pub(crate) depth: usize,
    pub(crate) functions: Vec<String>,
    pub(crate) values: Vec<i64>,
}

/// The content of a file.
pub(crate) struct Decoded {
    pub(crate) kinds: Vec<(String, String)>,
    pub(crate) default: String,
    pub(crate) period: u64,
    pub(crate) period_kind: (String, String),
    pub(crate) samples: Vec<Sample>,
    /// File and build id.
    pub(crate) mappings: Vec<(String, String)>,
}

impl Decoded {
    pub(crate) fn new(file: &[u8]) -> Self {
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes).expect("a gzip file");
        let texts: Vec<String> = messages(&bytes, 6)
            .into_iter()
            .map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"))
            .collect();
        assert_eq!(texts[0], "", "the first text is the empty one");
        let text = |index: u64| texts[index as usize].clone();
        let kind = |message: &[u8]| (text(number(message, 1)), text(number(message, 2)));
        let mut mappings = HashMap::new();
        for mapping in messages(&bytes, 3) {
            let (start, end) = (number(mapping, 2), number(mapping, 3));
            assert!(start < end);
            let named = (text(number(mapping, 5)), text(number(mapping, 6)));
            mappings.insert(number(mapping, 1), (start..end, named));
        }
        // pprof numbers the entries that it adds from the count of these onwards.
        for field in [3, 4, 5] {
            let mut ids: Vec<u64> = messages(&bytes, field).iter().map(|one| number(one, 1)).collect();
            ids.sort_unstable();
            assert!(ids.iter().copied().eq(1..=ids.len() as u64), "field {field}: {ids:?}");
        }
        // Name and file.
        let functions: HashMap<u64, [String; 2]> = messages(&bytes, 5)
            .into_iter()
            .map(|function| (number(function, 1), [2, 4].map(|field| text(number(function, field)))))
            .collect();
        check_names(&bytes, &functions);
        let mut locations = HashMap::new();
        for location in messages(&bytes, 4) {
            let address = number(location, 3);
            let mapping = number(location, 2);
            assert!(mapping == 0 || mappings[&mapping].0.contains(&address), "{address:x}");
            let names: Vec<String> = messages(location, 4)
                .into_iter()
                .map(|line| functions[&number(line, 1)][0].clone())
                .collect();
            let twice = locations.insert(number(location, 1), names).is_some();
            assert!(!twice && number(location, 1) != 0);
        }
        let kinds: Vec<_> = messages(&bytes, 1).into_iter().map(kind).collect();
        let samples = messages(&bytes, 2)
            .into_iter()
            .map(|sample| Sample {
                depth: numbers(sample, 1).len(),
                functions: numbers(sample, 1)
                    .iter()
                    .flat_map(|place| locations[place].clone())
                    .collect(),
                values: numbers(sample, 2).iter().map(|value| value.cast_signed()).collect(),
            })
            .collect::<Vec<_>>();
        assert!(samples.iter().all(|sample| sample.values.len() == kinds.len()));
        let named = mappings.into_values().map(|(_, named)| named);
        Self {
            kinds,
            default: text(number(&bytes, 14)),
            period: number(&bytes, 12),
            period_kind: kind(messages(&bytes, 11)[0]),
            samples,
            mappings: named.collect(),
        }
    }

    /// Returns innermost functions by the sum of one value, the greatest first: the column `flat`
    /// of `pprof -top`.
    pub(crate) fn top(&self, kind: &str) -> Vec<(String, i64)> {
        let column = self.kinds.iter().position(|(name, _)| name == kind).expect("the kind");
        let mut sums: HashMap<&str, i64> = HashMap::new();
        for sample in &self.samples {
            let name = sample.functions.first().map_or("", String::as_str);
            *sums.entry(name).or_default() += sample.values[column];
        }
        let mut sums: Vec<_> = sums.into_iter().map(|(name, sum)| (name.to_owned(), sum)).collect();
        sums.sort_by_key(|(_, sum)| -sum);
        sums
    }
}
