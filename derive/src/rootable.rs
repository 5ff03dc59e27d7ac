//! Expands `Rootable![Node<'_>]` to a type that stands for `Node<'gc>` with every lifetime `'gc`.

use crate::lifetime::fresh_around_macros;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit_mut::{VisitMut, visit_type_reference_mut};
use syn::{Lifetime, Type, TypeReference};

/// Replaces each `'_` by a named lifetime, and adds it to each reference without a lifetime.
struct Name(Lifetime);

impl VisitMut for Name {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            lifetime.ident = self.0.ident.clone();
        }
    }

    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        reference.lifetime.get_or_insert_with(|| self.0.clone());
        visit_type_reference_mut(self, reference);
    }
}

pub(crate) fn expand(mut of: Type) -> TokenStream {
    let name = fresh_around_macros("__gc_of_root", &of.to_token_stream());
    Name(name.clone()).visit_type_mut(&mut of);
    quote!(dyn for<#name> ::greyspan::gc::OfLifetime<#name, Of = #of>)
}
