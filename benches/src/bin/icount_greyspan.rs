//! The instruction ruler's loops under Greyspan.

greyspan_bench::icount_main!(greyspan::Greyspan = greyspan::Greyspan::new());
