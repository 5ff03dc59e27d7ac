//! A first program, 2 of 3: an interpreter with closures.
//!
//!     cargo run --release --features gc --example closures
//!
//! Environments and closures are the classic reason for a collector: a closure keeps the
//! environment in which it was made, and the environment may lead back to the closure. Expressions
//! are ordinary boxes: they are a tree, and only the values of the running program are a graph.

use greyspan::gc::{Gc, GcLock, Heap, Mutator, Root, Rootable, Trace};
use std::collections::HashMap;
use std::sync::Arc;

/// A program. It holds no edge, so an `Arc` shares it between all its closures.
enum Code {
    Number(f64),
    Name(&'static str),
    /// Binds the name in this environment to the value of the code.
    Let(&'static str, Arc<Code>),
    Function(&'static str, Arc<Code>),
    Call(Arc<Code>, Arc<Code>),
    Sum(Arc<Code>, Arc<Code>),
    /// If the first is not positive, the second, or else the third.
    Choose(Arc<Code>, Arc<Code>, Arc<Code>),
    Block(Vec<Arc<Code>>),
}

#[derive(Trace, Clone, Copy)]
enum Value<'gc> {
    Number(f64),
    Closure(Gc<'gc, Closure<'gc>>),
}

#[derive(Trace)]
struct Closure<'gc> {
    parameter: &'static str,
    body: Arc<Code>,
    scope: Scope<'gc>,
}

type Scope<'gc> = Gc<'gc, Environment<'gc>>;

#[derive(Trace)]
struct Environment<'gc> {
    names: GcLock<HashMap<&'static str, Value<'gc>>>,
    outer: Option<Scope<'gc>>,
}

fn environment<'gc>(m: &Mutator<'gc>, outer: Option<Scope<'gc>>) -> Scope<'gc> {
    m.alloc(Environment {
        names: GcLock::default(),
        outer,
    })
}

fn find<'gc>(mut scope: Scope<'gc>, name: &str) -> Result<Value<'gc>, String> {
    loop {
        if let Some(value) = scope.names.read().get(name) {
            return Ok(*value);
        }
        scope = scope.outer.ok_or_else(|| format!("the name {name} is not bound"))?;
    }
}

fn number(value: Value<'_>) -> Result<f64, String> {
    match value {
        Value::Number(number) => Ok(number),
        Value::Closure(_) => Err("a function is not a number".into()),
    }
}

fn run<'gc>(m: &Mutator<'gc>, code: &Arc<Code>, scope: Scope<'gc>) -> Result<Value<'gc>, String> {
    Ok(match &**code {
        Code::Number(number) => Value::Number(*number),
        Code::Name(name) => find(scope, name)?,
        Code::Let(name, code) => {
            let value = run(m, code, scope)?;
            scope.names.write(m).insert(name, value);
            value
        }
        Code::Function(parameter, body) => {
            let (parameter, body) = (*parameter, body.clone());
            Value::Closure(m.alloc(Closure { parameter, body, scope }))
        }
        Code::Call(function, argument) => {
            let Value::Closure(closure) = run(m, function, scope)? else {
                return Err("a number is not a function".into());
            };
            let inner = environment(m, Some(closure.scope));
            let argument = run(m, argument, scope)?;
            inner.names.write(m).insert(closure.parameter, argument);
            run(m, &closure.body, inner)?
        }
        Code::Sum(a, b) => Value::Number(number(run(m, a, scope)?)? + number(run(m, b, scope)?)?),
        Code::Choose(test, then, otherwise) => {
            let then = if number(run(m, test, scope)?)? <= 0.0 {
                then
            } else {
                otherwise
            };
            run(m, then, scope)?
        }
        Code::Block(all) => {
            let mut last = Value::Number(0.0);
            for code in all {
                last = run(m, code, scope)?;
            }
            last
        }
    })
}

/// `let sum = n -> if n <= 0 then 0 else n + sum(n - 1)`, and a function that counts from `start`.
fn program() -> Arc<Code> {
    let of = Arc::new;
    let name = |name| of(Code::Name(name));
    let less = of(Code::Sum(name("n"), of(Code::Number(-1.0))));
    let sum = of(Code::Sum(name("n"), of(Code::Call(name("sum"), less))));
    let choose = of(Code::Choose(name("n"), of(Code::Number(0.0)), sum));
    let adder = of(Code::Function("more", of(Code::Sum(name("start"), name("more")))));
    of(Code::Block(vec![
        of(Code::Let("sum", of(Code::Function("n", choose)))),
        of(Code::Let("from", of(Code::Function("start", adder)))),
    ]))
}

fn main() {
    let heap = Heap::new();
    let global: Root<Rootable![Environment<'_>]> = heap.enter(|m| {
        let global = environment(m, None);
        run(m, &program(), global).expect("it runs");
        Root::new(m, global)
    });

    let call = |function: Arc<Code>, argument: f64| Arc::new(Code::Call(function, Arc::new(Code::Number(argument))));
    let name = |name| Arc::new(Code::Name(name));
    for _ in 0..1_000 {
        // One `enter` per call: between two of them, a cycle of the collector can end.
        heap.enter(|m| {
            let sum = run(m, &call(name("sum"), 50.0), global.get(m)).and_then(number);
            assert_eq!(sum, Ok(1275.0));
        });
    }
    // A closure that outlives the environment of its call: `from(40)(2)`.
    let from_40: Root<Rootable![Closure<'_>]> =
        heap.enter(|m| match run(m, &call(name("from"), 40.0), global.get(m)) {
            Ok(Value::Closure(closure)) => Root::new(m, closure),
            _ => unreachable!("`from` returns a function"),
        });
    heap.collect();
    let sum = heap.enter(|m| {
        let closure = from_40.get(m);
        let scope = environment(m, Some(closure.scope));
        scope.names.write(m).insert(closure.parameter, Value::Number(2.0));
        run(m, &closure.body, scope).and_then(number)
    });
    assert_eq!(sum, Ok(42.0));
    let wrong = heap.enter(|m| run(m, &name("none"), global.get(m)).err());
    assert_eq!(wrong.as_deref(), Some("the name none is not bound"));
    println!("from(40)(2) = {}", sum.expect("a number"));

    // All environments of finished calls are garbage: the global scope, the closures of `sum` and
    // `from`, and the one that the root keeps with its scope are left.
    heap.collect();
    let stats = heap.stats();
    println!("{} objects were allocated and freed", stats.freed_objects);
    assert!(stats.freed_objects > 51_000);
    heap.verify().expect("a sound heap");
}
