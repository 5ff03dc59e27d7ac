//! The objects on the heap: values, environments, and the control stack.

use greyspan::gc::{Gc, GcCell, Mutator, Trace};

/// A name, as an index into the reader's table.
pub(crate) type Name = u32;

/// A value: any object.
pub(crate) type Value<'gc> = Gc<'gc, Object<'gc>>;

/// A built-in function of the interpreter.
pub(crate) type Native = for<'gc> fn(&Mutator<'gc>, &[Value<'gc>], &mut String) -> Result<Value<'gc>, String>;

/// Programs can change pairs and vectors, so their edges are cells. They cannot change closures, so
/// the edges of those are fixed.
#[derive(Trace)]
pub(crate) enum Object<'gc> {
    Nil,
    Bool(bool),
    Int(i64),
    Real(f64),
    Name(Name),
    Text(String),
    Pair(GcCell<'gc, Object<'gc>>, GcCell<'gc, Object<'gc>>),
    Vector(Gc<'gc, [GcCell<'gc, Object<'gc>>]>),
    Closure {
        parameters: Value<'gc>,
        body: Value<'gc>,
        scope: Gc<'gc, Scope<'gc>>,
    },
    /// A function pointer holds no edge.
    Native(#[trace(skip)] Native),
}

/// Variables: a chain of bindings, and the enclosing scope.
#[derive(Trace)]
pub(crate) struct Scope<'gc> {
    pub(crate) first: GcCell<'gc, Binding<'gc>>,
    pub(crate) outer: Option<Gc<'gc, Scope<'gc>>>,
}

#[derive(Trace)]
pub(crate) struct Binding<'gc> {
    pub(crate) name: Name,
    pub(crate) value: GcCell<'gc, Object<'gc>>,
    pub(crate) next: Option<Gc<'gc, Binding<'gc>>>,
}

impl<'gc> Scope<'gc> {
    pub(crate) fn new(m: &Mutator<'gc>, outer: Option<Gc<'gc, Self>>) -> Gc<'gc, Self> {
        m.alloc(Self {
            first: GcCell::null(),
            outer,
        })
    }

    pub(crate) fn define(&self, m: &Mutator<'gc>, name: Name, value: Value<'gc>) {
        let next = self.first.get();
        let value = GcCell::new(Some(value));
        self.first.set(m, Some(m.alloc(Binding { name, value, next })));
    }

    pub(crate) fn find(&self, name: Name) -> Option<Gc<'gc, Binding<'gc>>> {
        let (mut scope, mut at) = (self.outer, self.first.get());
        loop {
            match at {
                Some(binding) if binding.name == name => return at,
                Some(binding) => at = binding.next,
                None => {
                    at = scope?.first.get();
                    scope = scope?.outer;
                }
            }
        }
    }
}

/// The next use of the value that a form returns.
#[derive(Trace)]
pub(crate) enum Rest<'gc> {
    /// The whole form is done.
    Done,
    /// Choose an arm.
    If(Value<'gc>, Place<'gc>),
    /// Evaluate these forms next.
    Sequence(Value<'gc>, Place<'gc>),
    Define(Name, Place<'gc>),
    Set(Name, Place<'gc>),
    /// Evaluate the other parts of a call. The parts that are done are listed last first.
    Call {
        open: Value<'gc>,
        done: Value<'gc>,
        place: Place<'gc>,
    },
}

/// A continuation: the scope, and the rest of the program.
#[derive(Trace, Clone, Copy)]
pub(crate) struct Place<'gc> {
    pub(crate) scope: Gc<'gc, Scope<'gc>>,
    pub(crate) next: Gc<'gc, Rest<'gc>>,
}

impl<'gc> Object<'gc> {
    pub(crate) fn pair(m: &Mutator<'gc>, first: Value<'gc>, rest: Value<'gc>) -> Value<'gc> {
        m.alloc(Self::Pair(GcCell::new(Some(first)), GcCell::new(Some(rest))))
    }

    pub(crate) fn first(&self) -> Result<Value<'gc>, String> {
        match self {
            Self::Pair(first, _) => Ok(first.get().expect("cells of pairs are never empty")),
            _ => Err("not a pair".into()),
        }
    }

    pub(crate) fn rest(&self) -> Result<Value<'gc>, String> {
        match self {
            Self::Pair(_, rest) => Ok(rest.get().expect("cells of pairs are never empty")),
            _ => Err("not a pair".into()),
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        !matches!(self, Self::Bool(false))
    }
}
