use super::*;

fn pairs_of(entries: &[&'static CStr]) -> Vec<(String, String)> {
    let mut block: Vec<*const c_char> = entries.iter().map(|entry| entry.as_ptr()).collect();
    block.push(ptr::null());
    // SAFETY: the block ends with null, its entries are C strings, and it lives through the whole iteration.
    let pairs = unsafe { Pairs::new(block.as_ptr()) };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    pairs.map(|(name, value)| (text(name), text(value))).collect()
}

#[test]
fn only_our_variables_are_yielded_split_at_the_first_equals_sign() {
    let found = pairs_of(&[
        c"HOME=/",
        c"GREYSPAN_A=1",
        c"GREYSPAN_B=x=y",
        c"XGREYSPAN_C=2",
        c"GREYSPAN_D=",
        c"GREYSPAN_E",
    ]);
    let expected = [("GREYSPAN_A", "1"), ("GREYSPAN_B", "x=y"), ("GREYSPAN_D", "")];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn no_block_and_an_empty_block_yield_nothing() {
    assert!(pairs_of(&[]).is_empty());
    // SAFETY: null is allowed.
    assert!(unsafe { Pairs::new(ptr::null()) }.next().is_none());
}

#[test]
fn the_process_environment_is_the_one_that_std_sees() {
    let ours = with_pairs(|pairs| pairs.map(|(name, _)| name.to_vec()).collect::<Vec<_>>());
    let theirs = std::env::vars_os().map(|(name, _)| name.into_encoded_bytes());
    let theirs: Vec<_> = theirs.filter(|name| name.starts_with(PREFIX)).collect();
    assert_eq!(ours, theirs);
}
