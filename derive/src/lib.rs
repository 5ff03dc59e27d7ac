//! The macros of `greyspan::gc`: `#[derive(Trace)]` and `Rootable!`.
//!
//! Use them through `greyspan`, which re-exports them: the generated code names `::greyspan::gc`.

#![forbid(unsafe_code)]

mod lifetime;
mod options;
mod rootable;
mod trace;

use proc_macro::TokenStream;

/// Derives `Trace` for a struct or an enum: it traces every field of every variant. With its
/// feature `gc`, `greyspan::gc` exports the macro; the example of the trait there is complete.
///
/// - Each field's type must implement `Trace`. `#[trace(skip)]` on a field leaves it out; its type
///   must then be `'static`, so that it can hold no edge.
/// - The lifetime of the edges is the type's parameter `'gc`, or else its only lifetime parameter.
/// - Each type parameter gets the bound `Trace`.
/// - A type with a lifetime or type parameter must not implement `Drop`: when such a value is
///   dropped, the objects that its edges lead to may be gone.
///
/// # Options of a type
///
/// - `#[trace(skip)]`: the whole type holds no edge. It must be `'static`, its fields need no
///   `Trace`, and it may implement `Drop`. Each type parameter gets the bounds `Send`, `Sync` and
///   `'static`.
/// - `#[trace(bound = "T: Language, U: Copy")]`: these bounds in place of those that the derive
///   adds. The string may be empty. Each field's type must still be `Trace`.
/// - `#[trace(gc_lifetime = 'a)]`: the lifetime of the edges, for a type with several lifetimes.
/// - `#[trace(crate = path::to::greyspan)]`: the path of the crate `greyspan`, for programs that
///   have it under another name.
///
/// ```ignore
/// use greyspan::gc::{GcCell, Trace};
///
/// #[derive(Trace)]
/// struct Node<'gc> {
///     next: GcCell<'gc, Node<'gc>>,
///     #[trace(skip)]
///     created: std::time::Instant,
/// }
///
/// #[derive(Trace)]
/// #[trace(skip)]
/// struct Connection(another_crate::Socket);
/// ```
///
/// # Errors
///
/// The macro reports a compile error for a union without `skip`, for a type with several lifetimes
/// of which none is `'gc` or chosen, and for an unknown or repeated option. A field whose type is
/// not `Trace`, a skipped field that is not `'static` and a forbidden `Drop` are errors of the
/// compiler.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    trace::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Names the type that a `Root` keeps. With its feature `gc`, `greyspan::gc` exports the macro; the
/// example of `Root` there is complete. Write the lifetime of the type's edges as `'_`:
///
/// ```ignore
/// let root: Root<Rootable![Node<'_>]> = heap.enter(|m| Root::new(m, node));
/// ```
#[proc_macro]
#[allow(non_snake_case, reason = "programs use it in place of a type")]
pub fn Rootable(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::Type);
    rootable::expand(input).into()
}
