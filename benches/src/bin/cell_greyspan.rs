//! Workloads under Greyspan.

greyspan_bench::cell_main!(
    greyspan::Greyspan = greyspan::Greyspan::new(),
    "greyspan",
    Some(|| greyspan::stats().metadata),
    Some(|| _ = greyspan::purge())
);
