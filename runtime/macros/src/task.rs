//! `#[task]` and `instantiate!`.

use crate::options::{Kind, Options};
use crate::signature::{self, Output, Param, Shape};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, Ident, Item, ItemFn, Path, Result, Token, Type};

/// A task, parsed.
struct Task {
    function: ItemFn,
    options: Options,
    params: Vec<Param>,
    output: Output,
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function = parse(item)?;
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

fn parse(item: TokenStream) -> Result<ItemFn> {
    match syn::parse2(item.clone()) {
        Ok(function) => Ok(function),
        // Another item than a function is the mistake; within a function it is elsewhere, and syn says where.
        Err(_) if matches!(syn::parse2(item.clone()), Ok(other) if !matches!(other, Item::Fn(_) | Item::Verbatim(_))) => {
            Err(syn::Error::new_spanned(
                item,
                "#[task] is for functions; a type becomes an actor by `#[derive(Actor)]`",
            ))
        }
        Err(error) => Err(error),
    }
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
        if self.output.shape == Shape::Stream {
            self.check_stream()?;
        } else if let Some(key) = self.options.given("buffer") {
            return Err(syn::Error::new(key.span(), "`buffer` is for tasks that return an iterator"));
        }
        let Some((parts, span)) = self.options.returns else { return Ok(()) };
        match &self.output.ty {
            Type::Tuple(tuple) if tuple.elems.len() == parts => Ok(()),
            _ => Err(syn::Error::new(
                span,
                format!("`returns = {parts}` needs a function that returns a tuple of {parts}"),
            )),
        }
    }

    fn check_stream(&self) -> Result<()> {
        if let Some(param) = self.params.iter().find(|param| param.by_ref) {
            return Err(syn::Error::new(
                param.ty.span(),
                "a task that returns an iterator takes its parameters by value, as the iterator outlives the call",
            ));
        }
        if let Some(asyncness) = &self.function.sig.asyncness {
            return Err(syn::Error::new(asyncness.span(), "a task that returns an iterator can't be `async`"));
        }
        if let Some(returns) = self.options.given("returns") {
            return Err(syn::Error::new(returns.span(), "`returns` is for tuples; a stream has its items"));
        }
        if let Some(isolated) = self.options.given("isolated") {
            return Err(syn::Error::new(
                isolated.span(),
                "a task that returns an iterator isn't isolated yet; let it submit tasks with `#[task(isolated)]`",
            ));
        }
        Ok(())
    }

    fn expand(&self) -> TokenStream {
        let function = &self.function;
        // A slice can't be a value by itself, so `&Vec<T>` is what a task takes.
        let function = quote!(#[allow(clippy::ptr_arg)] #function);
        let (definition, implementation, face) = (self.definition(), self.implementation(), self.face());
        if self.is_generic() {
            let instance = self.instance();
            return quote!(#function #definition #implementation #face #instance);
        }
        let types = self.params.iter().map(|param| &param.ty).chain([&self.output.ty]);
        let (name, values) = (self.name(), signature::assert_data(types));
        let register = registration(&quote!(#name), &quote!(#name), &self.run_encoded());
        quote!(#function #values #definition #implementation #face #register)
    }

    fn name(&self) -> &Ident {
        &self.function.sig.ident
    }

    fn is_generic(&self) -> bool {
        !self.function.sig.generics.params.is_empty()
    }

    /// The names of its generic parameters.
    fn generics(&self) -> Vec<&Ident> {
        self.function.sig.generics.params.iter().filter_map(generic_name).collect()
    }

    /// The type that stands for the task, beside the function of the same name.
    fn definition(&self) -> TokenStream {
        let (name, visibility, generics) = (self.name(), &self.function.vis, &self.function.sig.generics);
        let types = generics.type_params().map(|param| &param.ident);
        let doc = format!("The task [`{name}()`]({name}()): `{name}::remote(…)` submits it.");
        quote! {
            #[doc = #doc]
            #[allow(non_camel_case_types, dead_code)]
            #visibility struct #name #generics { _task: ::core::marker::PhantomData<fn() -> (#(#types,)*)> }
        }
    }

    fn implementation(&self) -> TokenStream {
        let name = self.name();
        let (impl_generics, type_generics, where_clause) = self.function.sig.generics.split_for_impl();
        let (args, pattern) = (signature::args_type(&self.params), signature::args_pattern(&self.params));
        let label = match &self.options.name {
            Some(name) => quote!(#name),
            None => label(name),
        };
        let declared = self.options.declared(Kind::Task);
        let (the_trait, associated, signature, body) = self.body();
        let retries = self.retries();
        quote! {
            impl #impl_generics #the_trait for #name #type_generics #where_clause {
                const NAME: &'static str = #label;
                const OPTIONS: ::rayline::internal::Declared = #declared;
                type Args = #args;
                #associated
                #[allow(clippy::let_unit_value, clippy::unit_arg)]
                fn run(#pattern: Self::Args) -> #signature { #body }
                #retries
            }
        }
    }

    /// The trait, its type, the type that `run` returns, and its body.
    fn body(&self) -> (TokenStream, TokenStream, TokenStream, TokenStream) {
        let (internal, ty) = (quote!(::rayline::internal), signature::checked(&self.output.ty));
        if self.output.shape == Shape::Stream {
            let name = quote!(<Self as #internal::StreamTask>::NAME);
            let (resolve, call) = (signature::resolve(&self.params, &name), self.call());
            let item = self.value(&quote!(item), &name);
            return (
                quote!(#internal::StreamTask),
                quote!(type Item = #ty;),
                quote!(::rayline::Result<#internal::Items<#ty>>),
                quote! {
                    #resolve
                    let items = #call;
                    ::core::result::Result::Ok(::std::boxed::Box::new(::core::iter::Iterator::map(items, |item| #item)))
                },
            );
        }
        let name = quote!(<Self as ::rayline::Task>::NAME);
        let (resolve, value) = (signature::resolve(&self.params, &name), self.value(&self.call(), &name));
        let is_async = self.is_async();
        let associated = quote!(const IS_ASYNC: bool = #is_async; type Output = #ty;);
        let run = if is_async {
            quote!(#internal::Invocation::Pending(::std::boxed::Box::pin(async move { #resolve #value })))
        } else {
            quote!(#internal::Invocation::Done((move || { #resolve #value })()))
        };
        (quote!(::rayline::Task), associated, quote!(#internal::Invocation<#ty>), run)
    }

    fn is_async(&self) -> bool {
        self.function.sig.asyncness.is_some()
    }

    fn call(&self) -> TokenStream {
        let (name, generics, arguments) = (self.name(), self.generics(), signature::locals(&self.params));
        let turbofish = if generics.is_empty() { quote!() } else { quote!(::<#(#generics),*>) };
        let call = quote!(#name #turbofish (#(#arguments),*));
        if self.is_async() { quote!(#call.await) } else { call }
    }

    /// What the function gave as a `rayline::Result`.
    fn value(&self, given: &TokenStream, name: &TokenStream) -> TokenStream {
        signature::value(&self.output, given, name)
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
        let (name, visibility, ty) = (self.name(), &self.function.vis, &self.output.ty);
        let (impl_generics, type_generics, where_clause) = self.function.sig.generics.split_for_impl();
        let declare: Vec<_> = self.params.iter().map(Param::declare).collect();
        let slots = signature::slots(&self.params);
        let internal = quote!(::rayline::internal);
        let (ret, submit) = match self.output.shape {
            Shape::Stream => (quote!(::rayline::ObjectStream<#ty>), quote!(remote_stream)),
            Shape::One if self.options.returns.is_some() => {
                (quote!(<#ty as #internal::Parts>::Refs), quote!(remote_parts))
            }
            Shape::One if self.is_async() => (quote!(::rayline::ObjectRef<#ty>), quote!(remote_async)),
            Shape::One => (quote!(::rayline::ObjectRef<#ty>), quote!(remote)),
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
        if self.options.returns.is_some() {
            return quote!();
        }
        let (visibility, args) = (&self.function.vis, signature::args_type(&self.params));
        let call = match self.output.shape {
            Shape::Stream => quote!(::rayline::StreamCall),
            Shape::One => quote!(::rayline::Call),
        };
        quote! {
            /// Prepares one call, whose options may be changed before `remote` submits it.
            #visibility fn call(#(#declare),*) -> #call<Self, impl ::rayline::internal::Slots<Args = #args>> {
                #call::new(#slots)
            }
        }
    }

    /// How another process runs it, where it can.
    fn run_encoded(&self) -> TokenStream {
        let (name, (_, generics, _)) = (self.name(), self.function.sig.generics.split_for_impl());
        match self.output.shape {
            Shape::Stream => quote!(::core::option::Option::None),
            Shape::One => quote!(::core::option::Option::Some(::rayline::internal::run_encoded::<#name #generics>)),
        }
    }

    /// What only a generic task has: `instantiate!` may name it.
    fn instance(&self) -> TokenStream {
        let (name, run) = (self.name(), self.run_encoded());
        let (impl_generics, type_generics, where_clause) = self.function.sig.generics.split_for_impl();
        quote!(impl #impl_generics ::rayline::internal::Instance for #name #type_generics #where_clause {
            const RUN: ::core::option::Option<::rayline::internal::RunEncoded> = #run;
        })
    }
}

fn generic_name(param: &GenericParam) -> Option<&Ident> {
    match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    }
}

/// The task's full name.
fn label(name: &Ident) -> TokenStream {
    quote!(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)))
}

/// Adds a task to the program's registry: its name, its type, and how another process runs it.
fn registration(name: &TokenStream, task: &TokenStream, run: &TokenStream) -> TokenStream {
    quote! {
        const _: () = {
            // The registry is a section of the program that the linker collects.
            #[allow(unsafe_code)]
            #[::rayline::internal::linkme::distributed_slice(::rayline::internal::TASKS)]
            #[linkme(crate = ::rayline::internal::linkme)]
            static ENTRY: ::rayline::internal::Entry = ::rayline::internal::Entry {
                name: ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                place: ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!()),
                task: ::core::any::TypeId::of::<#task>,
                run: #run,
            };
        };
    }
}

/// `instantiate!(sort<u32>, sort<String>);`
pub(crate) fn instantiate(instances: TokenStream) -> Result<TokenStream> {
    let parser = Punctuated::<Path, Token![,]>::parse_terminated;
    let instances = syn::parse::Parser::parse2(parser, instances)?;
    if instances.is_empty() {
        return Err(syn::Error::new(Span::call_site(), "name an instance: `instantiate!(sort<u32>);`"));
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
        let run = quote!(<#path as ::rayline::internal::Instance>::RUN);
        Ok(registration(&quote!(#name #arguments), &quote!(#path), &run))
    });
    let each = each.collect::<Result<Vec<_>>>()?;
    Ok(quote!(#(#each)*))
}
