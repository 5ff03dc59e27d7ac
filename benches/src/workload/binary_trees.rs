//! Makes and drops whole trees of boxed nodes of 16 bytes, many small and few large ones, while one
//! large tree stays. This is the classic of the language benchmarks. The threads share the trees of
//! each depth. Timed: all trees, the lasting one included.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};

const DEPTH: u32 = 17;
const SMALLEST: u32 = 5;
/// At each depth the workload makes this many times the nodes of one tree of the largest depth.
const COPIES: usize = 20;

struct Tree(Option<(Box<Tree>, Box<Tree>)>);

pub(super) fn run(context: &Context) -> Outcome {
    // The number of trees per depth that have about the nodes of one tree of the largest depth.
    let depths: Vec<(u32, usize)> = (SMALLEST..=DEPTH)
        .step_by(4)
        .map(|depth| (depth, context.scaled((1 << (DEPTH - depth)) / context.threads)))
        .collect();
    let nodes = |depth: u32| (2usize << depth) - 1;
    let lasting = if context.scale < 1.0 { SMALLEST } else { DEPTH - 1 };
    let ops = nodes(lasting)
        + depths
            .iter()
            .map(|&(depth, trees)| COPIES * trees * nodes(depth))
            .sum::<usize>();
    on_threads(context.threads, ops * context.threads, |_| {
        let lasting = Tree::new(lasting);
        let mut sum = 0u64;
        for &(depth, trees) in &depths {
            for _ in 0..COPIES * trees {
                sum = sum.wrapping_add(Tree::new(depth).count());
            }
        }
        sum.wrapping_add(lasting.count())
    })
}

impl Tree {
    fn new(depth: u32) -> Self {
        Self((depth > 0).then(|| (Box::new(Self::new(depth - 1)), Box::new(Self::new(depth - 1)))))
    }

    fn count(&self) -> u64 {
        1 + self.0.as_ref().map_or(0, |(left, right)| left.count() + right.count())
    }
}
