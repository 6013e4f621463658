//! `#[main]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{ItemFn, Result};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(syn::Error::new(
            options.span(),
            "#[rayline::main] has no options; use `rayline::init_with` instead",
        ));
    }
    let function: ItemFn = syn::parse2(item)?;
    let signature = &function.sig;
    if !signature.inputs.is_empty() {
        let error = syn::Error::new(signature.inputs.span(), "`main` has no parameters; read `std::env::args()` in it");
        let (error, name) = (error.into_compile_error(), &signature.ident);
        // Without it there would be a second error: that the program has no `main`.
        return Ok(quote!(#error fn #name() {}));
    }
    let (attributes, visibility, name, output, body) =
        (&function.attrs, &function.vis, &signature.ident, &signature.output, &function.block);
    let run = if signature.asyncness.is_some() {
        quote!(::rayline::internal::run_main(|| ::rayline::block_on(async move #body)))
    } else {
        quote!(::rayline::internal::run_main(move || #output #body))
    };
    Ok(quote! {
        #(#attributes)*
        #visibility fn #name() #output { #run }
    })
}
