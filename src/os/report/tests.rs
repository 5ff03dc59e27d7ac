use super::*;

#[test]
fn a_line_begins_with_the_crate_and_ends_once() {
    let mut line = Line::new();
    let three = 3;
    write!(line, "{three} of seven").unwrap();
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

#[cfg(unix)]
#[test]
fn a_fatal_error_names_its_invariant_and_address_and_aborts() {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for both descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the child makes one system call and then does what is under test.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: both descriptors are open.
        unsafe { libc::dup2(ends[1], libc::STDERR_FILENO) };
        fatal("span without owner", 0xabc0);
    }
    let mut status = 0;
    // SAFETY: `status` is live, and `child` is our child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT);
    let mut text = [0u8; 128];
    // SAFETY: `text` has room for what is asked for.
    let got = unsafe { libc::read(ends[0], text.as_mut_ptr().cast(), text.len()) };
    let expected = b"greyspan: fatal: span without owner at 0xabc0\n";
    assert_eq!(text.get(..usize::try_from(got).unwrap()), Some(&expected[..]));
    for end in ends {
        // SAFETY: the descriptors were made above and are not used again.
        unsafe { libc::close(end) };
    }
}
