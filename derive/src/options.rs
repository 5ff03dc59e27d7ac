//! Reads the attribute `#[trace(...)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, DeriveInput, Error, Field, Lifetime, LitStr, Path, Result, Token, Variant, WherePredicate};

/// The options of a type.
pub(crate) struct Options {
    /// The path of the module `gc`.
    gc: TokenStream,
    /// Whether the whole type is `'static`, so that no field can hold an edge.
    pub(crate) skip: bool,
    /// The bounds in place of those that the derive writes.
    pub(crate) bound: Option<Punctuated<WherePredicate, Token![,]>>,
    /// The lifetime of the edges.
    pub(crate) gc_lifetime: Option<Lifetime>,
}

fn traces(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("trace"))
}

/// Sets an option that may be given once.
fn set<T>(option: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this option is given twice")),
    }
}

/// Returns the error for an option that does not exist there. Knows the words of other collectors.
fn unknown(meta: &ParseNestedMeta<'_>, takes: &str) -> Error {
    let is = |name: &str| meta.path.is_ident(name);
    let hint = if is("no_drop") {
        ": leave it out, a type with edges never implements `Drop`"
    } else if is("require_static") || is("ignore") || is("unsafe_ignore") {
        ": the option for a `'static` type is `skip`"
    } else {
        ""
    };
    meta.error(format_args!("unknown option{hint}; {takes}"))
}

impl Options {
    /// Reads the options of the type.
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let (mut krate, mut skip, mut bound, mut gc_lifetime) = (None::<Path>, None, None, None);
        for attribute in traces(&input.attrs) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("skip") {
                    set(&mut skip, &meta, ())
                } else if meta.path.is_ident("bound") {
                    let text: LitStr = meta.value()?.parse()?;
                    set(&mut bound, &meta, text.parse_with(Punctuated::parse_terminated)?)
                } else if meta.path.is_ident("crate") {
                    let path = meta.value()?.call(Path::parse_mod_style)?;
                    set(&mut krate, &meta, path)
                } else if meta.path.is_ident("gc_lifetime") {
                    let lifetime: Lifetime = meta.value()?.parse()?;
                    set(&mut gc_lifetime, &meta, lifetime)
                } else {
                    let takes = "a type takes `skip`, `bound = \"...\"`, `crate = path` and `gc_lifetime = 'a`";
                    Err(unknown(&meta, takes))
                }
            })?;
        }
        if let (Some(()), Some(lifetime)) = (skip, &gc_lifetime) {
            let text = "a skipped type is `'static` and holds no edge, so it has no `gc_lifetime`";
            return Err(Error::new(lifetime.span(), text));
        }
        let gc = krate.map_or_else(|| quote!(::greyspan::gc), |path| quote!(#path::gc));
        Ok(Self {
            gc,
            skip: skip.is_some(),
            bound,
            gc_lifetime,
        })
    }

    /// Returns the path of the module `gc`, at the place of `of` in the program: there the compiler
    /// reports what is wrong with it.
    pub(crate) fn gc_at(&self, of: &impl ToTokens) -> TokenStream {
        use syn::spanned::Spanned;
        let place = of.span();
        let moved = self.gc.clone().into_iter().map(|mut token| {
            token.set_span(token.span().located_at(place));
            token
        });
        moved.collect()
    }

    /// Returns the path of the module `gc`.
    pub(crate) fn gc(&self) -> &TokenStream {
        &self.gc
    }
}

/// Returns whether the field is marked `#[trace(skip)]`.
pub(crate) fn is_skipped(field: &Field) -> Result<bool> {
    let mut skipped = None;
    for attribute in traces(&field.attrs) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                set(&mut skipped, &meta, ())
            } else {
                Err(unknown(&meta, "a field takes `skip` only, as in #[trace(skip)]"))
            }
        })?;
    }
    Ok(skipped.is_some())
}

/// Refuses the attribute on a variant.
pub(crate) fn check_variant(variant: &Variant) -> Result<()> {
    match traces(&variant.attrs).next() {
        None => Ok(()),
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "`trace` says nothing about a variant: put it on the variant's fields, or on the type",
        )),
    }
}
