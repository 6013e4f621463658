//! What a function's signature says of a task or method.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{
    FnArg, GenericArgument, Ident, Pat, PatType, PathArguments, Result, ReturnType, Signature, Type, TypeParamBound,
    TypeReference, spanned::Spanned,
};

/// One parameter: its name, the type of its value, and whether it is taken by reference.
pub(crate) struct Param {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) by_ref: bool,
}

/// What a function returns.
pub(crate) enum Output {
    /// `T`, or nothing.
    Plain(Type),
    /// `Result<T, E>`: the `T`.
    Fallible(Type),
    /// `impl Iterator<Item = T>`: the `T`.
    Stream(Type),
}

/// The parameters but the receiver.
pub(crate) fn params(signature: &Signature) -> Result<Vec<Param>> {
    signature
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Receiver(_) => None,
            FnArg::Typed(param) => Some(parse_param(param)),
        })
        .collect()
}

fn parse_param(param: &PatType) -> Result<Param> {
    let Pat::Ident(pat) = &*param.pat else {
        return Err(syn::Error::new(
            param.pat.span(),
            "a parameter of a task or method must be a plain name; take it apart inside the body",
        ));
    };
    let name = pat.ident.clone();
    match &*param.ty {
        Type::Reference(TypeReference { mutability: Some(_), .. }) => Err(syn::Error::new(
            param.ty.span(),
            "a task can't take `&mut`: values are shared; take the value and return the changed one",
        )),
        Type::Reference(reference) => borrowed(name, reference),
        Type::ImplTrait(_) => Err(syn::Error::new(
            param.ty.span(),
            "a parameter of a task needs a named type; use a type parameter of the function",
        )),
        ty => Ok(Param { name, ty: ty.clone(), by_ref: false }),
    }
}

fn borrowed(name: Ident, reference: &TypeReference) -> Result<Param> {
    let advice = match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => Some("`&str` can't be a value by itself; take `&String`"),
        Type::Slice(_) => Some("a slice can't be a value by itself; take `&Vec<T>` or `&Tensor<T>`"),
        Type::TraitObject(_) => Some("a trait object can't travel; take a concrete type"),
        _ => None,
    };
    match advice {
        Some(advice) => Err(syn::Error::new(reference.span(), advice)),
        None => Ok(Param { name, ty: (*reference.elem).clone(), by_ref: true }),
    }
}

/// What the function returns, by the look of its type.
pub(crate) fn output(signature: &Signature) -> Result<Output> {
    let ty = match &signature.output {
        ReturnType::Default => return Ok(Output::Plain(syn::parse_quote!(()))),
        ReturnType::Type(_, ty) => &**ty,
    };
    match ty {
        Type::ImplTrait(bounds) => {
            let item = bounds.bounds.iter().find_map(iterator_item);
            let item = item.ok_or_else(|| {
                syn::Error::new(ty.span(), "a task returns a named type, or `impl Iterator<Item = T> + Send`")
            })?;
            Ok(Output::Stream(item))
        }
        Type::Path(path) => match path.path.segments.last() {
            Some(segment) if segment.ident == "Result" => Ok(Output::Fallible(first_argument(&segment.arguments)?)),
            _ => Ok(Output::Plain(ty.clone())),
        },
        Type::Reference(_) => Err(syn::Error::new(ty.span(), "a task can't return a reference; return an owned value")),
        _ => Ok(Output::Plain(ty.clone())),
    }
}

fn first_argument(arguments: &PathArguments) -> Result<Type> {
    if let PathArguments::AngleBracketed(arguments) = arguments
        && let Some(GenericArgument::Type(ty)) = arguments.args.first()
    {
        return Ok(ty.clone());
    }
    Err(syn::Error::new(arguments.span(), "a `Result` must name its type here, as in `Result<T>`"))
}

fn iterator_item(bound: &TypeParamBound) -> Option<Type> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    let segment = bound.path.segments.last().filter(|segment| segment.ident == "Iterator")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(assoc) if assoc.ident == "Item" => Some(assoc.ty.clone()),
        _ => None,
    })
}

impl Param {
    /// `name: impl IntoArg<T>`.
    pub(crate) fn declare(&self) -> TokenStream {
        let Param { name, ty, .. } = self;
        quote!(#name: impl ::rayline::IntoArg<#ty>)
    }
}

/// The type of the arguments when the function runs: a list of `Arg`s.
pub(crate) fn args_type(params: &[Param]) -> TokenStream {
    params.iter().rfold(quote!(()), |rest, param| {
        let ty = &param.ty;
        quote!((::rayline::internal::Arg<#ty>, #rest))
    })
}

/// The list of arguments as they wait.
pub(crate) fn slots(params: &[Param]) -> TokenStream {
    params.iter().rfold(quote!(()), |rest, param| {
        let name = &param.name;
        quote!((::rayline::internal::IntoArg::into_slot(#name), #rest))
    })
}

/// The pattern that takes the list of `Arg`s apart.
pub(crate) fn args_pattern(params: &[Param]) -> TokenStream {
    params.iter().rfold(quote!(()), |rest, param| {
        let name = &param.name;
        quote!((#name, #rest))
    })
}

/// `let x = x.owned(NAME)?;` and `let x = x.shared(NAME)?;`, leaving with the error in `fail`.
pub(crate) fn resolve(params: &[Param], name: &TokenStream) -> TokenStream {
    let each = params.iter().map(|param| {
        let ident = &param.name;
        if param.by_ref {
            quote!(let #ident = #ident.shared(#name)?;)
        } else {
            quote!(let #ident = #ident.owned(#name)?;)
        }
    });
    quote!(#(#each)*)
}

/// Says at each type, in the words of `Data`, where it can't be a value.
pub(crate) fn assert_data<'a>(types: impl Iterator<Item = &'a Type>) -> TokenStream {
    let each = types.map(|ty| quote_spanned!(ty.span()=> is_data::<#ty>();));
    quote! {
        const _: fn() = || {
            #[allow(dead_code)]
            fn is_data<T: ::rayline::Data>() {}
            #(#each)*
        };
    }
}
