//! Sets the linker's arguments for libgreyspan.so.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in [
        "-Wl,-soname,libgreyspan.so",
        // The heap's exit hook and its blocks outlive any `dlclose`.
        "-Wl,-z,nodelete",
        // The loader binds all symbols at load: binding one inside malloc would enter the loader.
        "-Wl,-z,now",
        "-Wl,-z,relro",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    // Rust's own linker keeps the standard library's panic reports, because the unwinding tables
    // name their personality. No code here calls them. The linker of binutils drops them, and the
    // library shrinks by two thirds.
    let found = Command::new("ld.bfd").arg("--version").stdout(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        println!("cargo::rustc-cdylib-link-arg=-fuse-ld=bfd");
    }
}
