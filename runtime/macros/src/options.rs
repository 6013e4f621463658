//! The options of `#[task]` and `#[actor]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitFloat, LitStr, Path, Result, Token, UnOp, parenthesized};

/// What the options belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Task,
    Actor,
}

impl Kind {
    fn known(self) -> &'static [&'static str] {
        match self {
            Kind::Task => {
                &["cpu", "gpu", "memory", "resources", "name", "retries", "retry_on", "returns", "buffer", "isolated"]
            }
            Kind::Actor => &["cpu", "gpu", "memory", "resources", "restarts", "concurrency", "checkpoint"],
        }
    }

    /// Whether there is such an option.
    fn check(self, key: &Ident) -> Result<()> {
        if key == "isolated" && self == Kind::Actor {
            return Err(syn::Error::new(
                key.span(),
                "actors aren't isolated yet; let a method submit tasks with `#[task(isolated)]`",
            ));
        }
        if self.known().iter().any(|known| key == known) {
            return Ok(());
        }
        let known = self.known().join(", ");
        Err(syn::Error::new(key.span(), format!("{} has no option `{key}`; it has {known}", self.attribute())))
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
    /// The names of those that are given.
    keys: Vec<Ident>,
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

impl Entry {
    fn key(&self) -> &Ident {
        match self {
            Entry::Value(key, _) | Entry::List(key, _) | Entry::Flag(key) => key,
        }
    }
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream, kind: Kind) -> Result<Self> {
        let parser = Punctuated::<Entry, Token![,]>::parse_terminated;
        let entries = syn::parse::Parser::parse2(parser, tokens)?;
        let mut options = Options::default();
        for entry in entries {
            let key = entry.key();
            kind.check(key)?;
            if options.given(&key.to_string()).is_some() {
                return Err(syn::Error::new(key.span(), format!("`{key}` is given twice")));
            }
            options.keys.push(key.clone());
            options.add(entry)?;
        }
        Ok(options)
    }

    /// The option of that name, where it is given.
    pub(crate) fn given(&self, name: &str) -> Option<&Ident> {
        self.keys.iter().find(|key| *key == name)
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
            Entry::Flag(key) if key == "isolated" => {
                self.set_at(&key, quote!(true));
                Ok(())
            }
            Entry::List(key, _) | Entry::Flag(key) => Err(syn::Error::new(key.span(), how_to_write(&key))),
            Entry::Value(key, value) => self.add_value(&key, value),
        }
    }

    fn add_value(&mut self, key: &Ident, value: Expr) -> Result<()> {
        match key.to_string().as_str() {
            "cpu" => self.set_at(key, amount(key, &value)?),
            "gpu" => self.set_at(key, gpus(key, &value)?),
            "memory" => self.set("memory_bytes", memory(&value)?, key.span()),
            "retries" | "restarts" => self.set_at(key, count(key, &value, 0)?),
            "concurrency" | "buffer" => self.set_at(key, count(key, &value, 1)?),
            "checkpoint" => {
                self.checkpoint = true;
                self.set("checkpoint_every", count(key, &value, 1)?, key.span());
            }
            "name" => self.name = Some(text(&value)?),
            "returns" => self.returns = Some((parts(&value)?, key.span())),
            _ => return Err(syn::Error::new(key.span(), how_to_write(key))),
        }
        Ok(())
    }

    fn add_resources(&mut self, key: &Ident, list: TokenStream) -> Result<()> {
        let parser = Punctuated::<Entry, Token![,]>::parse_terminated;
        let pairs = syn::parse::Parser::parse2(parser, list)?.into_iter().map(|entry| match entry {
            Entry::Value(name, _) if ["cpu", "gpu", "memory"].iter().any(|own| name == own) => {
                Err(syn::Error::new(name.span(), format!("`{name}` is an option of its own, beside `resources`")))
            }
            Entry::Value(name, units) => {
                let (units, name) = (amount(&name, &units)?, LitStr::new(&name.to_string(), name.span()));
                Ok(quote!((#name, #units)))
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

/// The form of an option that was written in another.
fn how_to_write(key: &Ident) -> String {
    match key.to_string().as_str() {
        "resources" => "write `resources(license = 1)`".into(),
        "isolated" => "write `isolated` alone".into(),
        "retry_on" => "write `retry_on(MyError)`, `retry_on(panic)` or `retry_on(any)`".into(),
        key => format!("write `{key} = …`"),
    }
}

fn text(value: &Expr) -> Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if !text.value().is_empty() => Ok(text.clone()),
        _ => Err(syn::Error::new_spanned(value, "`name` is a text, such as \"rollout\"")),
    }
}

fn is_negative(value: &Expr) -> bool {
    matches!(value, Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)))
}

/// How much of something: a number, or an expression that is one, which the compiler then checks.
fn amount(key: &Ident, value: &Expr) -> Result<TokenStream> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(_) | Lit::Float(_), .. }) => Ok(quote!((#value) as f64)),
        Expr::Lit(_) => Err(syn::Error::new_spanned(value, format!("`{key}` is a number, such as 1 or 0.5"))),
        _ if is_negative(value) => Err(syn::Error::new_spanned(value, format!("`{key}` can't be negative"))),
        _ => Ok(quote!((#value) as f64)),
    }
}

fn gpus(key: &Ident, value: &Expr) -> Result<TokenStream> {
    let is_odd = |number: &LitFloat| number.base10_parse::<f64>().is_ok_and(|gpus| gpus > 1.0 && gpus.fract() != 0.0);
    match value {
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) if is_odd(number) => {
            Err(syn::Error::new_spanned(value, "`gpu` is a part of one device, such as 0.5, or whole ones"))
        }
        _ => amount(key, value),
    }
}

/// How many of something: a whole number, or an expression that is one, which the compiler then checks.
fn count(key: &Ident, value: &Expr, least: u32) -> Result<TokenStream> {
    let fits = match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u32>()? >= least,
        Expr::Lit(_) => false,
        _ => !is_negative(value),
    };
    if fits {
        return Ok(value.to_token_stream());
    }
    let least = if least > 0 { format!(", {least} at least") } else { String::new() };
    Err(syn::Error::new_spanned(value, format!("`{key}` is a whole number{least}")))
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
    let bytes = match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => written_bytes(&text.value()).map(|bytes| quote!(#bytes)),
        Expr::Lit(ExprLit { lit: Lit::Int(_), .. }) => Some(quote!((#value) as u64)),
        Expr::Lit(_) => None,
        _ if is_negative(value) => None,
        _ => Some(quote!((#value) as u64)),
    };
    bytes.ok_or_else(|| {
        syn::Error::new_spanned(value, "memory is a number of bytes, or a text such as \"512 MiB\" or \"2 GiB\"")
    })
}

fn written_bytes(written: &str) -> Option<u64> {
    let written = written.trim_start();
    let digits = written.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = written.split_at(digits);
    let factor: u64 = match unit.trim() {
        "B" | "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
