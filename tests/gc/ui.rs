//! What must not compile does not, and says why.

/// The compiler whose words the `.stderr` files hold; others word them differently.
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
