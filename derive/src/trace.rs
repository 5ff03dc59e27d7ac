//! Expands `#[derive(Trace)]`.

use crate::lifetime::fresh;
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, Lifetime, Result, parse_quote};

/// Returns the lifetime of the edges, and whether it is new: the type has no lifetime parameter.
fn brand(input: &DeriveInput) -> Result<(Lifetime, bool)> {
    let lifetimes = || input.generics.lifetimes().map(|parameter| &parameter.lifetime);
    if let Some(named) = lifetimes().find(|lifetime| lifetime.ident == "gc") {
        return Ok((named.clone(), false));
    }
    let mut lifetimes = lifetimes();
    match (lifetimes.next(), lifetimes.next()) {
        (None, _) => Ok((fresh("__gc_of_trace".into(), &input.to_token_stream()), true)),
        (Some(only), None) => Ok((only.clone(), false)),
        (Some(_), Some(second)) => Err(Error::new(
            second.span(),
            "this type has several lifetimes: name the lifetime of its edges 'gc",
        )),
    }
}

/// Returns whether the field is marked `#[trace(skip)]`.
fn is_skipped(field: &Field) -> Result<bool> {
    let mut skipped = false;
    for attribute in field
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("trace"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                skipped = true;
                Ok(())
            } else {
                Err(meta.error("unknown option: `trace` takes `skip` only, as in #[trace(skip)]"))
            }
        })?;
    }
    Ok(skipped)
}

/// The code for the fields of a struct or a variant: `pattern` binds the traced fields and `whole`
/// all of them; `traced` and `measured` are the statements for them; `checks` are those of skipped
/// fields.
struct Parts {
    pattern: TokenStream,
    whole: TokenStream,
    traced: Vec<TokenStream>,
    measured: Vec<TokenStream>,
    checks: Vec<TokenStream>,
}

fn parts(fields: &Fields) -> Result<Parts> {
    let mut parts = Parts {
        pattern: TokenStream::new(),
        whole: TokenStream::new(),
        traced: Vec::new(),
        measured: Vec::new(),
        checks: Vec::new(),
    };
    let (mut bindings, mut all) = (Vec::new(), Vec::new());
    for (index, field) in fields.iter().enumerate() {
        let name = format_ident!("field_{index}");
        let (span, of) = (field.ty.span(), &field.ty);
        let skipped = is_skipped(field)?;
        let bound = if skipped { quote!(_) } else { quote!(#name) };
        let bind = |bound| match &field.ident {
            Some(ident) => quote!(#ident: #bound),
            None => bound,
        };
        bindings.push(bind(bound));
        all.push(bind(quote!(#name)));
        if skipped {
            parts.checks.push(quote_spanned!(span=> holds_no_edge::<#of>();));
            // Measures the field if its type is `Trace`, and else nothing.
            parts
                .measured
                .push(quote_spanned!(span=> (&::greyspan::gc::Skipped(#name)).measure_skipped(meter);));
        } else {
            parts
                .traced
                .push(quote_spanned!(span=> ::greyspan::gc::Trace::trace(#name, visitor);));
            parts
                .measured
                .push(quote_spanned!(span=> ::greyspan::gc::Trace::measure(#name, meter);));
        }
    }
    let pattern = |bindings: &[TokenStream]| match fields {
        Fields::Named(_) => quote!({ #(#bindings),* }),
        Fields::Unnamed(_) => quote!(( #(#bindings),* )),
        Fields::Unit => TokenStream::new(),
    };
    (parts.pattern, parts.whole) = (pattern(&bindings), pattern(&all));
    Ok(parts)
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let (brand, is_new) = brand(input)?;
    let name = &input.ident;
    let variants: Vec<(TokenStream, Parts)> = match &input.data {
        Data::Struct(data) => vec![(quote!(Self), parts(&data.fields)?)],
        Data::Enum(data) => {
            let each = data.variants.iter().map(|variant| {
                let ident = &variant.ident;
                Ok((quote!(Self::#ident), parts(&variant.fields)?))
            });
            each.collect::<Result<_>>()?
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "Trace cannot be derived for a union, which does not record its current field: use an enum",
            ));
        }
    };
    let arms = variants
        .iter()
        .map(|(path, Parts { pattern, traced, .. })| quote!(#path #pattern => { #(#traced)* }));
    let measuring = variants
        .iter()
        .map(|(path, Parts { whole, measured, .. })| quote!(#path #whole => { #(#measured)* }));
    let (body, measure) = if variants.is_empty() {
        (quote!(match *self {}), quote!(match *self {}))
    } else {
        (quote!(match self { #(#arms)* }), quote!(match self { #(#measuring)* }))
    };
    let checks: Vec<_> = variants.iter().flat_map(|(_, parts)| &parts.checks).collect();

    let (_, own, _) = input.generics.split_for_impl();
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::greyspan::gc::Trace<#brand>));
    }
    if is_new {
        generics.params.insert(0, GenericParam::Lifetime(parse_quote!(#brand)));
    }
    let (implemented, _, bounds) = generics.split_for_impl();
    let (plain, _, plain_bounds) = input.generics.split_for_impl();

    // A type with an edge has a lifetime or a type parameter for it. The fields cannot answer this:
    // a type may contain itself.
    let holds_edges = !is_new;
    let parameters: Vec<_> = input.generics.type_params().map(|parameter| &parameter.ident).collect();

    // The blanket implementation covers every type with `Drop`. If this type has one, the two
    // implementations overlap, and the compiler reports an error.
    let may_hold_edges = input
        .generics
        .params
        .iter()
        .any(|parameter| !matches!(parameter, GenericParam::Const(_)));
    let no_drop = may_hold_edges.then(|| {
        quote! {
            trait TypesWithEdgesMustNotImplementDrop {}
            #[allow(drop_bounds)]
            impl<T: ?Sized + ::core::ops::Drop> TypesWithEdgesMustNotImplementDrop for T {}
            impl #plain TypesWithEdgesMustNotImplementDrop for #name #own #plain_bounds {}
        }
    });
    Ok(quote! {
        const _: () = {
            #no_drop
            // SAFETY: every field is traced, except fields of `'static` types, which hold no edge.
            // A type with edges inside interior mutability is not `Trace`. The type does not
            // implement `Drop` if it can hold edges.
            unsafe impl #implemented ::greyspan::gc::Trace<#brand> for #name #own #bounds {
                const NEEDS_TRACE: bool = #holds_edges #(|| <#parameters as ::greyspan::gc::Trace<#brand>>::NEEDS_TRACE)*;
                #[inline]
                fn trace(&self, visitor: &mut ::greyspan::gc::Visitor<#brand>) {
                    #[allow(dead_code)]
                    fn holds_no_edge<T: ?Sized + 'static>() {}
                    #(#checks)*
                    let _ = &visitor;
                    #body
                }
                #[inline]
                fn measure(&self, meter: &mut ::greyspan::gc::Meter) {
                    #[allow(unused_imports)]
                    use ::greyspan::gc::{MeasuresNothing as _, MeasuresSkipped as _};
                    let _ = &meter;
                    #measure
                }
            }
        };
    })
}
