use super::*;

#[test]
fn a_line_begins_with_the_crate_and_ends_once() {
    let mut line = Line::new();
    write!(line, "{} of {}", 3, "seven").unwrap();
    assert_eq!(line.finish(), b"greyspan: 3 of seven\n");
}

#[test]
fn hexadecimal_is_what_the_formatter_prints() {
    for value in [0, 1, 0xf, 0x10, 0xdead_beef, usize::MAX, usize::MAX >> 4] {
        let mut line = Line::new();
        line.push_hex(value);
        assert_eq!(line.finish(), format!("greyspan: {value:#x}\n").as_bytes());
    }
}

#[test]
fn a_line_too_long_is_cut_and_still_ends() {
    let mut line = Line::new();
    for _ in 0..LINE {
        line.push(b"abc");
    }
    let text = line.finish();
    assert_eq!(text.len(), LINE);
    assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(text.last(), Some(&b'\n'));
}

#[cfg(unix)]
#[test]
fn a_warning_keeps_errno() {
    crate::os::errno::set(4711);
    warn(format_args!("a line of the unit tests"));
    assert_eq!(crate::os::errno::get(), 4711);
}
