//! Runs random sequences of operations that the oracle judges: directly against the allocator,
//! through the registered global allocator, and with the fuzzer's seeds as input.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::GLOBAL;
use crate::support::ops::{CODE_BYTES, Code, Op};
use crate::support::oracle::{Atlas, Limits, Shadow};
use crate::support::{Registered, Subject};

fn run(subject: &impl Subject, ops: impl IntoIterator<Item = Op>) {
    let atlas = Atlas::default();
    let mut shadow = Shadow::new(subject, &atlas, Limits::default(), 1);
    for op in ops {
        shadow.run(op);
    }
    shadow.check();
}

/// One case in four uses every size, up to the largest. The others stay below 64 KiB, where
/// operations are cheap, and are therefore longer.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![
        1 => vec(any::<Code>(), 1..200),
        3 => vec(any::<Code>().prop_map(|[kind, place, scale, a, b, c]| [kind, place, scale % 16, a, b, c]), 1..1_500),
    ]
    .prop_map(|codes| codes.into_iter().map(Op::decode).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_keeps_the_contract(ops in ops()) {
        run(&GLOBAL, ops);
    }

    #[test]
    fn any_sequence_keeps_the_contract_through_the_registered_allocator(ops in ops()) {
        run(&Registered, ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Keeps many live blocks of few sizes, so that spans fill, overflow and become empty.
    #[test]
    fn sequences_of_small_blocks_keep_the_contract(codes in vec((any::<u8>(), any::<u16>()), 1..3_000), class in 0_usize..2048) {
        run(&GLOBAL, codes.into_iter().map(|(kind, slot)| match kind {
            0..=149 => Op::Alloc { size: class + 1 + usize::from(slot % 3), align: 8 },
            150..=159 => Op::AllocZeroed { size: class + 1, align: 16 },
            160..=169 => Op::Realloc { slot: slot.into(), new_size: usize::from(slot) % (2 * class + 1) + 1 },
            170..=254 => Op::Dealloc { slot: slot.into() },
            255 => Op::ThreadIdle,
        }));
    }
}

#[test]
fn the_seeds_of_the_fuzzer_keep_the_contract() {
    let mut inputs = 0;
    for target in ["ops", "ops_threads"] {
        for entry in std::fs::read_dir(format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            let input = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(input.len() >= CODE_BYTES);
            run(&GLOBAL, Op::decode_all(&input));
            inputs += 1;
        }
    }
    assert!(inputs > 0);
}
