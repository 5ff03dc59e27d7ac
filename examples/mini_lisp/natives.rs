//! The built-in functions.

use crate::object::{Native, Object, Value};
use crate::reader::write;
use greyspan::gc::{GcCell, Mutator};

/// Their names.
pub(crate) const ALL: &[(&str, Native)] = &[
    ("+", |m, args, _| fold(m, args, i64::checked_add, |a, b| a + b)),
    ("-", |m, args, _| fold(m, args, i64::checked_sub, |a, b| a - b)),
    ("*", |m, args, _| fold(m, args, i64::checked_mul, |a, b| a * b)),
    ("/", |m, args, _| {
        Ok(m.alloc(Object::Real(real(arg(args, 0)?)? / real(arg(args, 1)?)?)))
    }),
    ("quotient", |m, args, _| divide(m, args, i64::checked_div)),
    ("remainder", |m, args, _| divide(m, args, i64::checked_rem)),
    ("=", |m, args, _| compare(m, args, |a, b| a == b)),
    ("<", |m, args, _| compare(m, args, |a, b| a < b)),
    (">", |m, args, _| compare(m, args, |a, b| a > b)),
    ("<=", |m, args, _| compare(m, args, |a, b| a <= b)),
    (">=", |m, args, _| compare(m, args, |a, b| a >= b)),
    ("not", |m, args, _| Ok(m.alloc(Object::Bool(!arg(args, 0)?.is_true())))),
    ("eq?", |m, args, _| {
        let (a, b) = (arg(args, 0)?, arg(args, 1)?);
        let same = match (&*a, &*b) {
            (Object::Name(a), Object::Name(b)) => a == b,
            (Object::Int(a), Object::Int(b)) => a == b,
            (Object::Nil, Object::Nil) => true,
            _ => a.as_ptr() == b.as_ptr(),
        };
        Ok(m.alloc(Object::Bool(same)))
    }),
    ("cons", |m, args, _| Ok(Object::pair(m, arg(args, 0)?, arg(args, 1)?))),
    ("car", |_, args, _| arg(args, 0)?.first()),
    ("cdr", |_, args, _| arg(args, 0)?.rest()),
    ("set-car!", |m, args, _| change(m, args, true)),
    ("set-cdr!", |m, args, _| change(m, args, false)),
    ("list", |m, args, _| {
        let nil = m.alloc(Object::Nil);
        Ok(args.iter().rev().fold(nil, |rest, item| Object::pair(m, *item, rest)))
    }),
    ("null?", |m, args, _| {
        Ok(m.alloc(Object::Bool(matches!(&*arg(args, 0)?, Object::Nil))))
    }),
    ("pair?", |m, args, _| {
        Ok(m.alloc(Object::Bool(matches!(&*arg(args, 0)?, Object::Pair(..)))))
    }),
    ("make-vector", |m, args, _| {
        let (len, fill) = (index(arg(args, 0)?)?, arg(args, 1)?);
        Ok(m.alloc(Object::Vector(m.alloc_slice(len, |_| GcCell::new(Some(fill))))))
    }),
    ("vector-ref", |_, args, _| {
        Ok(cell(arg(args, 0)?, arg(args, 1)?)?
            .get()
            .expect("cells of vectors are never empty"))
    }),
    ("vector-set!", |m, args, _| {
        cell(arg(args, 0)?, arg(args, 1)?)?.set(m, Some(arg(args, 2)?));
        arg(args, 2)
    }),
    ("display", |_, args, out| {
        write(arg(args, 0)?, out);
        arg(args, 0)
    }),
    ("newline", |m, _, out| {
        out.push('\n');
        Ok(m.alloc(Object::Nil))
    }),
];

fn arg<'gc>(args: &[Value<'gc>], at: usize) -> Result<Value<'gc>, String> {
    args.get(at)
        .copied()
        .ok_or_else(|| format!("argument {} is missing", at + 1))
}

fn real(value: Value<'_>) -> Result<f64, String> {
    match &*value {
        Object::Int(int) => Ok(*int as f64),
        Object::Real(real) => Ok(*real),
        _ => Err("not a number".into()),
    }
}

fn index(value: Value<'_>) -> Result<usize, String> {
    match &*value {
        Object::Int(int) => usize::try_from(*int).map_err(|_| "a negative index".into()),
        _ => Err("not a whole number".into()),
    }
}

fn cell<'gc>(vector: Value<'gc>, at: Value<'gc>) -> Result<&'gc GcCell<'gc, Object<'gc>>, String> {
    match vector.as_ref() {
        Object::Vector(items) => items
            .as_ref()
            .get(index(at)?)
            .ok_or_else(|| "beyond the vector's end".into()),
        _ => Err("not a vector".into()),
    }
}

fn fold<'gc>(
    m: &Mutator<'gc>,
    args: &[Value<'gc>],
    whole: fn(i64, i64) -> Option<i64>,
    broken: fn(f64, f64) -> f64,
) -> Result<Value<'gc>, String> {
    let first = arg(args, 0)?;
    args[1..].iter().try_fold(first, |sum, next| match (&*sum, &**next) {
        (Object::Int(a), Object::Int(b)) => Ok(m.alloc(Object::Int(whole(*a, *b).ok_or("too large")?))),
        _ => Ok(m.alloc(Object::Real(broken(real(sum)?, real(*next)?)))),
    })
}

fn divide<'gc>(m: &Mutator<'gc>, args: &[Value<'gc>], by: fn(i64, i64) -> Option<i64>) -> Result<Value<'gc>, String> {
    match (&*arg(args, 0)?, &*arg(args, 1)?) {
        (Object::Int(a), Object::Int(b)) => Ok(m.alloc(Object::Int(by(*a, *b).ok_or("division by zero")?))),
        _ => Err("not whole numbers".into()),
    }
}

fn compare<'gc>(m: &Mutator<'gc>, args: &[Value<'gc>], holds: fn(f64, f64) -> bool) -> Result<Value<'gc>, String> {
    Ok(m.alloc(Object::Bool(holds(real(arg(args, 0)?)?, real(arg(args, 1)?)?))))
}

fn change<'gc>(m: &Mutator<'gc>, args: &[Value<'gc>], is_first: bool) -> Result<Value<'gc>, String> {
    let new = arg(args, 1)?;
    match &*arg(args, 0)? {
        Object::Pair(first, rest) => if is_first { first } else { rest }.set(m, Some(new)),
        _ => return Err("not a pair".into()),
    }
    Ok(new)
}
