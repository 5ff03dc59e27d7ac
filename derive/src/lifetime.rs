//! Chooses names for the lifetimes that the macros introduce.
//!
//! A lifetime may not shadow another one (compiler error `E0496`), and in stable Rust the names of
//! lifetimes have no hygiene. So each name differs from all lifetimes in the scopes around it and
//! inside it:
//!
//! - The derive and `Rootable!` use different names, since a type with a derive may hold roots.
//! - `Rootable!` may occur inside itself, directly or through other macros, whose expansion it does
//!   not see. So if its tokens contain a macro, the name contains a hash of the tokens: an
//!   expansion cannot contain the tokens that it came from.
//! - If the tokens themselves contain the name, the name is made longer.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::Lifetime;

/// Returns whether `wanted` is true for a token, at any depth.
fn any(tokens: TokenStream, wanted: &impl Fn(&TokenTree) -> bool) -> bool {
    tokens.into_iter().any(|token| {
        wanted(&token)
            || match token {
                TokenTree::Group(group) => any(group.stream(), wanted),
                _ => false,
            }
    })
}

/// Returns the 64-bit FNV-1a hash of `text`.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Returns a lifetime whose name begins with `name` and does not occur in `tokens`.
pub(crate) fn fresh(mut name: String, tokens: &TokenStream) -> Lifetime {
    while any(
        tokens.clone(),
        &|token| matches!(token, TokenTree::Ident(ident) if *ident == name),
    ) {
        name.push('_');
    }
    Lifetime::new(&format!("'{name}"), Span::call_site())
}

/// As [`fresh`]; the name also does not occur in the expansion of a macro in `tokens`.
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
