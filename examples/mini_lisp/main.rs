//! A small Lisp whose values, environments and control stack live on the managed heap.
//!
//!     cargo run --release --features gc --example mini_lisp [FILE...]
//!
//! Without files it runs the programs beside this one. A line `;=> text` in a program states a line
//! of its expected output.
//!
//! This is the tutorial on interpreters. It shows, file by file:
//!
//! 1. `object.rs`: a value is one enum that derives `Trace`. Edges that programs can change
//!    (`set-car!`, `vector-set!`, variables) are [`GcCell`]s; all others are plain `Gc` fields.
//! 2. `machine.rs`: the control stack is a chain of managed objects, not Rust's stack. The machine
//!    can stop after any step, tail calls cost nothing, deep recursion does not overflow, and a
//!    closure simply points to its scope.
//! 3. `main.rs`, below: a program of any length runs in pins of 20,000 steps each. Between two pins
//!    the thread holds no managed pointer, so a cycle of the collector can end. A [`Root`] keeps
//!    the state that must survive.

mod machine;
mod natives;
mod object;
mod reader;

use greyspan::gc::{Heap, Root, Rootable};
use machine::{Machine, Special};
use object::Object;
use reader::Names;
use std::process::ExitCode;
use std::time::Instant;

/// The machine's steps per pin.
const STEPS: usize = 20_000;

/// Runs a program and returns its output.
fn run(heap: &Heap, source: &str) -> Result<String, String> {
    let mut names = Names::default();
    let special = Special {
        quote: names.number("quote"),
        condition: names.number("if"),
        define: names.number("define"),
        set: names.number("set!"),
        lambda: names.number("lambda"),
        begin: names.number("begin"),
        bind: names.number("let"),
    };
    let machine: Root<Rootable![Machine<'_>]> = heap.enter(|m| {
        let machine = Machine::new(m);
        for (name, native) in natives::ALL {
            machine
                .global
                .define(m, names.number(name), m.alloc(Object::Native(*native)));
        }
        Root::new(m, machine)
    });
    let mut out = String::new();
    let mut tokens = reader::tokens(source).into_iter();
    let explain = |names: &Names, text: String| match text.strip_prefix("name ").and_then(|rest| rest.split_once(' ')) {
        Some((number, rest)) => format!("{} {rest}", number.parse().map_or("?", |number| names.text(number))),
        None => text,
    };
    loop {
        let loaded = heap.enter(|m| {
            let form = reader::form(m, &mut names, &mut tokens)?;
            form.into_iter().for_each(|form| machine.get(m).load(m, form));
            Ok::<_, String>(form.is_some())
        })?;
        if !loaded {
            return Ok(out);
        }
        while !heap
            .enter(|m| machine.get(m).run(m, &special, &mut out, STEPS))
            .map_err(|text| explain(&names, text))?
        {}
    }
}

/// Runs the program in a file and compares its output with the lines `;=>` in it.
fn run_file(heap: &Heap, path: &str) -> Result<(), String> {
    let source = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let (since, before) = (Instant::now(), heap.stats().cycles);
    let out = run(heap, &source).map_err(|error| format!("{path}: {error}"))?;
    print!("{out}");
    println!(
        "-- {path}: {:.2?}, {} cycles of the collector",
        since.elapsed(),
        heap.stats().cycles - before
    );
    let expected: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix(";=> ")).collect();
    if !expected.is_empty() && !out.lines().eq(expected) {
        return Err(format!("{path}: its output differs from its lines `;=>`"));
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mini_lisp/");
        files.extend(["fib", "queens", "mandelbrot", "graph"].map(|name| format!("{folder}{name}.lisp")));
    }
    let heap = Heap::new();
    for file in &files {
        if let Err(error) = run_file(&heap, file) {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    heap.verify().expect("a sound heap");
    print!("{}", heap.stats());
    ExitCode::SUCCESS
}
