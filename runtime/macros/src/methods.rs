//! `#[methods]`.

use crate::signature::{self, Output, Param, Shape};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Ident, ImplItem, ImplItemFn, ItemImpl, Receiver, Result, Type, Visibility};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(syn::Error::new(options.span(), "#[methods] has no options; an actor's are in `#[actor(…)]`"));
    }
    let block: ItemImpl = syn::parse2(item.clone()).map_err(|error| {
        if is_impl(&item) { error } else { syn::Error::new(error.span(), "#[methods] is for an actor's `impl` block") }
    })?;
    let actor = actor_type(&block)?;
    let (mut methods, mut constructor) = (Vec::new(), None);
    for item in &block.items {
        let ImplItem::Fn(function) = item else { continue };
        match function.sig.receiver() {
            None if function.sig.ident == "new" => constructor = Some(expand_constructor(&actor, function)?),
            Some(receiver) if !matches!(function.vis, Visibility::Inherited) => {
                methods.push(Method::parse(&actor, function, receiver)?);
            }
            _ => {}
        }
    }
    let constructor = constructor.ok_or_else(|| {
        syn::Error::new(block.self_ty.span(), "an actor needs a constructor: `pub fn new(…) -> Self`")
    })?;
    let reference = format_ident!("{actor}Ref");
    let (senders, runners) = (methods.iter().map(Method::sender), methods.iter().map(Method::runner));
    Ok(quote! {
        #[allow(clippy::ptr_arg)]
        #block
        #[allow(clippy::too_many_arguments, dead_code)]
        impl #reference { #(#senders)* }
        #(#runners)*
        #constructor
    })
}

fn is_impl(item: &TokenStream) -> bool {
    item.clone().into_iter().any(|token| token.to_string() == "impl")
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

/// What neither a method nor a constructor may have.
fn check(function: &ImplItemFn) -> Result<()> {
    let signature = &function.sig;
    if !signature.generics.params.is_empty() {
        return Err(syn::Error::new(
            signature.generics.span(),
            "a method can't be generic: its messages have one type; take a concrete type, or leave out `pub` where it \
             isn't to be called through the reference",
        ));
    }
    match &signature.unsafety {
        Some(unsafety) => Err(syn::Error::new(unsafety.span(), "a method can't be `unsafe`: anybody may call it")),
        None => Ok(()),
    }
}

/// The attributes of that name.
fn attributes<'a>(function: &'a ImplItemFn, name: &'a str) -> impl Iterator<Item = &'a Attribute> {
    function.attrs.iter().filter(move |attribute| attribute.path().is_ident(name))
}

fn expand_constructor(actor: &Ident, function: &ImplItemFn) -> Result<TokenStream> {
    check(function)?;
    if let Some(asyncness) = &function.sig.asyncness {
        return Err(syn::Error::new(
            asyncness.span(),
            "a constructor can't be `async`; use `rayline::block_on` inside it",
        ));
    }
    let params = signature::params(&function.sig)?;
    let (declare, slots): (Vec<_>, _) = (params.iter().map(Param::declare).collect(), signature::slots(&params));
    let (args, pattern) = (signature::args_type(&params), signature::args_pattern(&params));
    let names = signature::locals(&params);
    let name = quote!(<#actor as ::rayline::Actor>::TYPE);
    let resolve = signature::resolve(&params, &name);
    let (visibility, reference) = (&function.vis, format_ident!("{actor}Ref"));
    let made = signature::value(&signature::output(&function.sig)?, &quote!(#actor::new(#(#names),*)), &name);
    let registration = register_actor(actor, &quote!(#name), &args, &quote!(|#pattern: #args| { #resolve #made }));
    Ok(quote! {
        #registration
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

/// Adds an actor's type to the program's registry.
fn register_actor(actor: &Ident, name: &TokenStream, args: &TokenStream, new: &TokenStream) -> TokenStream {
    let internal = quote!(::rayline::internal);
    quote! {
        const _: () = {
            // The registry is a section of the program that the linker collects.
            #[allow(unsafe_code)]
            #[#internal::linkme::distributed_slice(#internal::ACTORS)]
            #[linkme(crate = #internal::linkme)]
            static ENTRY: #internal::ActorEntry = #internal::ActorEntry {
                name: #name,
                place: ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!()),
                actor: ::core::any::TypeId::of::<#actor>,
                host: |hosting, args, carrier| #internal::host::<#actor, #args>(hosting, args, carrier, #new),
            };
        };
    }
}

/// A method that the reference sends as a message.
struct Method<'a> {
    actor: &'a Ident,
    function: &'a ImplItemFn,
    is_mut: bool,
    params: Vec<Param>,
    output: Output,
}

impl<'a> Method<'a> {
    fn parse(actor: &'a Ident, function: &'a ImplItemFn, receiver: &Receiver) -> Result<Self> {
        check(function)?;
        if receiver.reference.is_none() {
            return Err(syn::Error::new(receiver.span(), "a method takes `&mut self` or `&self`; the actor stays"));
        }
        let (params, output) = (signature::params(&function.sig)?, signature::output(&function.sig)?);
        if output.shape == Shape::Stream {
            return Err(syn::Error::new(function.sig.output.span(), "a method returns a value; streams are for tasks"));
        }
        Ok(Self { actor, function, is_mut: receiver.mutability.is_some(), params, output })
    }

    fn is_async(&self) -> bool {
        self.function.sig.asyncness.is_some()
    }

    /// The trait that says how it runs, and the function that sends it.
    fn kind(&self) -> (TokenStream, TokenStream) {
        match (self.is_async(), self.is_mut) {
            (false, true) => (quote!(MutMethod), quote!(send_mut)),
            (false, false) => (quote!(RefMethod), quote!(send_ref)),
            (true, true) => (quote!(AsyncMutMethod), quote!(send_async_mut)),
            (true, false) => (quote!(AsyncRefMethod), quote!(send_async_ref)),
        }
    }

    /// Adds it to the program's registry.
    fn registration(&self) -> TokenStream {
        let (runner, internal) = (self.runner_name(), quote!(::rayline::internal));
        let call = format_ident!("call_{}", self.kind().1.to_string().trim_start_matches("send_"));
        let ((kind, _), is_mut) = (self.kind(), self.is_mut);
        let cfgs = attributes(self.function, "cfg");
        quote! {
            #(#cfgs)*
            const _: () = {
                // The registry is a section of the program that the linker collects.
                #[allow(unsafe_code)]
                #[#internal::linkme::distributed_slice(#internal::METHODS)]
                #[linkme(crate = #internal::linkme)]
                static ENTRY: #internal::MethodEntry = #internal::MethodEntry {
                    name: <#runner as #internal::#kind>::NAME,
                    place: ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!()),
                    method: ::core::any::TypeId::of::<#runner>,
                    is_exclusive: #is_mut,
                    call: #internal::#call::<#runner>,
                };
            };
        }
    }

    /// The type that stands for it.
    fn runner_name(&self) -> Ident {
        format_ident!("__{}_{}", self.actor, self.function.sig.ident)
    }

    /// The reference's method of the same name.
    fn sender(&self) -> TokenStream {
        let (name, visibility) = (&self.function.sig.ident, &self.function.vis);
        let ty = &self.output.ty;
        let (docs, cfgs) = (attributes(self.function, "doc"), attributes(self.function, "cfg"));
        let (declare, slots) = (self.params.iter().map(Param::declare), signature::slots(&self.params));
        let (runner, (_, send)) = (self.runner_name(), self.kind());
        quote! {
            #(#cfgs)*
            #(#docs)*
            #visibility fn #name(&self, #(#declare),*) -> ::rayline::ObjectRef<#ty> {
                ::rayline::internal::#send::<#runner, _>(&self.0, #slots)
            }
        }
    }

    fn runner(&self) -> TokenStream {
        let (name, actor, runner, ty) =
            (&self.function.sig.ident, self.actor, self.runner_name(), signature::checked(&self.output.ty));
        let (kind, _) = self.kind();
        let (args, pattern) = (signature::args_type(&self.params), signature::args_pattern(&self.params));
        let values = signature::assert_data(self.params.iter().map(|param| &param.ty).chain([&self.output.ty]));
        let receiver = if self.is_mut { quote!(&mut #actor) } else { quote!(&#actor) };
        let (ret, body) = self.body(&quote!(<Self as ::rayline::internal::#kind>::NAME));
        let cfgs: Vec<_> = attributes(self.function, "cfg").collect();
        let registration = self.registration();
        quote! {
            #registration
            #(#cfgs)*
            #values
            #(#cfgs)*
            #[doc(hidden)]
            #[allow(non_camel_case_types)]
            struct #runner;

            #(#cfgs)*
            impl ::rayline::internal::#kind for #runner {
                type Actor = #actor;
                type Args = #args;
                type Output = #ty;
                const NAME: &'static str = ::core::concat!(
                    ::core::module_path!(), "::", ::core::stringify!(#actor), "::", ::core::stringify!(#name)
                );
                #[allow(clippy::let_unit_value, clippy::unit_arg)]
                fn call(actor: #receiver, #pattern: Self::Args) -> #ret { #body }
            }
        }
    }

    /// What `call` of the runner returns, and its body.
    fn body(&self, label: &TokenStream) -> (TokenStream, TokenStream) {
        let (name, ty) = (&self.function.sig.ident, signature::checked(&self.output.ty));
        let resolve = signature::resolve(&self.params, label);
        let arguments = signature::locals(&self.params);
        let called = quote!(actor.#name(#(#arguments),*));
        if self.is_async() {
            let value = signature::value(&self.output, &quote!(#called.await), label);
            return (
                quote!(::rayline::internal::BoxFuture<'_, ::rayline::Result<#ty>>),
                quote!(::std::boxed::Box::pin(async move { #resolve #value })),
            );
        }
        let value = signature::value(&self.output, &called, label);
        (quote!(::rayline::Result<#ty>), quote!(#resolve #value))
    }
}
