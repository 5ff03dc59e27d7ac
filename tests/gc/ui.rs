//! Unsound programs do not compile, and the compiler's message says why.

use greyspan::gc::{Gc, GcWeak, Heap};

/// The compiler version whose messages the `.stderr` files hold. Other versions word them
/// differently.
const WORDS_OF: &str = "1.95.";

#[test]
fn unsound_programs_do_not_compile() {
    let version = std::process::Command::new("rustc")
        .arg("--version")
        .output()
        .expect("a compiler built this test");
    let version = String::from_utf8(version.stdout).expect("a version is text");
    if !version.contains(WORDS_OF) {
        println!("{version}: its messages are not those of {WORDS_OF}; nothing compared");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/gc/ui/*.rs");
}

/// References that give shared access only are covariant in their contents, as `&T` is. Their
/// documentation says so.
#[test]
fn references_are_covariant_in_their_contents() {
    fn gc<'gc, 'a>(of: Gc<'gc, &'static str>) -> Gc<'gc, &'a str> {
        of
    }
    fn weak<'gc, 'a>(of: GcWeak<'gc, &'static str>) -> GcWeak<'gc, &'a str> {
        of
    }
    Heap::new().enter(|m| {
        let text = m.alloc("text");
        assert_eq!(*gc(text), "text");
        assert_eq!(weak(GcWeak::new(m, text)).upgrade(m).as_deref(), Some(&"text"));
    });
}
