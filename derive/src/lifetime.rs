//! Names for the lifetimes that the macros introduce.
//!
//! A lifetime may not shadow another (E0496), and names of lifetimes have no hygiene in stable
//! Rust. So each name here is one that no scope around it or in it has:
//!
//! - The derive and `Rootable!` use different names, since a type with a derive may hold roots.
//! - `Rootable!` may stand inside itself, directly or behind other macros, whose expansion it does
//!   not see. So where it holds a macro, its lifetime is named after its tokens: an expansion
//!   cannot hold the tokens that it came from.
//! - A name that stands in the tokens themselves is made longer.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::Lifetime;

/// Whether a token, at any depth, is as `wanted` says.
fn any(tokens: TokenStream, wanted: &impl Fn(&TokenTree) -> bool) -> bool {
    tokens.into_iter().any(|token| {
        wanted(&token)
            || match token {
                TokenTree::Group(group) => any(group.stream(), wanted),
                _ => false,
            }
    })
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// A lifetime of a name that begins with `name` and that `tokens` do not hold.
pub(crate) fn fresh(mut name: String, tokens: &TokenStream) -> Lifetime {
    while any(
        tokens.clone(),
        &|token| matches!(token, TokenTree::Ident(ident) if *ident == name),
    ) {
        name.push('_');
    }
    Lifetime::new(&format!("'{name}"), Span::call_site())
}

/// As [`fresh`], and one that no macro in `tokens` expands to.
pub(crate) fn fresh_around_macros(name: &str, tokens: &TokenStream) -> Lifetime {
    let holds_macro = any(
        tokens.clone(),
        &|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '!'),
    );
    let name = if holds_macro {
        format!("{name}_{:x}", hash(&tokens.to_string()))
    } else {
        name.to_owned()
    };
    fresh(name, tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        fresh_around_macros("__gc", &text.parse().expect("tokens")).to_string()
    }

    #[test]
    fn a_name_is_in_no_scope_inside() {
        assert_eq!(name("Node<'_>"), "'__gc");
        assert_eq!(name("for<'__gc, '__gc_> fn(&'__gc u8)"), "'__gc__");
        let nested = ["r!(u8)", "Root<Rootable![u8]>", "Root<Rootable![Root<Rootable![u8]>]>"];
        let mut names: Vec<_> = nested.iter().map(|text| name(text)).collect();
        names.push(name("u8"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn a_name_is_the_same_in_each_build() {
        assert_eq!(name("Root<Rootable![u8]>"), name("Root<Rootable![u8]>"));
    }
}
