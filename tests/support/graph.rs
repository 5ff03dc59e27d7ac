//! Random programs over managed graphs, with a shadow that knows which objects must be alive. The
//! property tests and the fuzz target share them.
//!
//! A program is a list of bytes. It works on registers, which last for one pin, on roots, on cells
//! that marking reaches late, on weak references and on one weak map. Each object has a number and
//! a token whose drop is counted. So a lost object, a leaked one, and one that is dropped twice are
//! all noticed.

use greyspan::gc::{Gc, GcCell, GcLock, Heap, Mutator, Root, Rootable, Trace, WeakMap, WeakRoot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const PLACES: usize = 6;

/// Counts its drop.
struct Token(Arc<AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[derive(Trace)]
struct Node<'gc> {
    number: usize,
    left: GcCell<'gc, Node<'gc>>,
    right: GcCell<'gc, Node<'gc>>,
    more: GcLock<Vec<Gc<'gc, Node<'gc>>>>,
    first: Option<Gc<'gc, Node<'gc>>>,
    #[trace(skip)]
    _token: Token,
}

/// Cells at the end of a long list: marking reaches them late, and meanwhile the program moves
/// their objects elsewhere.
#[derive(Trace)]
struct Anchor<'gc> {
    cells: Gc<'gc, [GcCell<'gc, Node<'gc>>]>,
    map: WeakMap<'gc, Node<'gc>, Node<'gc>>,
}

#[derive(Trace)]
struct Link<'gc> {
    next: Option<Gc<'gc, Link<'gc>>>,
    anchor: Option<Gc<'gc, Anchor<'gc>>>,
}

/// The number of links between the root and the anchor.
const LINKS: usize = 20;

type NodeRoot = Root<Rootable![Node<'_>]>;
type WeakNode = WeakRoot<Rootable![Node<'_>]>;
type Ref<'gc> = Gc<'gc, Node<'gc>>;

#[derive(Clone, Default)]
struct Shadow {
    left: Option<usize>,
    right: Option<usize>,
    more: Vec<usize>,
    first: Option<usize>,
}

/// The world of one program. Other programs may use the same heap.
struct World<'a> {
    heap: &'a Heap,
    dropped: Arc<AtomicUsize>,
    chain: Root<Rootable![Link<'_>]>,
    shadow_cells: Vec<Option<usize>>,
    roots: [Option<NodeRoot>; PLACES],
    weak: [Option<WeakNode>; PLACES],
    objects: Vec<Shadow>,
    shadow_roots: [Option<usize>; PLACES],
    shadow_weak: [Option<usize>; PLACES],
    shadow_map: BTreeMap<usize, usize>,
    /// Objects that a weak reference reported as dead.
    dead: BTreeSet<usize>,
}

impl World<'_> {
    /// Returns the objects that must be alive while the program holds `held`.
    fn alive(&self, held: &[Option<usize>]) -> BTreeSet<usize> {
        let mut alive = BTreeSet::new();
        let places = self.shadow_roots.iter().chain(&self.shadow_cells).chain(held);
        let mut open: Vec<usize> = places.flatten().copied().collect();
        loop {
            while let Some(number) = open.pop() {
                if alive.insert(number) {
                    let object = &self.objects[number];
                    open.extend(
                        object
                            .left
                            .iter()
                            .chain(&object.right)
                            .chain(&object.first)
                            .chain(&object.more),
                    );
                }
            }
            let values = self
                .shadow_map
                .iter()
                .filter(|(key, value)| alive.contains(key) && !alive.contains(value));
            open.extend(values.map(|(_, value)| *value));
            if open.is_empty() {
                return alive;
            }
        }
    }

    fn anchor<'gc>(&self, m: &Mutator<'gc>) -> Gc<'gc, Anchor<'gc>> {
        let mut link = self.chain.get(m);
        while let Some(next) = link.next {
            link = next;
        }
        link.anchor.expect("at the end of the chain")
    }

    /// Checks that the graph below the roots equals the shadow.
    fn compare(&self, m: &Mutator<'_>) {
        let mut seen = BTreeSet::new();
        let mut open: Vec<Ref<'_>> = self.roots.iter().flatten().map(|root| root.get(m)).collect();
        open.extend(self.anchor(m).cells.iter().filter_map(GcCell::get));
        let numbers: Vec<usize> = open.iter().map(|node| node.number).collect();
        let shadow = self.shadow_roots.iter().chain(&self.shadow_cells).flatten();
        assert_eq!(numbers, shadow.copied().collect::<Vec<_>>());
        while let Some(node) = open.pop() {
            if !seen.insert(node.number) {
                continue;
            }
            let shadow = &self.objects[node.number];
            let more = node.more.read();
            assert_eq!(node.left.get().map(|to| to.number), shadow.left);
            assert_eq!(node.right.get().map(|to| to.number), shadow.right);
            assert_eq!(node.first.map(|to| to.number), shadow.first);
            assert!(more.iter().map(|to| to.number).eq(shadow.more.iter().copied()));
            open.extend(
                node.left
                    .get()
                    .iter()
                    .chain(&node.right.get())
                    .chain(&node.first)
                    .chain(&*more),
            );
        }
    }

    /// Runs operations up to the next one that leaves the pin.
    fn pin(&mut self, program: &mut impl Iterator<Item = u8>) {
        let heap = self.heap.clone();
        heap.enter(|m| {
            let mut hand: [Option<Ref<'_>>; PLACES] = [None; PLACES];
            let mut held: [Option<usize>; PLACES] = [None; PLACES];
            let anchor = self.anchor(m);
            let map = anchor.map;
            while let Some(op) = program.next() {
                let arguments = program.next().unwrap_or(0);
                let (a, b) = (arguments as usize % PLACES, arguments as usize / PLACES % PLACES);
                match op % 28 {
                    0..=2 => {
                        let number = self.objects.len();
                        hand[a] = Some(m.alloc(Node {
                            number,
                            left: GcCell::new(hand[b]),
                            right: GcCell::null(),
                            more: GcLock::default(),
                            first: hand[b],
                            _token: Token(self.dropped.clone()),
                        }));
                        self.objects.push(Shadow {
                            left: held[b],
                            first: held[b],
                            ..Shadow::default()
                        });
                        held[a] = Some(number);
                    }
                    3 | 4 => {
                        if let (Some(node), Some(number)) = (hand[a], held[a]) {
                            node.left.set(m, hand[b]);
                            self.objects[number].left = held[b];
                        }
                    }
                    5 => {
                        if let (Some(node), Some(number)) = (hand[a], held[a]) {
                            hand[b] = node.right.swap(m, hand[b]);
                            std::mem::swap(&mut self.objects[number].right, &mut held[b]);
                        }
                    }
                    6 | 7 => {
                        if let (Some(node), Some(number)) = (hand[a], held[a]) {
                            hand[b] = node.left.get();
                            held[b] = self.objects[number].left;
                        }
                    }
                    8 => {
                        self.roots[a] = hand[b].map(|node| Root::new(m, node));
                        self.shadow_roots[a] = held[b];
                    }
                    9 => {
                        self.roots[a] = self.roots[b].clone();
                        self.shadow_roots[a] = self.shadow_roots[b];
                    }
                    10 | 11 => {
                        hand[a] = self.roots[b].as_ref().map(|root| root.get(m));
                        held[a] = self.shadow_roots[b];
                    }
                    12 => {
                        if let (Some(node), Some(number)) = (hand[a], held[a]) {
                            self.weak[b] = Some(WeakRoot::new(m, node));
                            self.shadow_weak[b] = Some(number);
                        }
                    }
                    13 => {
                        if let (Some(weak), Some(number)) = (&self.weak[a], self.shadow_weak[a]) {
                            let found = weak.upgrade(m);
                            match found {
                                Some(node) => {
                                    assert!(!self.dead.contains(&number), "Some after None");
                                    assert_eq!(node.number, number);
                                }
                                None => {
                                    let first = self.dead.insert(number);
                                    assert!(
                                        !first || !self.alive(&held).contains(&number),
                                        "None for an object that is alive"
                                    );
                                }
                            }
                            hand[b] = found;
                            held[b] = found.map(|node| node.number);
                        }
                    }
                    14 => {
                        if let (Some(key), Some(value)) = (hand[a], hand[b]) {
                            let old = map.insert(m, key, value);
                            let shadow = self.shadow_map.insert(key.number, value.number);
                            assert_eq!(old.map(|node| node.number), shadow);
                        }
                    }
                    15 => {
                        if let Some(key) = hand[a] {
                            hand[b] = map.get(m, key);
                            held[b] = self.shadow_map.get(&key.number).copied();
                        }
                    }
                    16 => {
                        if let Some(key) = hand[a] {
                            let old = map.remove(m, key);
                            assert_eq!(old.map(|node| node.number), self.shadow_map.remove(&key.number));
                        }
                    }
                    17 => {
                        if let (Some(node), Some(number)) = (hand[a], held[a]) {
                            let mut more = node.more.write(m);
                            match hand[b] {
                                Some(to) if more.len() < 5 => {
                                    more.push(to);
                                    self.objects[number].more.push(to.number);
                                }
                                _ => {
                                    hand[b] = more.pop();
                                    held[b] = self.objects[number].more.pop();
                                }
                            }
                        }
                    }
                    18 => m.poll(),
                    19..=26 => {
                        let at = u16::from_le_bytes([program.next().unwrap_or(0), program.next().unwrap_or(0)]);
                        let at = at as usize % anchor.cells.len();
                        let (cell, shadow) = (&anchor.cells[at], &mut self.shadow_cells[at]);
                        match op % 28 {
                            19 | 20 => {
                                cell.set(m, hand[b]);
                                *shadow = held[b];
                            }
                            21 | 22 => {
                                hand[a] = cell.get();
                                held[a] = *shadow;
                            }
                            23 | 24 => {
                                hand[b] = cell.swap(m, hand[b]);
                                std::mem::swap(shadow, &mut held[b]);
                            }
                            _ => {
                                hand[b] = cell.take(m);
                                held[b] = shadow.take();
                            }
                        }
                    }
                    _ => break,
                }
                let numbers = hand.iter().map(|node| node.map(|node| node.number));
                assert!(numbers.eq(held.iter().copied()), "an object in hand has changed");
            }
        });
    }

    /// Checks that every dead object is freed within two cycles, and that all others stay.
    fn settle(&mut self) {
        self.heap.collect();
        self.heap.collect();
        self.heap.enter(|m| self.compare(m));
        let alive = self.alive(&[]);
        self.heap.enter(|m| {
            for (weak, number) in self.weak.iter().zip(self.shadow_weak) {
                let found = weak.as_ref().and_then(|weak| weak.upgrade(m)).map(|node| node.number);
                assert_eq!(found, number.filter(|number| alive.contains(number)));
            }
            self.shadow_map.retain(|key, _| alive.contains(key));
            assert_eq!(self.anchor(m).map.len(), self.shadow_map.len());
        });
        let (since, gone) = (Instant::now(), self.objects.len() - alive.len());
        while self.dropped.load(SeqCst) < gone {
            assert!(since.elapsed() < Duration::from_secs(20), "dead objects stay");
            std::thread::yield_now();
        }
        assert_eq!(
            self.dropped.load(SeqCst),
            gone,
            "a live object was dropped, or a dead one twice"
        );
    }
}

/// Runs `program` on `heap` and settles at the end. Other programs may run on the heap meanwhile.
pub(crate) fn run(heap: &Heap, program: &[u8]) {
    // Enough cells that a long program does not touch them all before marking begins.
    let cells = (program.len() / 400).clamp(16, 1 << 14);
    let chain = heap.enter(|m| {
        let cells = m.alloc_slice(cells, |_| GcCell::null());
        let anchor = m.alloc(Anchor {
            cells,
            map: WeakMap::new(m),
        });
        let last = m.alloc(Link {
            next: None,
            anchor: Some(anchor),
        });
        let link = |next, _| {
            m.alloc(Link {
                next: Some(next),
                anchor: None,
            })
        };
        Root::new(m, (0..LINKS).fold(last, link))
    });
    let mut world = World {
        heap,
        dropped: Arc::new(AtomicUsize::new(0)),
        chain,
        shadow_cells: vec![None; cells],
        roots: [const { None }; PLACES],
        weak: [const { None }; PLACES],
        objects: Vec::new(),
        shadow_roots: [None; PLACES],
        shadow_weak: [None; PLACES],
        shadow_map: BTreeMap::new(),
        dead: BTreeSet::new(),
    };
    // A comparison costs as much as the graph is large. It runs rarely enough to be the smaller
    // part of the work.
    let mut compared = 0;
    let mut bytes = program.iter().copied().peekable();
    while bytes.peek().is_some() {
        world.pin(&mut bytes);
        compared += 1;
        if compared > world.objects.len() / 8 {
            compared = 0;
            heap.enter(|m| world.compare(m));
        }
    }
    world.settle();
}
