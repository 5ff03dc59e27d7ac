//! The machine runs a program in small steps. Its whole state lies in the managed heap, so it can
//! stop after any step, leave `enter`, and continue later.

use crate::object::{Name, Object, Place, Rest, Scope, Value};
use greyspan::gc::{Gc, GcCell, Mutator, Trace};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The state between two pins.
#[derive(Trace)]
pub(crate) struct Machine<'gc> {
    /// The form to evaluate, or the last result.
    focus: GcCell<'gc, Object<'gc>>,
    has_value: AtomicBool,
    scope: GcCell<'gc, Scope<'gc>>,
    next: GcCell<'gc, Rest<'gc>>,
    pub(crate) global: Gc<'gc, Scope<'gc>>,
}

/// The names of the special forms, which are not calls.
pub(crate) struct Special {
    pub(crate) quote: Name,
    pub(crate) condition: Name,
    pub(crate) define: Name,
    pub(crate) set: Name,
    pub(crate) lambda: Name,
    pub(crate) begin: Name,
    pub(crate) bind: Name,
}

/// The machine's current step.
enum Step<'gc> {
    /// Evaluate a form.
    Form(Value<'gc>, Place<'gc>),
    /// A form has this value, which goes to the rest of the program.
    Came(Value<'gc>, Gc<'gc, Rest<'gc>>),
}

impl<'gc> Machine<'gc> {
    pub(crate) fn new(m: &Mutator<'gc>) -> Gc<'gc, Self> {
        m.alloc(Self {
            focus: GcCell::null(),
            has_value: AtomicBool::new(false),
            scope: GcCell::null(),
            next: GcCell::null(),
            global: Scope::new(m, None),
        })
    }

    /// Makes `form` the next form to run.
    pub(crate) fn load(&self, m: &Mutator<'gc>, form: Value<'gc>) {
        let next = m.alloc(Rest::Done);
        self.save(
            m,
            Step::Form(
                form,
                Place {
                    scope: self.global,
                    next,
                },
            ),
        );
    }

    fn save(&self, m: &Mutator<'gc>, step: Step<'gc>) {
        let (focus, scope, next) = match step {
            Step::Form(form, place) => (form, Some(place.scope), place.next),
            Step::Came(value, next) => (value, None, next),
        };
        self.focus.set(m, Some(focus));
        self.has_value.store(scope.is_none(), Relaxed);
        self.scope.set(m, scope);
        self.next.set(m, Some(next));
    }

    /// Runs up to `steps` steps. Returns `true` once the form is done.
    pub(crate) fn run(
        &self,
        m: &Mutator<'gc>,
        special: &Special,
        out: &mut String,
        steps: usize,
    ) -> Result<bool, String> {
        let (focus, next) = (self.focus.get().expect("loaded"), self.next.get().expect("loaded"));
        let mut step = match self.scope.get() {
            Some(scope) if !self.has_value.load(Relaxed) => Step::Form(focus, Place { scope, next }),
            _ => Step::Came(focus, next),
        };
        for _ in 0..steps {
            step = match step {
                Step::Came(_, next) if matches!(&*next, Rest::Done) => return Ok(true),
                Step::Came(value, next) => came(m, value, next.as_ref(), out)?,
                Step::Form(form, place) => evaluate(m, special, form, place)?,
            };
        }
        self.save(m, step);
        Ok(false)
    }
}

fn nth<'gc>(form: Value<'gc>, n: usize) -> Result<Value<'gc>, String> {
    (0..n).try_fold(form, |at, _| at.rest())?.first()
}

fn name(value: Value<'_>) -> Result<Name, String> {
    match &*value {
        Object::Name(name) => Ok(*name),
        _ => Err("not a name".into()),
    }
}

fn closure<'gc>(m: &Mutator<'gc>, parameters: Value<'gc>, body: Value<'gc>, place: Place<'gc>) -> Value<'gc> {
    m.alloc(Object::Closure {
        parameters,
        body,
        scope: place.scope,
    })
}

fn evaluate<'gc>(
    m: &Mutator<'gc>,
    special: &Special,
    form: Value<'gc>,
    place: Place<'gc>,
) -> Result<Step<'gc>, String> {
    match &*form {
        Object::Name(name) => {
            let binding = place
                .scope
                .find(*name)
                .ok_or_else(|| format!("name {name} is not bound"))?;
            return Ok(Step::Came(binding.value.get().expect("bound"), place.next));
        }
        Object::Pair(..) => {}
        _ => return Ok(Step::Came(form, place.next)),
    }
    let head = form.first()?;
    if let Object::Name(head) = &*head {
        if *head == special.quote {
            return Ok(Step::Came(nth(form, 1)?, place.next));
        }
        if *head == special.condition {
            let next = m.alloc(Rest::If(nth(form, 2).and(form.rest()?.rest())?, place));
            return Ok(Step::Form(nth(form, 1)?, Place { next, ..place }));
        }
        if *head == special.define {
            let target = nth(form, 1)?;
            if let Object::Pair(..) = &*target {
                let function = closure(m, target.rest()?, form.rest()?.rest()?, place);
                place.scope.define(m, name(target.first()?)?, function);
                return Ok(Step::Came(function, place.next));
            }
            let next = m.alloc(Rest::Define(name(target)?, place));
            return Ok(Step::Form(nth(form, 2)?, Place { next, ..place }));
        }
        if *head == special.set {
            let next = m.alloc(Rest::Set(name(nth(form, 1)?)?, place));
            return Ok(Step::Form(nth(form, 2)?, Place { next, ..place }));
        }
        if *head == special.lambda {
            return Ok(Step::Came(
                closure(m, nth(form, 1)?, form.rest()?.rest()?, place),
                place.next,
            ));
        }
        if *head == special.begin {
            return sequence(m, form.rest()?, place);
        }
        if *head == special.bind {
            // (let ((a x) (b y)) body...) is ((lambda (a b) body...) x y).
            let nil = m.alloc(Object::Nil);
            let (mut names, mut values, mut at) = (Vec::new(), Vec::new(), nth(form, 1)?);
            while let Ok(pair) = at.first() {
                names.push(nth(pair, 0)?);
                values.push(nth(pair, 1)?);
                at = at.rest()?;
            }
            let list = |items: Vec<Value<'gc>>| {
                items
                    .into_iter()
                    .rev()
                    .fold(nil, |rest, item| Object::pair(m, item, rest))
            };
            let function = closure(m, list(names), form.rest()?.rest()?, place);
            let next = m.alloc(Rest::Call {
                open: list(values),
                done: nil,
                place,
            });
            return Ok(Step::Came(function, next));
        }
    }
    let next = m.alloc(Rest::Call {
        open: form.rest()?,
        done: m.alloc(Object::Nil),
        place,
    });
    Ok(Step::Form(head, Place { next, ..place }))
}

/// Evaluates `forms` in order. The last one gets the place of the whole sequence, so tail calls
/// leave nothing on the control stack.
fn sequence<'gc>(m: &Mutator<'gc>, forms: Value<'gc>, place: Place<'gc>) -> Result<Step<'gc>, String> {
    let rest = forms.rest()?;
    let next = match &*rest {
        Object::Nil => place.next,
        _ => m.alloc(Rest::Sequence(rest, place)),
    };
    Ok(Step::Form(forms.first()?, Place { next, ..place }))
}

fn came<'gc>(m: &Mutator<'gc>, value: Value<'gc>, rest: &Rest<'gc>, out: &mut String) -> Result<Step<'gc>, String> {
    match rest {
        Rest::Done => Err("nothing is left to do".into()),
        Rest::If(arms, place) => match (value.is_true(), arms.rest()?.first()) {
            (true, _) => Ok(Step::Form(arms.first()?, *place)),
            (false, Ok(other)) => Ok(Step::Form(other, *place)),
            (false, Err(_)) => Ok(Step::Came(m.alloc(Object::Nil), place.next)),
        },
        Rest::Sequence(forms, place) => sequence(m, *forms, *place),
        Rest::Define(name, place) => {
            place.scope.define(m, *name, value);
            Ok(Step::Came(value, place.next))
        }
        Rest::Set(name, place) => {
            let binding = place
                .scope
                .find(*name)
                .ok_or_else(|| format!("name {name} is not bound"))?;
            binding.value.set(m, Some(value));
            Ok(Step::Came(value, place.next))
        }
        Rest::Call { open, done, place } => {
            let done = Object::pair(m, value, *done);
            if let Object::Pair(..) = &**open {
                let next = m.alloc(Rest::Call {
                    open: open.rest()?,
                    done,
                    place: *place,
                });
                return Ok(Step::Form(open.first()?, Place { next, ..*place }));
            }
            call(m, done, place.next, out)
        }
    }
}

/// Applies a function to arguments that are all evaluated, the last first.
fn call<'gc>(
    m: &Mutator<'gc>,
    done: Value<'gc>,
    next: Gc<'gc, Rest<'gc>>,
    out: &mut String,
) -> Result<Step<'gc>, String> {
    let (mut arguments, mut at) = (Vec::new(), done);
    while let Ok(part) = at.first() {
        arguments.push(part);
        at = at.rest()?;
    }
    let function = arguments.pop().ok_or("an empty call")?;
    arguments.reverse();
    match &*function {
        Object::Native(native) => Ok(Step::Came(native(m, &arguments, out)?, next)),
        Object::Closure {
            parameters,
            body,
            scope,
        } => {
            let scope = Scope::new(m, Some(*scope));
            let mut at = *parameters;
            for argument in arguments {
                scope.define(m, name(at.first().map_err(|_| "too many arguments")?)?, argument);
                at = at.rest()?;
            }
            if let Object::Pair(..) = &*at {
                return Err("too few arguments".into());
            }
            sequence(m, *body, Place { scope, next })
        }
        _ => Err("not a function".into()),
    }
}
