//! What a function's signature says of a task or method.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    FnArg, GenericArgument, Ident, Pat, PatType, PathArguments, PathSegment, Result, ReturnType, Signature, Type,
    TypeParamBound, TypeReference, spanned::Spanned,
};

/// One parameter: its name, the type of its value, and whether it is taken by reference.
pub(crate) struct Param {
    pub(crate) name: Ident,
    /// What generated code calls the argument: no name of the user's, not even the function's own, is hidden by it.
    pub(crate) local: Ident,
    pub(crate) ty: Type,
    pub(crate) by_ref: bool,
}

/// What a function returns: values of type `ty`, or in place of each an error where it is fallible.
pub(crate) struct Output {
    pub(crate) shape: Shape,
    pub(crate) ty: Type,
    pub(crate) fallible: bool,
}

/// How many values a function returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `T`, `Result<T, E>`, or nothing.
    One,
    /// `impl Iterator<Item = T>`, `impl Iterator<Item = Result<T, E>>`.
    Stream,
}

/// The parameters but the receiver.
pub(crate) fn params(signature: &Signature) -> Result<Vec<Param>> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Receiver(_) => None,
        FnArg::Typed(param) => Some(param),
    });
    typed.enumerate().map(|(index, param)| parse_param(index, param)).collect()
}

fn parse_param(index: usize, param: &PatType) -> Result<Param> {
    let advice = match &*param.pat {
        Pat::Ident(pat) => return typed_param(index, pat.ident.clone(), &param.ty),
        Pat::Wild(_) => "a parameter of a task or method needs a name, such as `_unused`",
        _ => "a parameter of a task or method must be a plain name; take it apart inside the body",
    };
    Err(syn::Error::new(param.pat.span(), advice))
}

fn typed_param(index: usize, name: Ident, ty: &Type) -> Result<Param> {
    let advice = match ty {
        Type::Reference(TypeReference { mutability: Some(_), .. }) => {
            "values are shared, so nobody can take `&mut`; take the value and return the changed one"
        }
        Type::Reference(reference) => {
            check_borrowed(reference)?;
            return Ok(Param::new(index, name, &reference.elem, true));
        }
        Type::ImplTrait(_) => "a parameter needs a named type; use a type parameter of the function",
        Type::Ptr(_) => "a pointer can't travel; take the value, or `&T`",
        _ => return Ok(Param::new(index, name, ty, false)),
    };
    Err(syn::Error::new(ty.span(), advice))
}

/// What `&` may not stand before.
fn check_borrowed(reference: &TypeReference) -> Result<()> {
    let advice = match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => "`&str` can't be a value by itself; take `&String`",
        Type::Slice(_) => "a slice can't be a value by itself; take `&Vec<T>` or `&Tensor<T>`",
        Type::TraitObject(_) => "a trait object can't travel; take a concrete type",
        Type::ImplTrait(_) => "a parameter needs a named type; use a type parameter of the function",
        Type::Reference(_) => "one `&` is enough: it borrows the shared value",
        _ => return Ok(()),
    };
    Err(syn::Error::new(reference.span(), advice))
}

/// What the function returns, by the look of its type.
pub(crate) fn output(signature: &Signature) -> Result<Output> {
    let ty = match &signature.output {
        ReturnType::Default => return Ok(Output { shape: Shape::One, ty: syn::parse_quote!(()), fallible: false }),
        ReturnType::Type(_, ty) => &**ty,
    };
    let Type::ImplTrait(bounds) = ty else { return fallible(Shape::One, ty) };
    let item = bounds.bounds.iter().find_map(iterator_item).ok_or_else(|| unnamed(ty))?;
    fallible(Shape::Stream, &item)
}

/// Looks whether each value of type `ty` is a `Result`, and into it.
fn fallible(shape: Shape, ty: &Type) -> Result<Output> {
    let (ty, fallible) = match ty {
        Type::Path(path) => match path.path.segments.last() {
            Some(segment) if segment.ident == "Result" => (first_argument(segment)?, true),
            _ => (ty.clone(), false),
        },
        _ => (ty.clone(), false),
    };
    match &ty {
        Type::Reference(_) => {
            Err(syn::Error::new(ty.span(), "a task or method can't return a reference; return an owned value"))
        }
        Type::ImplTrait(_) => Err(unnamed(&ty)),
        _ => Ok(Output { shape, ty, fallible }),
    }
}

fn unnamed(ty: &Type) -> syn::Error {
    syn::Error::new(
        ty.span(),
        "a task returns a named type, or `impl Iterator<Item = T> + Send`, where `T` may be a `Result`",
    )
}

fn first_argument(result: &PathSegment) -> Result<Type> {
    if let PathArguments::AngleBracketed(arguments) = &result.arguments
        && let Some(GenericArgument::Type(ty)) = arguments.args.first()
    {
        return Ok(ty.clone());
    }
    Err(syn::Error::new(result.span(), "a `Result` must name its type here, as in `Result<T>`"))
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
    fn new(index: usize, name: Ident, ty: &Type, by_ref: bool) -> Self {
        let local = format_ident!("argument_{index}", span = Span::mixed_site());
        Self { name, local, ty: ty.clone(), by_ref }
    }

    /// `name: impl IntoArg<T>`.
    pub(crate) fn declare(&self) -> TokenStream {
        let Param { name, ty, .. } = self;
        quote!(#name: impl ::rayline::IntoArg<#ty>)
    }
}

/// The type of the arguments when the function runs: a list of `Arg`s.
pub(crate) fn args_type(params: &[Param]) -> TokenStream {
    params.iter().rfold(quote!(()), |rest, param| {
        let ty = checked(&param.ty);
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
        let local = &param.local;
        quote!((#local, #rest))
    })
}

/// The arguments of the call, once they are resolved.
pub(crate) fn locals(params: &[Param]) -> impl Iterator<Item = &Ident> {
    params.iter().map(|param| &param.local)
}

/// Makes values of the `Arg`s, under the same names; leaves with the error where there is none.
pub(crate) fn resolve(params: &[Param], name: &TokenStream) -> TokenStream {
    let each = params.iter().map(|Param { local, by_ref, .. }| {
        if *by_ref {
            quote!(let #local = ::rayline::internal::shared(&#local, #name)?;)
        } else {
            quote!(let #local = ::rayline::internal::owned(#local, #name)?;)
        }
    });
    quote!(#(#each)*)
}

/// What the function gave as a `rayline::Result`.
pub(crate) fn value(output: &Output, given: &TokenStream, name: &TokenStream) -> TokenStream {
    if output.fallible {
        quote!(#given.map_err(|error| ::rayline::internal::failed(#name, error)))
    } else {
        quote!(::core::result::Result::Ok(#given))
    }
}

/// The type itself, where it can be a value.
pub(crate) fn checked(ty: &Type) -> TokenStream {
    quote_spanned!(ty.span()=> <#ty as ::rayline::internal::Value>::Itself)
}

/// Says at each type, in the words of `Data`, where it can't be a value.
pub(crate) fn assert_data<'a>(types: impl Iterator<Item = &'a Type>) -> TokenStream {
    let each = types.map(checked);
    quote! {
        const _: () = {
            #[allow(dead_code, clippy::too_many_arguments)]
            fn are_values(#(_: #each),*) {}
        };
    }
}
