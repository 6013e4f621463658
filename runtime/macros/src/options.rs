//! The options of `#[task]` and `#[actor]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token, parenthesized};

/// What the options belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Task,
    Actor,
}

impl Kind {
    fn known(self) -> &'static [&'static str] {
        match self {
            Kind::Task => &["cpu", "gpu", "memory", "resources", "name", "retries", "retry_on", "returns", "buffer"],
            Kind::Actor => &["cpu", "gpu", "memory", "resources", "restarts", "concurrency", "checkpoint"],
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Kind::Task => "#[task]",
            Kind::Actor => "#[actor]",
        }
    }
}

/// Parsed options.
#[derive(Default)]
pub(crate) struct Options {
    /// `field: value` of `Declared`.
    fields: Vec<(Ident, TokenStream)>,
    pub(crate) retry_on: Vec<Path>,
    pub(crate) returns: Option<(usize, Span)>,
    pub(crate) checkpoint: bool,
    /// What errors and logs call it, in place of its path.
    pub(crate) name: Option<LitStr>,
}

enum Entry {
    Value(Ident, Expr),
    List(Ident, TokenStream),
    /// A word alone.
    Flag(Ident),
}

impl Parse for Entry {
    fn parse(input: ParseStream) -> Result<Self> {
        let key = Ident::parse_any(input)?;
        if input.peek(syn::token::Paren) {
            let content;
            parenthesized!(content in input);
            return Ok(Entry::List(key, content.parse()?));
        }
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(Entry::Flag(key));
        }
        input.parse::<Token![=]>()?;
        Ok(Entry::Value(key, input.parse()?))
    }
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream, kind: Kind) -> Result<Self> {
        let parser = Punctuated::<Entry, Token![,]>::parse_terminated;
        let entries = syn::parse::Parser::parse2(parser, tokens)?;
        let mut options = Options::default();
        let mut seen: Vec<String> = Vec::new();
        for entry in entries {
            let key = match &entry {
                Entry::Value(key, _) | Entry::List(key, _) | Entry::Flag(key) => key.clone(),
            };
            let name = key.to_string();
            if name == "isolated" {
                return Err(syn::Error::new(
                    key.span(),
                    "isolated tasks and actors come with worker processes, which aren't there yet",
                ));
            }
            if !kind.known().contains(&name.as_str()) {
                let known = kind.known().join(", ");
                return Err(syn::Error::new(
                    key.span(),
                    format!("{} has no option `{name}`; it has {known}", kind.attribute()),
                ));
            }
            if seen.contains(&name) {
                return Err(syn::Error::new(key.span(), format!("`{name}` is given twice")));
            }
            seen.push(name);
            options.add(entry)?;
        }
        Ok(options)
    }

    fn add(&mut self, entry: Entry) -> Result<()> {
        match entry {
            Entry::List(key, list) if key == "resources" => self.add_resources(&key, list),
            Entry::List(key, list) if key == "retry_on" => {
                let parser = Punctuated::<Path, Token![,]>::parse_terminated;
                self.retry_on = syn::parse::Parser::parse2(parser, list)?.into_iter().collect();
                self.set("retries_errors", quote!(true), key.span());
                Ok(())
            }
            Entry::List(key, _) | Entry::Flag(key) => Err(syn::Error::new(key.span(), format!("write `{key} = …`"))),
            Entry::Value(key, value) => self.add_value(&key, value),
        }
    }

    fn add_value(&mut self, key: &Ident, value: Expr) -> Result<()> {
        match key.to_string().as_str() {
            "cpu" | "gpu" => self.set_at(key, quote!((#value) as f64)),
            "memory" => {
                let bytes = memory(&value)?;
                self.set("memory_bytes", bytes, key.span());
            }
            "retries" | "restarts" | "concurrency" | "buffer" => self.set_at(key, value.to_token_stream()),
            "checkpoint" => {
                self.checkpoint = true;
                self.set("checkpoint_every", value.to_token_stream(), key.span());
            }
            "name" => self.name = Some(text(&value)?),
            "returns" => self.returns = Some((parts(&value)?, key.span())),
            name => return Err(syn::Error::new(key.span(), format!("write `{name}(…)`"))),
        }
        Ok(())
    }

    fn add_resources(&mut self, key: &Ident, list: TokenStream) -> Result<()> {
        let parser = Punctuated::<Entry, Token![,]>::parse_terminated;
        let pairs = syn::parse::Parser::parse2(parser, list)?.into_iter().map(|entry| match entry {
            Entry::Value(name, units) => {
                let name = LitStr::new(&name.to_string(), name.span());
                Ok(quote!((#name, (#units) as f64)))
            }
            Entry::List(name, _) | Entry::Flag(name) => {
                Err(syn::Error::new(name.span(), "write `resources(name = 1)`"))
            }
        });
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        self.set("named", quote!(&[#(#pairs),*]), key.span());
        Ok(())
    }

    fn set_at(&mut self, key: &Ident, value: TokenStream) {
        self.fields.push((key.clone(), value));
    }

    fn set(&mut self, field: &str, value: TokenStream, span: Span) {
        self.fields.push((Ident::new(field, span), value));
    }

    /// The first option that asks for more than a plain task has.
    pub(crate) fn leased(&self) -> Option<&Ident> {
        let plain = ["buffer"];
        self.fields.iter().map(|(field, _)| field).find(|field| !plain.iter().any(|name| field == name))
    }

    /// The constant `Declared`.
    pub(crate) fn declared(&self, kind: Kind) -> TokenStream {
        let fields = self.fields.iter().map(|(field, value)| quote!(#field: #value,));
        let base = match kind {
            Kind::Task => quote!(TASK),
            Kind::Actor => quote!(ACTOR),
        };
        if self.fields.is_empty() {
            return quote!(::rayline::internal::Declared::#base);
        }
        quote!(::rayline::internal::Declared { #(#fields)* ..::rayline::internal::Declared::#base })
    }
}

fn text(value: &Expr) -> Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if !text.value().is_empty() => Ok(text.clone()),
        _ => Err(syn::Error::new_spanned(value, "`name` is a text, such as \"rollout\"")),
    }
}

/// How many parts a returned tuple has.
fn parts(value: &Expr) -> Result<usize> {
    if let Expr::Lit(ExprLit { lit: Lit::Int(parts), .. }) = value {
        let parts = parts.base10_parse::<usize>()?;
        if (1..=8).contains(&parts) {
            return Ok(parts);
        }
    }
    Err(syn::Error::new_spanned(value, "`returns` is the number of parts of the returned tuple, from 1 to 8"))
}

/// Bytes: a number, or a text such as "2 GiB".
fn memory(value: &Expr) -> Result<TokenStream> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else {
        return Ok(quote!((#value) as u64));
    };
    let written = text.value();
    let digits = written.trim_start().bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = written.trim_start().split_at(digits);
    let factor: Option<u64> = match unit.trim() {
        "B" | "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    let bytes = bytes.ok_or_else(|| {
        syn::Error::new(text.span(), "memory is a number of bytes, or a text such as \"512 MiB\" or \"2 GiB\"")
    })?;
    Ok(quote!(#bytes))
}
