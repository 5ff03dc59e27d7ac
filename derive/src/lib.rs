//! The macros of `greyspan::gc`: `#[derive(Trace)]` and `Rootable!`. Use them through `greyspan`, which re-exports them.

#![forbid(unsafe_code)]

mod lifetime;
mod rootable;
mod trace;

use proc_macro::TokenStream;

/// Derives `Trace` for a struct or an enum: every field is traced, in every variant.
///
/// - Each field's type must be `Trace`. `#[trace(skip)]` on a field leaves it out; its type must then be `'static`, so that it can hold no edge.
/// - The lifetime of the edges is the type's parameter `'gc`, or its only lifetime parameter.
/// - Type parameters are bounded by `Trace`.
/// - A type with a lifetime or type parameter must not implement `Drop`: what its edges lead to may be gone when it is dropped.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    trace::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// The type that a `Root` is to keep, with the lifetime of its edges written `'_`: `Root<Rootable![Node<'_>]>`.
#[proc_macro]
#[allow(non_snake_case, reason = "it is used in the place of a type")]
pub fn Rootable(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::Type);
    rootable::expand(input).into()
}
