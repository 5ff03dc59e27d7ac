//! How libgreyspan.so is linked.

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
}
