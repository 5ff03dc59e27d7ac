//! How libgreyspan.so is linked.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in [
        "-Wl,-soname,libgreyspan.so",
        // The heap's exit hook and its blocks outlive any `dlclose`.
        "-Wl,-z,nodelete",
        // All symbols are bound at load: binding one inside of malloc would enter the loader.
        "-Wl,-z,now",
        "-Wl,-z,relro",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    // Rust's own linker keeps the standard library's reports of panics, which nothing here calls, because unwinding tables name their
    // personality; binutils' leaves them out, and two thirds of the library with them.
    let found = Command::new("ld.bfd").arg("--version").stdout(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        println!("cargo::rustc-cdylib-link-arg=-fuse-ld=bfd");
    }
}
