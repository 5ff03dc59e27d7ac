//! Blocks that cross threads: the thread that frees, resizes or takes over a block finds it as the
//! thread that made it left it.
//!
//! Each test gives its threads one atlas. If two threads hold one block at once, the atlas reports
//! an overlap.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::GLOBAL;
use crate::support::ops::Op;
use crate::support::oracle::{Atlas, Block, Limits, Shadow};
use crate::support::rng::Rng;

type Holder<'a> = Shadow<'a, greyspan::Greyspan>;

fn holder(atlas: &Atlas, seed: usize) -> Holder<'_> {
    Shadow::new(
        &GLOBAL,
        atlas,
        Limits {
            check_every: 1_000,
            ..Limits::default()
        },
        seed * 1_000_003,
    )
}

/// Makes a new block, mostly small.
fn make(shadow: &mut Holder<'_>, rng: &mut Rng) -> Block {
    let size = if rng.below(64) == 0 { rng.size(20) } else { rng.size(11) };
    shadow.run(Op::Alloc {
        size,
        align: 1 << rng.below(7),
    });
    shadow.give(shadow.live() - 1).expect("just made")
}

#[test]
fn consumers_free_what_producers_make() {
    let atlas = Atlas::default();
    let (sender, receiver) = mpsc::sync_channel::<Vec<Block>>(8);
    let receiver = Mutex::new(receiver);
    let received = AtomicUsize::new(0);
    thread::scope(|scope| {
        for id in 0..3 {
            let (sender, atlas) = (sender.clone(), &atlas);
            scope.spawn(move || {
                let (mut shadow, mut rng) = (holder(atlas, id), Rng::new(id as u64));
                for _ in 0..120 {
                    let batch = (0..50).map(|_| make(&mut shadow, &mut rng)).collect();
                    sender.send(batch).unwrap();
                }
            });
        }
        drop(sender);
        for id in 3..6 {
            let (receiver, atlas, received) = (&receiver, &atlas, &received);
            scope.spawn(move || {
                let mut shadow = holder(atlas, id);
                loop {
                    let Ok(batch) = receiver.lock().unwrap().recv() else {
                        break;
                    };
                    for block in batch {
                        shadow.adopt(block);
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                    if shadow.live() > 300 {
                        shadow.clear();
                    }
                }
            });
        }
    });
    assert_eq!(received.into_inner(), 3 * 120 * 50);
}

#[test]
fn blocks_travel_round_a_ring_of_threads() {
    const MEMBERS: usize = 4;
    let atlas = Atlas::default();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..MEMBERS).map(|_| mpsc::channel::<Block>()).unzip();
    thread::scope(|scope| {
        for (id, receiver) in receivers.into_iter().enumerate() {
            let (next, atlas) = (senders[(id + 1) % MEMBERS].clone(), &atlas);
            scope.spawn(move || {
                let (mut shadow, mut rng) = (holder(atlas, id), Rng::new(id as u64));
                for _ in 0..100 {
                    next.send(make(&mut shadow, &mut rng)).unwrap();
                }
                for turn in 0..3_000 {
                    shadow.adopt(receiver.recv().unwrap());
                    // At each stop a block is passed on as it is, resized, or replaced by a new
                    // one.
                    match turn % 3 {
                        0 => shadow.run(Op::Realloc {
                            slot: 0,
                            new_size: rng.size(12),
                        }),
                        1 => {
                            shadow.run(Op::Dealloc { slot: 0 });
                            shadow.run(Op::AllocZeroed {
                                size: rng.size(12),
                                align: 16,
                            });
                        }
                        _ => {}
                    }
                    next.send(shadow.give(0).unwrap()).unwrap();
                }
                for _ in 0..100 {
                    shadow.adopt(receiver.recv().unwrap());
                }
            });
        }
    });
}

#[test]
fn one_thread_frees_for_many_and_many_for_one() {
    let atlas = Atlas::default();
    for round in 0..3 {
        let made: Vec<Vec<Block>> = thread::scope(|scope| {
            let makers: Vec<_> = (0..4)
                .map(|id| {
                    let atlas = &atlas;
                    scope.spawn(move || {
                        let (mut shadow, mut rng) = (holder(atlas, id), Rng::new(round * 4 + id as u64));
                        (0..1_500).map(|_| make(&mut shadow, &mut rng)).collect()
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        // Many to one: the makers have ended, and one thread holds all blocks.
        let mut shadow = holder(&atlas, 9);
        for block in made.into_iter().flatten() {
            shadow.adopt(block);
        }
        // One to many: threads that never allocate such a block free it.
        let mut shares: [Vec<Block>; 4] = Default::default();
        for turn in 0.. {
            let Some(block) = shadow.give(turn * 17) else { break };
            shares[turn % 4].push(block);
        }
        thread::scope(|scope| {
            for (id, share) in shares.into_iter().enumerate() {
                let atlas = &atlas;
                scope.spawn(move || {
                    let mut shadow = holder(atlas, id);
                    share.into_iter().for_each(|block| shadow.adopt(block));
                });
            }
        });
    }
}

#[test]
fn the_maker_goes_on_while_others_free_its_blocks() {
    let atlas = Atlas::default();
    let (sender, receiver) = mpsc::sync_channel::<Block>(500);
    thread::scope(|scope| {
        let atlas = &atlas;
        scope.spawn(move || {
            let mut shadow = holder(atlas, 1);
            for block in receiver {
                shadow.adopt(block);
                if shadow.live() > 40 {
                    shadow.run(Op::Dealloc { slot: 0 });
                }
            }
        });
        let mut shadow = holder(atlas, 2);
        // Uses one size, so that returned blocks are the next to be handed out. The thread also
        // keeps some blocks between those that it gives away.
        for turn in 0..20_000 {
            shadow.run(Op::Alloc { size: 64, align: 8 });
            sender.send(shadow.give(turn).unwrap()).unwrap();
            shadow.run(Op::Alloc { size: 64, align: 8 });
            if shadow.live() > 300 {
                shadow.run(Op::Dealloc { slot: turn * 31 });
            }
        }
        drop(sender);
    });
}

#[test]
fn remote_frees_meet_the_exit_of_the_maker() {
    let atlas = Atlas::default();
    for round in 0..150 {
        let (sender, receiver) = mpsc::channel::<Block>();
        let mut late = Vec::new();
        thread::scope(|scope| {
            let atlas = &atlas;
            scope.spawn(move || {
                let (mut shadow, mut rng) = (holder(atlas, round), Rng::new(round as u64));
                for _ in 0..60 {
                    let block = make(&mut shadow, &mut rng);
                    sender.send(block).unwrap();
                }
            });
            // Frees some blocks while the maker allocates or exits, and the rest after it has
            // ended.
            let mut shadow = holder(atlas, 1_000 + round);
            for (turn, block) in receiver.into_iter().enumerate() {
                if turn % 2 == 0 {
                    shadow.adopt(block)
                } else {
                    late.push(block)
                }
            }
        });
        let mut shadow = holder(&atlas, 2_000 + round);
        late.into_iter().for_each(|block| shadow.adopt(block));
    }
}

/// As in Larson's benchmark: each generation takes over all blocks, replaces some, and leaves them
/// to the next.
#[test]
fn generations_of_threads_inherit_blocks() {
    fn generation(atlas: &Atlas, mut estate: Vec<Block>, line: u64, left: u64) -> Vec<Block> {
        if left == 0 {
            return estate;
        }
        thread::scope(|scope| {
            let heir = scope.spawn(move || {
                let mut rng = Rng::new(line << 32 | left);
                let mut shadow = holder(atlas, (line * 100 + left) as usize);
                for _ in 0..200 {
                    let slot = rng.below(estate.len());
                    let old = std::mem::replace(&mut estate[slot], make(&mut shadow, &mut rng));
                    shadow.adopt(old);
                    shadow.clear();
                }
                generation(atlas, estate, line, left - 1)
            });
            heir.join().unwrap()
        })
    }

    let atlas = Atlas::default();
    thread::scope(|scope| {
        for line in 0..3 {
            let atlas = &atlas;
            scope.spawn(move || {
                let (mut shadow, mut rng) = (holder(atlas, line), Rng::new(line as u64));
                let estate = (0..300).map(|_| make(&mut shadow, &mut rng)).collect();
                for block in generation(atlas, estate, line as u64, 25) {
                    shadow.adopt(block);
                }
            });
        }
    });
}

#[test]
fn purge_stats_and_idle_threads_disturb_nobody() {
    let atlas = Atlas::default();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (atlas, over) = (&atlas, &over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                greyspan::purge();
                std::hint::black_box(greyspan::stats());
                thread::yield_now();
            }
        });
        let workers: Vec<_> = (0..3)
            .map(|id| {
                scope.spawn(move || {
                    let (mut shadow, mut rng) = (holder(atlas, id), Rng::new(id as u64));
                    for turn in 0..6_000 {
                        let size = if rng.below(100) == 0 {
                            rng.size(22)
                        } else {
                            rng.size(13)
                        };
                        match rng.below(8) {
                            0..=3 => shadow.run(Op::Alloc { size, align: 8 }),
                            4 => shadow.run(Op::AllocZeroed { size, align: 8 }),
                            5 => shadow.run(Op::Realloc {
                                slot: turn,
                                new_size: size,
                            }),
                            _ => shadow.run(Op::Dealloc { slot: turn }),
                        }
                        if turn % 500 == 0 {
                            shadow.run(Op::ThreadIdle);
                        }
                        if shadow.live() > 400 {
                            shadow.clear();
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
}
