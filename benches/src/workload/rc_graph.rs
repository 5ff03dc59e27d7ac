//! A constantly changing graph of reference-counted nodes, such as a scene, a document or a plan of
//! dependent tasks. A node holds its children by `Rc`; each child knows its parents by `Weak`. Each
//! step makes a node over random ones and puts it in the place of another. The replaced node is
//! dropped with all nodes that only it held. Timed: all steps and the last drop.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use crate::rng::Rng;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

const NODES: usize = 50_000;
const STEPS: usize = 1_000_000;
const CHILDREN: usize = 3;
/// The levels above a leaf. Children are of lower levels, so there is no cycle, and a drop recurses
/// no deeper than this.
const LEVELS: u32 = 4;

struct Node {
    number: u64,
    level: u32,
    children: Vec<Rc<Node>>,
    parents: RefCell<Vec<Weak<Node>>>,
}

pub(super) fn run(context: &Context) -> Outcome {
    let steps = context.scaled(STEPS / context.threads);
    let count = (NODES / context.threads).max(1);
    on_threads(context.threads, steps * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let mut nodes: Vec<Rc<Node>> = (0..count as u64).map(|number| make(number, Vec::new())).collect();
        let mut sum = 0u64;
        for step in 0..steps as u64 {
            let level = rng.below(LEVELS as usize) as u32;
            let children = (0..CHILDREN).map(|_| &nodes[rng.below(count)]);
            let children = children.filter(|child| child.level < level).cloned().collect();
            let node = make(step, children);
            let old = std::mem::replace(&mut nodes[rng.below(count)], node);
            sum = sum.wrapping_add(alive(&old) + old.children.iter().map(|child| child.number).sum::<u64>());
        }
        sum
    })
}

/// Makes a node and registers it with its children as a parent.
fn make(number: u64, children: Vec<Rc<Node>>) -> Rc<Node> {
    let level = children.iter().map(|child| child.level + 1).max().unwrap_or(0);
    let node = Rc::new(Node {
        number,
        level,
        children,
        parents: RefCell::default(),
    });
    for child in &node.children {
        let mut parents = child.parents.borrow_mut();
        if parents.len() == parents.capacity() {
            // Removes dead parents before the list would grow.
            parents.retain(|parent| parent.strong_count() > 0);
        }
        parents.push(Rc::downgrade(&node));
    }
    node
}

/// Returns the sum over the parents that still live.
fn alive(node: &Node) -> u64 {
    let parents = node.parents.borrow();
    let living = parents.iter().filter_map(Weak::upgrade);
    living.fold(0, |sum, parent| sum.wrapping_add(parent.number))
}
