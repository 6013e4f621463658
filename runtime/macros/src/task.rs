//! `#[task]` and `instantiate!`.

use crate::options::{Kind, Options};
use crate::signature::{self, Output, Param};
use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, Ident, ItemFn, Path, Result, Token, Type};

/// A task, parsed.
struct Task {
    function: ItemFn,
    options: Options,
    params: Vec<Param>,
    output: Output,
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item)?;
    check(&function)?;
    let task = Task {
        options: Options::parse(options, Kind::Task)?,
        params: signature::params(&function.sig)?,
        output: signature::output(&function.sig)?,
        function,
    };
    task.check()?;
    Ok(task.expand())
}

/// What no task may have.
fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        return Err(syn::Error::new(
            receiver.span(),
            "a task is a free function; for methods use `#[derive(Actor)]` and `#[methods]`",
        ));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(syn::Error::new(unsafety.span(), "a task can't be `unsafe`: anybody may submit it"));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(syn::Error::new(variadic.span(), "a task has a fixed number of parameters"));
    }
    for param in &signature.generics.params {
        if let GenericParam::Lifetime(lifetime) = param {
            return Err(syn::Error::new(
                lifetime.span(),
                "a task can't have lifetime parameters: what it borrows lives as long as it runs",
            ));
        }
    }
    Ok(())
}

impl Task {
    fn check(&self) -> Result<()> {
        if let Output::Stream(_) = self.output {
            if let Some(param) = self.params.iter().find(|param| param.by_ref) {
                return Err(syn::Error::new(
                    param.ty.span(),
                    "a task that returns an iterator takes its parameters by value, as the iterator outlives the call",
                ));
            }
            if let Some(option) = self.options.leased() {
                return Err(syn::Error::new(
                    option.span(),
                    format!("a task that returns an iterator can't have `{option}` yet: it runs as a plain task"),
                ));
            }
            if let Some(asyncness) = &self.function.sig.asyncness {
                return Err(syn::Error::new(asyncness.span(), "a task that returns an iterator can't be `async`"));
            }
        }
        let Some((parts, span)) = self.options.returns else { return Ok(()) };
        let (Output::Plain(ty) | Output::Fallible(ty)) = &self.output else {
            return Err(syn::Error::new(span, "`returns` is for tuples; a stream has its items"));
        };
        match ty {
            Type::Tuple(tuple) if tuple.elems.len() == parts => Ok(()),
            _ => Err(syn::Error::new(
                span,
                format!("`returns = {parts}` needs a function that returns a tuple of {parts}"),
            )),
        }
    }

    fn expand(&self) -> TokenStream {
        let function = &self.function;
        // A slice can't be a value by itself, so `&Vec<T>` is what a task takes.
        let function = quote!(#[allow(clippy::ptr_arg)] #function);
        let (definition, implementation, face) = (self.definition(), self.implementation(), self.face());
        if !self.type_params().is_empty() {
            return quote!(#function #definition #implementation #face);
        }
        let (Output::Plain(output) | Output::Fallible(output) | Output::Stream(output)) = &self.output;
        let types = self.params.iter().map(|param| &param.ty).chain([output]);
        let (values, register) = (signature::assert_data(types), registration(&self.name(), &quote!()));
        quote!(#function #definition #implementation #face #values #register)
    }

    fn name(&self) -> Ident {
        self.function.sig.ident.clone()
    }

    fn type_params(&self) -> Vec<Ident> {
        self.function.sig.generics.type_params().map(|param| param.ident.clone()).collect()
    }

    /// The type that stands for the task, beside the function of the same name.
    fn definition(&self) -> TokenStream {
        let (name, visibility, params) = (self.name(), &self.function.vis, self.type_params());
        let generics = &self.function.sig.generics;
        let doc = format!("The task [`{name}()`]({name}()): `{name}::remote(…)` submits it.");
        quote! {
            #[doc = #doc]
            #[allow(non_camel_case_types)]
            #visibility struct #name #generics { _task: ::core::marker::PhantomData<fn() -> (#(#params,)*)> }
        }
    }

    fn implementation(&self) -> TokenStream {
        let name = self.name();
        let (impl_generics, type_generics, where_clause) = self.function.sig.generics.split_for_impl();
        let (args, pattern) = (signature::args_type(&self.params), signature::args_pattern(&self.params));
        let label = match &self.options.name {
            Some(name) => quote!(#name),
            None => label(&name),
        };
        let declared = self.options.declared(Kind::Task);
        let (the_trait, associated, signature, body) = self.body();
        let retries = self.retries();
        let is_async = self.function.sig.asyncness.is_some();
        let is_async = match self.output {
            Output::Stream(_) => quote!(),
            _ => quote!(const IS_ASYNC: bool = #is_async;),
        };
        quote! {
            impl #impl_generics #the_trait for #name #type_generics #where_clause {
                const NAME: &'static str = #label;
                const OPTIONS: ::rayline::internal::Declared = #declared;
                #is_async
                type Args = #args;
                #associated
                fn run(#pattern: Self::Args) -> #signature { #body }
                #retries
            }
        }
    }

    /// The trait, its type, the type that `run` returns, and its body.
    fn body(&self) -> (TokenStream, TokenStream, TokenStream, TokenStream) {
        let internal = quote!(::rayline::internal);
        let name_expr = quote!(<Self as ::rayline::Task>::NAME);
        match &self.output {
            Output::Stream(item) => {
                let stream_name = quote!(<Self as #internal::StreamTask>::NAME);
                let (resolve, call) = (signature::resolve(&self.params, &stream_name), self.call());
                (
                    quote!(#internal::StreamTask),
                    quote!(type Item = #item;),
                    quote!(::rayline::Result<#internal::Items<#item>>),
                    quote!(#resolve ::core::result::Result::Ok(::std::boxed::Box::new(#call))),
                )
            }
            Output::Plain(ty) | Output::Fallible(ty) => {
                let (resolve, call) = (signature::resolve(&self.params, &name_expr), self.call());
                let value = self.value(&call, &name_expr);
                let run = if self.function.sig.asyncness.is_some() {
                    quote!(#internal::Invocation::Pending(::std::boxed::Box::pin(async move { #resolve #value })))
                } else {
                    quote!(#internal::Invocation::Done((move || { #resolve #value })()))
                };
                (quote!(::rayline::Task), quote!(type Output = #ty;), quote!(#internal::Invocation<#ty>), run)
            }
        }
    }

    fn call(&self) -> TokenStream {
        let (name, type_params) = (self.name(), self.type_params());
        let names = self.params.iter().map(|param| &param.name);
        let turbofish = if type_params.is_empty() { quote!() } else { quote!(::<#(#type_params),*>) };
        let call = quote!(#name #turbofish (#(#names),*));
        if self.function.sig.asyncness.is_some() { quote!(#call.await) } else { call }
    }

    /// The call as a `rayline::Result`.
    fn value(&self, call: &TokenStream, name: &TokenStream) -> TokenStream {
        match self.output {
            Output::Fallible(_) => quote!(#call.map_err(|error| ::rayline::internal::failed(#name, error))),
            _ => quote!(::core::result::Result::Ok(#call)),
        }
    }

    fn retries(&self) -> TokenStream {
        if self.options.retry_on.is_empty() {
            return quote!();
        }
        let tests = self.options.retry_on.iter().map(|error| {
            if error.is_ident("panic") {
                quote!(error.is_panic())
            } else if error.is_ident("any") {
                quote!(true)
            } else {
                quote!(error.downcast_ref::<#error>().is_some())
            }
        });
        quote!(fn retries_after(error: &::rayline::Error) -> bool { let _ = error; #(#tests)||* })
    }

    /// `remote` and `call`.
    fn face(&self) -> TokenStream {
        let (name, visibility) = (self.name(), &self.function.vis);
        let (impl_generics, type_generics, where_clause) = self.function.sig.generics.split_for_impl();
        let declare: Vec<_> = self.params.iter().map(Param::declare).collect();
        let slots = signature::slots(&self.params);
        let internal = quote!(::rayline::internal);
        let (ret, submit) = match (&self.output, self.options.returns) {
            (Output::Stream(item), _) => (quote!(::rayline::ObjectStream<#item>), quote!(remote_stream)),
            (Output::Plain(ty) | Output::Fallible(ty), Some(_)) => {
                (quote!(<#ty as #internal::Parts>::Refs), quote!(remote_parts))
            }
            (Output::Plain(ty) | Output::Fallible(ty), None) if self.function.sig.asyncness.is_some() => {
                (quote!(::rayline::ObjectRef<#ty>), quote!(remote_async))
            }
            (Output::Plain(ty) | Output::Fallible(ty), None) => (quote!(::rayline::ObjectRef<#ty>), quote!(remote)),
        };
        let call = self.prepared_call(&declare, &slots);
        quote! {
            #[allow(clippy::too_many_arguments, dead_code)]
            impl #impl_generics #name #type_generics #where_clause {
                /// Submits one call with the declared options. Never fails: errors belong to the reference.
                #visibility fn remote(#(#declare),*) -> #ret { #internal::#submit::<Self, _>(#slots) }
                #call
            }
        }
    }

    fn prepared_call(&self, declare: &[TokenStream], slots: &TokenStream) -> TokenStream {
        if matches!(self.output, Output::Stream(_)) || self.options.returns.is_some() {
            return quote!();
        }
        let (visibility, args) = (&self.function.vis, signature::args_type(&self.params));
        quote! {
            /// Prepares one call, whose options may be changed before `remote` submits it.
            #visibility fn call(#(#declare),*) -> ::rayline::Call<Self, impl ::rayline::internal::Slots<Args = #args>> {
                ::rayline::Call::new(#slots)
            }
        }
    }
}

/// The task's full name.
fn label(name: &Ident) -> TokenStream {
    quote!(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)))
}

/// Adds a task to the program's registry.
fn registration(name: &Ident, arguments: &TokenStream) -> TokenStream {
    quote! {
        const _: () = {
            // The registry is a section of the program that the linker collects.
            #[allow(unsafe_code)]
            #[::rayline::internal::linkme::distributed_slice(::rayline::internal::TASKS)]
            #[linkme(crate = ::rayline::internal::linkme)]
            static ENTRY: ::rayline::internal::Entry = ::rayline::internal::Entry {
                name: ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name #arguments)),
                place: ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!()),
            };
        };
    }
}

/// `instantiate!(sort<u32>, sort<String>);`
pub(crate) fn instantiate(instances: TokenStream) -> Result<TokenStream> {
    let parser = Punctuated::<Path, Token![,]>::parse_terminated;
    let instances = syn::parse::Parser::parse2(parser, instances)?;
    if instances.is_empty() {
        return Err(syn::Error::new(proc_macro2::Span::call_site(), "name an instance: `instantiate!(sort<u32>);`"));
    }
    let each = instances.iter().map(|path| {
        let last = path.segments.last().expect("a path has a last segment");
        let (name, arguments) = (&last.ident, &last.arguments);
        if arguments.is_empty() {
            return Err(syn::Error::new(
                path.span(),
                "only generic tasks are instantiated: name the types, as in `sort<u32>`",
            ));
        }
        let register = registration(name, &quote!(#arguments));
        Ok(quote! {
            #register
            const _: fn() = || {
                fn is_task<T: ::rayline::Task>() {}
                is_task::<#path>();
            };
        })
    });
    let each = each.collect::<Result<Vec<_>>>()?;
    Ok(quote!(#(#each)*))
}
