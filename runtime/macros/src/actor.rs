//! `#[derive(Actor)]`.

use crate::options::{Kind, Options};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{DeriveInput, Result};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new(
            input.generics.span(),
            "an actor's type can't be generic; make a type of its own for each kind",
        ));
    }
    let mut attributes = input.attrs.iter().filter(|attribute| attribute.path().is_ident("actor"));
    let tokens = match attributes.next() {
        Some(attribute) => attribute.meta.require_list()?.tokens.clone(),
        None => TokenStream::new(),
    };
    if let Some(second) = attributes.next() {
        return Err(syn::Error::new(second.span(), "one `#[actor(…)]` is enough"));
    }
    let options = Options::parse(tokens, Kind::Actor)?;
    let (name, visibility, declared) = (&input.ident, &input.vis, options.declared(Kind::Actor));
    let reference = format_ident!("{name}Ref");
    let doc = format!("A reference to a [`{name}`] actor; its methods are the actor's, sent as messages.");
    let checkpoint = options.checkpoint.then(|| {
        quote! {
            fn checkpoint() -> ::core::option::Option<::rayline::internal::CheckpointOps<Self>> {
                ::core::option::Option::Some(::rayline::internal::CheckpointOps::of())
            }
        }
    });
    Ok(quote! {
        #[doc = #doc]
        #[derive(Clone, Debug, ::rayline::internal::serde::Serialize, ::rayline::internal::serde::Deserialize)]
        #[serde(crate = "::rayline::internal::serde")]
        #visibility struct #reference(::rayline::ActorRef<#name>);

        impl ::core::ops::Deref for #reference {
            type Target = ::rayline::ActorRef<#name>;
            fn deref(&self) -> &Self::Target { &self.0 }
        }

        impl ::rayline::Actor for #name {
            type Ref = #reference;
            const OPTIONS: ::rayline::internal::Declared = #declared;
            const TYPE: &'static str = ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name));
            fn wrap(actor: ::rayline::ActorRef<Self>) -> #reference { #reference(actor) }
            #checkpoint
        }
    })
}
