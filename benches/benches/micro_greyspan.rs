//! The micro benches under Greyspan.

mod micro;

micro_main!(greyspan::Greyspan = greyspan::Greyspan::new(), "greyspan");
