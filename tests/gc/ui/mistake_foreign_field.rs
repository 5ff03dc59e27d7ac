//! A type of another crate is wrapped, or its field is skipped.
use greyspan::gc::{Heap, Trace};

mod another_crate {
    pub struct Regex;
}

#[derive(Trace)]
struct Rule {
    name: String,
    pattern: another_crate::Regex,
}

fn main() {
    let (name, pattern) = (String::new(), another_crate::Regex);
    Heap::new().enter(|m| println!("{}", m.alloc(Rule { name, pattern }).name));
}
