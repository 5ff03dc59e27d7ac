//! Workloads under Greyspan, and a map of its heap when it held most. Apart from the cell, so that what is measured stays what it is.

#[global_allocator]
static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();

fn main() -> std::process::ExitCode {
    greyspan_bench::map::main()
}
