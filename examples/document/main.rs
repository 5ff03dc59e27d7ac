//! A first program, 3 of 3: a document of elements with parents, children and listeners.
//!
//!     cargo run --release --features gc --example document
//!
//! - An element leads to its children and back to its parent: a plain cycle.
//! - A listener is a closure of the host program. It is `'static`, so `Static` lets it lie in the
//!   heap. It may hold a `WeakRoot`, but no `Root` of its own element: that would be a cycle that
//!   leads through the outside, where the collector does not look.
//! - An element that the program removes from the tree is garbage, with all that lies below it.

use greyspan::gc::{Gc, GcCell, GcLock, Heap, Mutator, Root, Rootable, Static, Trace, WeakRoot};
use std::sync::{Arc, Mutex};

type Listener = Static<Arc<dyn Fn(&Heap, &str) + Send + Sync>>;
type ElementRoot = Root<Rootable![Element<'_>]>;
type WeakElement = WeakRoot<Rootable![Element<'_>]>;

#[derive(Trace)]
struct Element<'gc> {
    tag: String,
    parent: GcCell<'gc, Element<'gc>>,
    children: GcLock<Vec<Gc<'gc, Element<'gc>>>>,
    listeners: GcLock<Vec<(String, Listener)>>,
}

/// The methods that need the reference to the element itself.
trait Tree<'gc> {
    fn append(self, m: &Mutator<'gc>, child: Gc<'gc, Element<'gc>>);
    fn remove(self, m: &Mutator<'gc>);
    fn listeners(self, event: &str) -> Vec<Listener>;
    fn path(self) -> String;
}

fn element<'gc>(m: &Mutator<'gc>, tag: &str) -> Gc<'gc, Element<'gc>> {
    m.alloc(Element {
        tag: tag.into(),
        parent: GcCell::null(),
        children: GcLock::default(),
        listeners: GcLock::default(),
    })
}

impl<'gc> Tree<'gc> for Gc<'gc, Element<'gc>> {
    fn append(self, m: &Mutator<'gc>, child: Self) {
        child.remove(m);
        child.parent.set(m, Some(self));
        self.children.write(m).push(child);
    }

    fn remove(self, m: &Mutator<'gc>) {
        if let Some(parent) = self.parent.take(m) {
            parent.children.write(m).retain(|child| !child.ptr_eq(self));
        }
    }

    /// The listeners for an event, from this element up to the root of the document.
    fn listeners(self, event: &str) -> Vec<Listener> {
        let up = std::iter::successors(Some(self), |element| element.parent.get());
        let all = up.flat_map(|element| element.listeners.read().clone());
        all.filter(|(name, _)| name == event)
            .map(|(_, listener)| listener)
            .collect()
    }

    fn path(self) -> String {
        match self.parent.get() {
            Some(parent) => format!("{}/{}", parent.path(), self.tag),
            None => self.tag.clone(),
        }
    }
}

/// Sends an event. The listeners run outside of `enter`: they may take long, and enter themselves.
fn dispatch(heap: &Heap, target: &ElementRoot, event: &str) {
    let listeners = heap.enter(|m| target.get(m).listeners(event));
    listeners.iter().for_each(|listener| listener(heap, event));
}

fn listen(heap: &Heap, target: &ElementRoot, event: &str, listener: impl Fn(&Heap, &str) + Send + Sync + 'static) {
    let listener = Static(Arc::new(listener) as Arc<_>);
    heap.enter(|m| target.get(m).listeners.write(m).push((event.into(), listener)));
}

fn main() {
    let heap = Heap::new();
    let (page, button): (ElementRoot, ElementRoot) = heap.enter(|m| {
        let (page, form, button) = (element(m, "page"), element(m, "form"), element(m, "button"));
        page.append(m, form);
        form.append(m, element(m, "text"));
        form.append(m, button);
        assert_eq!(button.path(), "page/form/button");
        (Root::new(m, page), Root::new(m, button))
    });

    // The listener of the page writes a log. That of the button removes the button.
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    listen(&heap, &page, "click", move |_, event| {
        lines.lock().expect("no panic").push(format!("page: {event}"))
    });
    let weak: WeakElement = heap.enter(|m| WeakRoot::new(m, button.get(m)));
    let (own, lines) = (weak.clone(), log.clone());
    listen(&heap, &button, "click", move |heap, event| {
        heap.enter(|m| {
            if let Some(button) = own.upgrade(m) {
                lines
                    .lock()
                    .expect("no panic")
                    .push(format!("{}: {event}", button.path()));
                button.remove(m);
            }
        });
    });

    dispatch(&heap, &button, "click");
    dispatch(&heap, &page, "click");
    let log = log.lock().expect("no panic");
    println!("{}", log.join("\n"));
    assert_eq!(*log, ["page/form/button: click", "page: click", "page: click"]);

    // The document has let the button go. With its root, the last reference goes.
    drop(button);
    heap.collect();
    heap.enter(|m| {
        assert!(weak.upgrade(m).is_none());
        let form = page.get(m).children.read()[0];
        assert_eq!(
            form.children
                .read()
                .iter()
                .map(|child| child.path())
                .collect::<Vec<_>>(),
            ["page/form/text"]
        );
    });
    heap.verify().expect("a sound heap");
}
