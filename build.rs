//! Present only because Cargo's `links` key, which keeps two copies of the crate out of one binary, wants a build script.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
