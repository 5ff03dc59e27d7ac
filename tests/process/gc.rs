//! The collector in its own process: heaps that come and go, `fork`, and the line printed per
//! cycle.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use greyspan::gc::{CloseError, Gc, GcCell, GcLock, Heap, Root, Rootable, Trace};

use crate::fork::in_child;
use crate::harness::{DONE, KEY, Next, Scenario, mark};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("gc::heaps_that_come_and_go_leave_nothing", come_and_go),
    Scenario::new("gc::a_fork_child_has_heaps_of_its_own_and_is_told_so_of_others", fork),
    Scenario::new("gc::a_child_forked_inside_enter_gets_out_of_it", fork_inside),
    Scenario::new("gc::collects_when_the_environment_says", collects),
    Scenario::new("gc::a_line_a_cycle_has_the_shape_of_go", lines),
    Scenario::new(
        "gc::at_the_hard_limit_allocation_is_refused_and_the_heap_goes_on",
        hard_limit,
    ),
    Scenario::new(
        "gc::free_memory_of_the_thread_serves_the_collector_at_the_hard_limit",
        reclaimed,
    ),
    Scenario::new("gc::a_child_cannot_close_a_heap_of_its_parent", close_in_child),
    Scenario::new(
        "gc::a_heap_that_ends_as_the_last_act_of_main_drops_and_cleans_up",
        last_act,
    )
    .marked(LAST_ACTS)
    .repeated(10),
    Scenario::new(
        "gc::a_heap_that_ends_with_the_main_threads_storage_drops_and_cleans_up",
        last_act_of_storage,
    )
    .marked(LAST_ACTS),
    Scenario::new(
        "gc::a_heap_that_only_roots_in_dead_objects_keep_ends_before_the_process",
        last_act_of_the_abandoned,
    )
    .marked(&["destructor", "destructor"]),
    Scenario::new("gc::an_exit_does_not_wait_for_ever", endless_drop),
    Scenario::new("gc::a_cleanup_may_exit", exit_in_cleanup).marked(&["exits"]),
    Scenario::new("gc::dead_objects_with_memory_behind_plain_fields_are_few", boxes),
    Scenario::new("gc::traces_what_panics", trace_panics),
    Scenario::new(
        "gc::a_panic_in_trace_ends_the_process_and_names_the_type",
        trace_panics_outside,
    ),
];

#[derive(Trace)]
struct Node<'gc> {
    value: u64,
    next: GcCell<'gc, Node<'gc>>,
}

type NodeRoot = Root<Rootable![Node<'_>]>;

fn root(heap: &Heap, value: u64) -> NodeRoot {
    heap.enter(|m| {
        let next = GcCell::null();
        Root::new(m, m.alloc(Node { value, next }))
    })
}

fn come_and_go() -> Next {
    let round = |heaps: u64| {
        for number in 0..heaps {
            let heap = Heap::builder().gc_percent(None).build();
            let kept = root(&heap, number);
            heap.enter(|m| m.alloc(String::from("to be dropped on a thread")).len());
            heap.collect();
            assert_eq!(heap.enter(|m| kept.get(m).value), number);
        }
        thread::sleep(Duration::from_millis(200));
        greyspan::stats().heap_inuse
    };
    // The first heaps start the threads, with the memory that these keep.
    round(300);
    let before = round(300);
    let after = round(3000);
    assert!(after < before + (2 << 20), "3000 heaps left {} bytes", after - before);
    DONE
}

fn fork() -> Next {
    let heap = Heap::new();
    let kept = root(&heap, 17);
    heap.collect();
    let (mut heap, mut kept) = (Some(heap), Some(kept));
    in_child(|| {
        let (heap, kept) = (heap.take().expect("the child's"), kept.take().expect("the child's"));
        let refused = std::panic::catch_unwind(|| heap.enter(|_| ())).expect_err("a heap of the parent");
        let text = refused.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text
            .or_else(|| refused.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        assert!(text.contains("before a fork"), "{text}");
        drop(kept);
        drop(heap);
        let own = Heap::new();
        let mine = root(&own, 4);
        own.collect();
        own.verify().expect("a sound heap");
        assert_eq!((own.enter(|m| mine.get(m).value), own.stats().cycles), (4, 1));
        // A grandchild may use a heap of its own too.
        in_child(|| {
            let own = Heap::new();
            own.collect();
            assert_eq!(own.stats().cycles, 1);
        });
    });
    // Only the child took them out.
    let (heap, kept) = (heap.expect("the parent's"), kept.expect("the parent's"));
    heap.collect();
    assert_eq!(heap.enter(|m| kept.get(m).value), 17);
    DONE
}

fn fork_inside() -> Next {
    let heap = Heap::builder().gc_percent(Some(0)).build();
    // A cycle runs almost always, so that the child inherits every phase, and grey objects.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (there, stop) = (&heap, &over);
        scope.spawn(move || {
            while !stop.load(SeqCst) {
                there.collect();
            }
        });
        for round in 0..40 {
            heap.enter(|m| {
                let list = (0..2000).fold(None, |next, value| {
                    let next = GcCell::new(next);
                    Some(m.alloc(Node { value, next }))
                });
                let mut at = list;
                while let Some(node) = at {
                    at = node.next.take(m);
                }
                let locked: Vec<Gc<'_, GcLock<Option<Gc<'_, Node<'_>>>>>> =
                    (0..50).map(|_| m.alloc(GcLock::new(list))).collect();
                if round % 2 == 0 {
                    // The child continues in the closure, writes to the objects that it has not
                    // written yet, and leaves it. The collector may be examining one of the locks.
                    in_child_after(|| {
                        assert!(list.is_some_and(|node| node.value == 1999));
                        let written = locked.iter().filter_map(|lock| lock.try_write(m)?.take());
                        assert!(written.count() >= 25);
                    });
                }
            });
        }
        over.store(true, SeqCst);
    });
    DONE
}

/// Like `in_child`, but in the caller's frame.
fn in_child_after(body: impl FnOnce()) {
    in_child(body);
}

/// Runs under `again`, with more than two megabytes live and as much garbage.
fn collects() -> Next {
    let heap = Heap::new();
    let kept = root(&heap, 1);
    for _ in 0..200 {
        heap.enter(|m| {
            for value in 0..2000 {
                let next = GcCell::null();
                m.alloc(Node { value, next });
            }
        });
    }
    assert_eq!(heap.enter(|m| kept.get(m).value), 1);
    heap.collect();
    DONE
}

fn hard_limit() -> Next {
    let heap = Heap::builder().gc_percent(None).build();
    let kept = root(&heap, 7);
    let limit = greyspan::stats().mapped as usize + (8 << 20);
    greyspan::set_hard_limit(Some(limit));
    let slice = heap.enter(|m| m.try_alloc_slice(64 << 20, |_| 0u8).map(|slice| slice.len()));
    assert!(
        slice.is_err_and(|full| full.to_string().contains("no memory")),
        "a slice beyond the limit"
    );
    let made = heap.enter(|m| {
        let mut made = 0u64;
        loop {
            let next = GcCell::null();
            match m.try_alloc(Node { value: made, next }) {
                Ok(_) => made += 1,
                Err((node, _)) => {
                    assert_eq!(node.value, made, "the value comes back");
                    break made;
                }
            }
        }
    });
    assert!(made > 10_000, "{made}");
    // A value that came back lies in no heap, so its lock reports no owned bytes.
    heap.enter(|m| {
        let value = (GcLock::new(vec![1u8]), [0u64; 4000]);
        let Err((value, _)) = m.try_alloc(value) else {
            panic!("an object of 32 KB beyond the limit")
        };
        greyspan::set_hard_limit(Some(limit + (1 << 20)));
        *value.0.write(m) = vec![2; 100_000];
    });
    assert_eq!(heap.stats().owned_bytes, 0);
    // Leaves a little room for the panic itself, and none for a backtrace.
    greyspan::set_hard_limit(Some(limit + (1 << 20)));
    std::panic::set_hook(Box::new(|_| ()));
    let refused = std::panic::catch_unwind(|| heap.enter(|m| m.alloc_slice(64 << 20, |_| 0u8).len()));
    assert!(refused.is_err(), "`alloc_slice` panics where `try_alloc_slice` answers");
    // All of these objects were garbage.
    heap.collect();
    heap.verify().expect("a sound heap");
    let again = heap.enter(|m| {
        let next = GcCell::null();
        m.try_alloc(Node { value: 1, next }).is_ok()
    });
    assert!(again);
    assert_eq!(heap.enter(|m| kept.get(m).value), 7);
    DONE
}

fn reclaimed() -> Next {
    let heap = Heap::builder().gc_percent(None).build();
    let kept = root(&heap, 7);
    // Freed blocks that the thread keeps.
    for _ in 0..4 {
        drop([(); 8].map(|()| vec![1u8; 1 << 20]));
    }
    let stats = greyspan::stats();
    assert!(stats.heap_inuse - stats.allocated >= 4 << 20, "{stats:?}");
    greyspan::set_hard_limit(Some(stats.resident as usize + (1 << 20)));
    let made = heap.enter(|m| m.try_alloc_slice(4 << 20, |_| 0u8).is_ok());
    greyspan::set_hard_limit(None);
    assert!(made);
    assert_eq!(heap.enter(|m| kept.get(m).value), 7);
    DONE
}

fn close_in_child() -> Next {
    let heap = Heap::new();
    let kept = root(&heap, 17);
    in_child(|| {
        assert_eq!(heap.close(), Err(CloseError::Forked));
        let own = Heap::new();
        drop(root(&own, 1));
        assert_eq!(own.close(), Ok(()));
    });
    drop(kept);
    assert_eq!(heap.close(), Ok(()));
    // The parent has closed it; the child is still told of the fork.
    in_child(|| assert_eq!(heap.close(), Err(CloseError::Forked)));
    DONE
}

const LAST_ACTS: &[&str] = &[
    "cleanup 0",
    "cleanup 1",
    "cleanup 2",
    "destructor",
    "destructor",
    "destructor",
];

#[derive(Trace)]
struct Says;

impl Drop for Says {
    fn drop(&mut self) {
        thread::sleep(Duration::from_millis(2));
        mark("destructor");
    }
}

fn heap_with_last_acts() -> Heap {
    let heap = Heap::new();
    heap.enter(|m| {
        for text in &LAST_ACTS[..3] {
            m.on_dead(m.alloc(Says), || {
                thread::sleep(Duration::from_millis(2));
                mark(text);
            });
        }
    });
    heap
}

fn last_act() -> Next {
    drop(heap_with_last_acts());
    DONE
}

fn last_act_of_storage() -> Next {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<Heap>> = const { std::cell::RefCell::new(None) };
    }
    KEPT.set(Some(heap_with_last_acts()));
    DONE
}

type SaysRoot = Root<Rootable![Says]>;

/// The first object is dead, so the object that it roots dies with it.
fn last_act_of_the_abandoned() -> Next {
    #[derive(Trace)]
    struct Holds(#[trace(skip)] SaysRoot, Says);
    let heap = Heap::new();
    heap.enter(|m| {
        let root = Root::new(m, m.alloc(Says));
        m.alloc(Holds(root, Says)).as_ptr()
    });
    drop(heap);
    DONE
}

fn endless_drop() -> Next {
    #[derive(Trace)]
    struct Endless;
    impl Drop for Endless {
        fn drop(&mut self) {
            loop {
                thread::park();
            }
        }
    }
    let heap = Heap::new();
    heap.enter(|m| m.alloc(Endless).as_ptr());
    drop(heap);
    DONE
}

fn exit_in_cleanup() -> Next {
    let heap = Heap::new();
    heap.enter(|m| {
        m.on_dead(m.alloc(1u64), || {
            mark("exits");
            std::process::exit(0);
        });
    });
    drop(heap);
    loop {
        thread::park();
    }
}

/// The allocator's figures bound the process's memory, whatever the collector's own figures say.
fn boxes() -> Next {
    let heap = Heap::new();
    let mut most = 0;
    for _ in 0..1000 {
        heap.enter(|m| m.alloc(vec![1u8; 1 << 20]).len());
        most = most.max(greyspan::stats().heap_inuse);
    }
    assert!(most < 64 << 20, "{most} bytes, {}", heap.stats());
    DONE
}

struct Panics;

// SAFETY: it has no edges.
unsafe impl<'gc> Trace<'gc> for Panics {
    fn trace(&self, _: &mut greyspan::gc::Visitor<'gc>) {
        // Panics once, under another scenario, which observes how the process ends.
        assert!(std::env::var_os("GC_TRACE_MAY_PANIC").is_none(), "no trace of me");
    }
}

fn trace_panics() -> Next {
    let heap = Heap::new();
    let kept: Root<Rootable![Panics]> = heap.enter(|m| Root::new(m, m.alloc(Panics)));
    heap.collect();
    drop(kept);
    DONE
}

fn trace_panics_outside() -> Next {
    let output = Command::new("/proc/self/exe")
        .arg0("process")
        .env(KEY.to_str().expect("ASCII"), "gc::traces_what_panics")
        .env("GC_TRACE_MAY_PANIC", "1")
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(text.contains("gc::Panics panicked; aborting"), "{text}");
    DONE
}

fn again(trace: &str, percent: &str) -> String {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("process")
        .env(KEY.to_str().expect("ASCII"), "gc::collects_when_the_environment_says")
        .env("GREYSPAN_GC", percent)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if !trace.is_empty() {
        command.env("GREYSPAN_TRACE", trace);
    }
    let mut child = command.spawn().expect("a child");
    let mut text = String::new();
    let mut errors = child.stderr.take().expect("a pipe");
    errors.read_to_string(&mut text).expect("text");
    assert!(child.wait().expect("an end").success(), "{text}");
    text
}

fn lines() -> Next {
    assert_eq!(again("", "100"), "");
    let off = again("gc", "off");
    assert_eq!(off.lines().count(), 1, "only `collect`: {off}");
    let text = again("gc", "20");
    assert!(text.lines().count() > 2, "{text}");
    for (index, line) in text.lines().enumerate() {
        let line = line.strip_suffix(" (forced)").unwrap_or(line);
        // The fields of a line, as Go's documentation defines them.
        let words: Vec<&str> = line.split(' ').collect();
        let [
            gc,
            number,
            at,
            share,
            clock,
            ms,
            clock_unit,
            cpu,
            cpu_ms,
            cpu_unit,
            rest @ ..,
        ] = words.as_slice()
        else {
            panic!("{line}")
        };
        assert_eq!(
            (*gc, *ms, *clock_unit, *cpu_ms, *cpu_unit),
            ("gc", "ms", "clock,", "ms", "cpu,")
        );
        assert_eq!(number.parse::<usize>(), Ok(index + 1));
        assert!(at.starts_with('@') && at.ends_with('s'), "{line}");
        assert!(share.ends_with("%:"), "{line}");
        let is_number = |text: &str| text.parse::<f64>().is_ok();
        assert!(
            clock.split('+').count() == 3 && clock.split('+').all(is_number),
            "{line}"
        );
        assert!(
            cpu.split('+').count() == 3 && cpu.split(['+', '/']).count() == 5,
            "{line}"
        );
        assert!(cpu.split(['+', '/']).all(is_number), "{line}");
        let [
            sizes,
            mb,
            goal,
            goal_mb,
            goal_word,
            stacks,
            stacks_mb,
            stacks_word,
            globals,
            globals_mb,
            globals_word,
            threads,
            p,
        ] = rest
        else {
            panic!("{line}")
        };
        assert!(
            sizes.split("->").count() == 3 && sizes.split("->").all(is_number),
            "{line}"
        );
        assert_eq!((*mb, *goal_mb, *goal_word), ("MB,", "MB", "goal,"));
        assert_eq!(
            (*stacks_mb, *stacks_word, *globals_mb, *globals_word),
            ("MB", "stacks,", "MB", "globals,")
        );
        assert!(
            [goal, stacks, globals, threads].iter().all(|text| is_number(text)),
            "{line}"
        );
        assert_eq!(*p, "P");
    }
    assert!(
        text.lines().last().is_some_and(|line| line.ends_with("(forced)")),
        "{text}"
    );
    DONE
}
