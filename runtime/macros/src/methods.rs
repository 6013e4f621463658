//! `#[methods]`.

use crate::signature::{self, Output, Param};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Ident, ImplItem, ImplItemFn, ItemImpl, Receiver, Result, Type, Visibility};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(syn::Error::new(options.span(), "#[methods] has no options; an actor's are in `#[actor(…)]`"));
    }
    let block: ItemImpl = syn::parse2(item)?;
    let actor = actor_type(&block)?;
    let (mut methods, mut constructor) = (Vec::new(), None);
    for item in &block.items {
        let ImplItem::Fn(function) = item else { continue };
        match function.sig.receiver() {
            None if function.sig.ident == "new" => constructor = Some(expand_constructor(&actor, function)?),
            Some(receiver) if !matches!(function.vis, Visibility::Inherited) => {
                methods.push(expand_method(&actor, function, receiver)?);
            }
            _ => {}
        }
    }
    let constructor = constructor.ok_or_else(|| {
        syn::Error::new(block.self_ty.span(), "an actor needs a constructor: `pub fn new(…) -> Self`")
    })?;
    let reference = format_ident!("{actor}Ref");
    let (senders, runners): (Vec<_>, Vec<_>) = methods.into_iter().unzip();
    Ok(quote! {
        #[allow(clippy::ptr_arg)]
        #block
        #[allow(clippy::too_many_arguments, dead_code)]
        impl #reference { #(#senders)* }
        #(#runners)*
        #constructor
    })
}

fn actor_type(block: &ItemImpl) -> Result<Ident> {
    if let Some((_, path, _)) = &block.trait_ {
        return Err(syn::Error::new(path.span(), "#[methods] is for the type's own `impl` block, not for a trait's"));
    }
    match &*block.self_ty {
        Type::Path(path) if path.path.get_ident().is_some() && block.generics.params.is_empty() => {
            Ok(path.path.segments[0].ident.clone())
        }
        ty => Err(syn::Error::new(ty.span(), "#[methods] takes an `impl` block of a named type without parameters")),
    }
}

fn docs(function: &ImplItemFn) -> impl Iterator<Item = &Attribute> {
    function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"))
}

fn expand_constructor(actor: &Ident, function: &ImplItemFn) -> Result<TokenStream> {
    if let Some(asyncness) = &function.sig.asyncness {
        return Err(syn::Error::new(
            asyncness.span(),
            "a constructor can't be `async`; use `rayline::block_on` inside it",
        ));
    }
    let params = signature::params(&function.sig)?;
    let (declare, slots): (Vec<_>, _) = (params.iter().map(Param::declare).collect(), signature::slots(&params));
    let (args, pattern) = (signature::args_type(&params), signature::args_pattern(&params));
    let names = params.iter().map(|param| &param.name);
    let name = quote!(<#actor as ::rayline::Actor>::TYPE);
    let resolve = signature::resolve(&params, &name);
    let (visibility, reference) = (&function.vis, format_ident!("{actor}Ref"));
    let made = quote!(#actor::new(#(#names),*));
    let made = match signature::output(&function.sig)? {
        Output::Fallible(_) => quote!(#made.map_err(|error| ::rayline::internal::failed(#name, error))),
        _ => quote!(::core::result::Result::Ok(#made)),
    };
    Ok(quote! {
        #[allow(clippy::too_many_arguments, dead_code)]
        impl #actor {
            /// Creates the actor with the declared options. Never fails: calls fail with the reason.
            #visibility fn remote(#(#declare),*) -> #reference { Self::__create(#slots).remote() }

            /// Prepares the creation, whose options may be changed first.
            #visibility fn create(#(#declare),*)
                -> ::rayline::Create<#actor, impl ::rayline::internal::Slots<Args = #args>>
            {
                Self::__create(#slots)
            }

            fn __create<S: ::rayline::internal::Slots<Args = #args>>(slots: S) -> ::rayline::Create<#actor, S> {
                ::rayline::internal::create(slots, |#pattern: #args| { #resolve #made })
            }

            /// The live actor of this type and name.
            #visibility fn named(name: &str) -> ::rayline::Result<#reference> {
                <#actor as ::rayline::Named>::named(name)
            }
        }
    })
}

/// The method of the reference that sends the message, and the type that runs it.
fn expand_method(actor: &Ident, function: &ImplItemFn, receiver: &Receiver) -> Result<(TokenStream, TokenStream)> {
    if receiver.reference.is_none() {
        return Err(syn::Error::new(receiver.span(), "a method takes `&mut self` or `&self`; the actor stays"));
    }
    let params = signature::params(&function.sig)?;
    let (ty, fallible) = match signature::output(&function.sig)? {
        Output::Plain(ty) => (ty, false),
        Output::Fallible(ty) => (ty, true),
        Output::Stream(_) => {
            return Err(syn::Error::new(function.sig.output.span(), "a method returns a value; streams are for tasks"));
        }
    };
    let (name, visibility, docs) = (&function.sig.ident, &function.vis, docs(function));
    let (is_async, is_mut) = (function.sig.asyncness.is_some(), receiver.mutability.is_some());
    let (kind, send) = match (is_async, is_mut) {
        (false, true) => (quote!(MutMethod), quote!(send_mut)),
        (false, false) => (quote!(RefMethod), quote!(send_ref)),
        (true, true) => (quote!(AsyncMutMethod), quote!(send_async_mut)),
        (true, false) => (quote!(AsyncRefMethod), quote!(send_async_ref)),
    };
    let runner = format_ident!("__{actor}_{name}");
    let (declare, slots): (Vec<_>, _) = (params.iter().map(Param::declare).collect(), signature::slots(&params));
    let sender = quote! {
        #(#docs)*
        #visibility fn #name(&self, #(#declare),*) -> ::rayline::ObjectRef<#ty> {
            ::rayline::internal::#send::<#runner, _>(&self.0, #slots)
        }
    };
    let (args, pattern) = (signature::args_type(&params), signature::args_pattern(&params));
    let label = quote!(<Self as ::rayline::internal::#kind>::NAME);
    let resolve = signature::resolve(&params, &label);
    let names = params.iter().map(|param| &param.name);
    let called = quote!(actor.#name(#(#names),*));
    let called = if is_async { quote!(#called.await) } else { called };
    let value = if fallible {
        quote!(#called.map_err(|error| ::rayline::internal::failed(#label, error)))
    } else {
        quote!(::core::result::Result::Ok(#called))
    };
    let reference = if is_mut { quote!(&mut #actor) } else { quote!(&#actor) };
    let (ret, body) = if is_async {
        (
            quote!(::rayline::internal::BoxFuture<'_, ::rayline::Result<#ty>>),
            quote!(::std::boxed::Box::pin(async move { #resolve #value })),
        )
    } else {
        (quote!(::rayline::Result<#ty>), quote!(#resolve #value))
    };
    let values = signature::assert_data(params.iter().map(|param| &param.ty).chain([&ty]));
    let run = quote! {
        #values
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        struct #runner;

        impl ::rayline::internal::#kind for #runner {
            type Actor = #actor;
            type Args = #args;
            type Output = #ty;
            const NAME: &'static str = ::core::concat!(
                ::core::module_path!(), "::", ::core::stringify!(#actor), "::", ::core::stringify!(#name)
            );
            fn call(actor: #reference, #pattern: Self::Args) -> #ret { #body }
        }
    };
    Ok((sender, run))
}
