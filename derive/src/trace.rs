//! Expands `#[derive(Trace)]`.

use crate::lifetime::fresh;
use crate::options::{Options, check_variant, is_skipped};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Generics, Lifetime, Result, TypeParam, parse_quote};

/// Returns a lifetime for the edges of a type that has none.
fn fresh_brand(input: &DeriveInput) -> Lifetime {
    fresh("__gc_of_trace".into(), &input.to_token_stream())
}

/// Returns the lifetime of the edges, and whether it is new: the type has no lifetime parameter.
fn brand(input: &DeriveInput, options: &Options) -> Result<(Lifetime, bool)> {
    let lifetimes = || input.generics.lifetimes().map(|parameter| &parameter.lifetime);
    if let Some(chosen) = &options.gc_lifetime {
        return match lifetimes().any(|lifetime| lifetime == chosen) {
            true => Ok((chosen.clone(), false)),
            false => Err(Error::new(chosen.span(), "this type has no such lifetime parameter")),
        };
    }
    if let Some(named) = lifetimes().find(|lifetime| lifetime.ident == "gc") {
        return Ok((named.clone(), false));
    }
    let mut lifetimes = lifetimes();
    match (lifetimes.next(), lifetimes.next()) {
        (None, _) => Ok((fresh_brand(input), true)),
        (Some(only), None) => Ok((only.clone(), false)),
        (Some(_), Some(second)) => Err(Error::new(
            second.span(),
            "this type has several lifetimes: name the lifetime of its edges 'gc, or choose it by #[trace(gc_lifetime = 'a)]",
        )),
    }
}

/// The code for the fields of a struct or a variant: `pattern` binds the traced fields and `whole`
/// all of them; `traced` and `measured` are the statements for them; `checks` are those of skipped
/// fields.
struct Parts {
    path: TokenStream,
    pattern: TokenStream,
    whole: TokenStream,
    traced: Vec<TokenStream>,
    measured: Vec<TokenStream>,
    checks: Vec<TokenStream>,
}

fn parts(path: TokenStream, fields: &Fields, options: &Options) -> Result<Parts> {
    let (mut traced, mut measured, mut checks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bindings, mut all) = (Vec::new(), Vec::new());
    for (index, field) in fields.iter().enumerate() {
        let (span, of) = (field.ty.span(), &field.ty);
        // The compiler reports a field that is not `Trace` at the place of this name.
        let name = Ident::new(&format!("field_{index}"), Span::call_site().located_at(span));
        let gc = options.gc_at(of);
        let skipped = is_skipped(field)? || options.skip;
        let bound = if skipped { quote!(_) } else { quote!(#name) };
        let bind = |bound| match &field.ident {
            Some(ident) => quote!(#ident: #bound),
            None => bound,
        };
        bindings.push(bind(bound));
        all.push(bind(quote!(#name)));
        if skipped {
            checks.push(quote_spanned!(span=> holds_no_edge::<#of>();));
            // Measures the field if its type is `Trace`, and else nothing.
            measured.push(quote_spanned!(span=> (&#gc::Skipped(#name)).measure_skipped(meter);));
        } else {
            traced.push(quote_spanned!(span=> #gc::Trace::trace(#name, visitor);));
            measured.push(quote_spanned!(span=> #gc::Trace::measure(#name, meter);));
        }
    }
    let pattern = |bindings: &[TokenStream]| match fields {
        Fields::Named(_) => quote!({ #(#bindings),* }),
        Fields::Unnamed(_) => quote!(( #(#bindings),* )),
        Fields::Unit => TokenStream::new(),
    };
    Ok(Parts {
        path,
        pattern: pattern(&bindings),
        whole: pattern(&all),
        traced,
        measured,
        checks,
    })
}

/// Returns the parts of the struct, or of each variant.
fn variants(input: &DeriveInput, options: &Options) -> Result<Vec<Parts>> {
    match &input.data {
        Data::Struct(data) => Ok(vec![parts(quote!(Self), &data.fields, options)?]),
        Data::Enum(data) => {
            let each = data.variants.iter().map(|variant| {
                check_variant(variant)?;
                let ident = &variant.ident;
                parts(quote!(Self::#ident), &variant.fields, options)
            });
            each.collect()
        }
        Data::Union(_) if options.skip => Ok(Vec::new()),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "Trace cannot be derived for a union, which does not record its current field: use an enum, or #[trace(skip)] for a `'static` union",
        )),
    }
}

/// Returns the method `measure`.
fn measure(input: &DeriveInput, options: &Options, variants: &[Parts]) -> TokenStream {
    let gc = options.gc();
    let arms = variants.iter().map(
        |Parts {
             path, whole, measured, ..
         }| { quote!(#path #whole => { #(#measured)* }) },
    );
    let body = match &input.data {
        Data::Union(_) => TokenStream::new(),
        _ if variants.is_empty() => quote!(match *self {}),
        _ => quote!(match self { #(#arms)* }),
    };
    quote! {
        #[inline]
        fn measure(&self, meter: &mut #gc::Meter) {
            #[allow(unused_imports)]
            use #gc::{MeasuresNothing as _, MeasuresSkipped as _};
            let _ = &meter;
            #body
        }
    }
}

/// Returns the generics of the implementation: the bounds `each` for each type parameter, or the
/// bounds that the program chose.
fn bounded(input: &DeriveInput, options: &Options, each: &TokenStream) -> Generics {
    let mut generics = input.generics.clone();
    match &options.bound {
        Some(bound) => generics.make_where_clause().predicates.extend(bound.iter().cloned()),
        None => {
            let each: TypeParam = parse_quote!(T: #each);
            for parameter in generics.type_params_mut() {
                parameter.bounds.extend(each.bounds.clone());
            }
        }
    }
    generics
}

/// Expands the derive for a type under `#[trace(skip)]`.
fn expand_skipped(input: &DeriveInput, options: &Options) -> Result<TokenStream> {
    let (gc, brand, name) = (options.gc(), fresh_brand(input), &input.ident);
    let measure = measure(input, options, &variants(input, options)?);
    let each = quote!(::core::marker::Send + ::core::marker::Sync + 'static);
    let mut generics = bounded(input, options, &each);
    let (_, own, _) = input.generics.split_for_impl();
    if !input.generics.params.is_empty() {
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(Self: 'static));
    }
    generics.params.insert(0, GenericParam::Lifetime(parse_quote!(#brand)));
    let (implemented, _, bounds) = generics.split_for_impl();
    Ok(quote! {
        const _: () = {
            // SAFETY: the type is `'static`, so it holds no edge.
            unsafe impl #implemented #gc::Trace<#brand> for #name #own #bounds {
                const NEEDS_TRACE: bool = false;
                #[inline]
                fn trace(&self, _: &mut #gc::Visitor<#brand>) {}
                #measure
            }
        };
    })
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let options = Options::of(input)?;
    if options.skip {
        return expand_skipped(input, &options);
    }
    let (gc, name) = (options.gc(), &input.ident);
    let (brand, is_new) = brand(input, &options)?;
    let variants = variants(input, &options)?;
    let measure = measure(input, &options, &variants);
    let arms = variants.iter().map(
        |Parts {
             path, pattern, traced, ..
         }| { quote!(#path #pattern => { #(#traced)* }) },
    );
    let body = match variants.is_empty() {
        true => quote!(match *self {}),
        false => quote!(match self { #(#arms)* }),
    };
    let checks: Vec<_> = variants.iter().flat_map(|parts| &parts.checks).collect();

    let (_, own, _) = input.generics.split_for_impl();
    let mut generics = bounded(input, &options, &quote!(#gc::Trace<#brand>));
    if is_new {
        generics.params.insert(0, GenericParam::Lifetime(parse_quote!(#brand)));
    }
    let (implemented, _, bounds) = generics.split_for_impl();

    // A type with an edge has a lifetime or a type parameter for it. The fields cannot answer this:
    // a type may contain itself. Under chosen bounds, a type parameter may be no `Trace`.
    let parameters: Vec<_> = input.generics.type_params().map(|parameter| &parameter.ident).collect();
    let needs_trace = match &options.bound {
        Some(_) => (!is_new || !parameters.is_empty()).to_token_stream(),
        None => {
            let holds_edges = !is_new;
            quote!(#holds_edges #(|| <#parameters as #gc::Trace<#brand>>::NEEDS_TRACE)*)
        }
    };
    let no_drop = no_drop(input);
    Ok(quote! {
        const _: () = {
            #no_drop
            // SAFETY: every field is traced, except fields of `'static` types, which hold no edge.
            // A type with edges inside interior mutability is not `Trace`. The type does not
            // implement `Drop` if it can hold edges.
            unsafe impl #implemented #gc::Trace<#brand> for #name #own #bounds {
                const NEEDS_TRACE: bool = #needs_trace;
                #[inline]
                fn trace(&self, visitor: &mut #gc::Visitor<#brand>) {
                    #[allow(dead_code)]
                    fn holds_no_edge<T: ?Sized + 'static>() {}
                    #(#checks)*
                    let _ = &visitor;
                    #body
                }
                #measure
            }
        };
    })
}

/// Returns the check that a type that can hold edges does not implement `Drop`.
fn no_drop(input: &DeriveInput) -> Option<TokenStream> {
    let name = &input.ident;
    let (plain, own, bounds) = input.generics.split_for_impl();
    let is_type_or_lifetime = |parameter: &GenericParam| !matches!(parameter, GenericParam::Const(_));
    // The blanket implementation covers every type with `Drop`. If this type has one, the two
    // implementations overlap, and the compiler reports an error.
    input.generics.params.iter().any(is_type_or_lifetime).then(|| {
        quote! {
            trait TypesWithEdgesMustNotImplementDrop {}
            #[allow(drop_bounds)]
            impl<T: ?Sized + ::core::ops::Drop> TypesWithEdgesMustNotImplementDrop for T {}
            impl #plain TypesWithEdgesMustNotImplementDrop for #name #own #bounds {}
        }
    })
}
