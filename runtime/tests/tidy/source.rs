//! What the rules look at: one file of Rust as tokens, functions and tests, and the whole tree.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::visit::Visit;

/// Folders of code that only tests run.
const TEST_FOLDERS: [&str; 3] = ["tests", "benches", "fuzz"];
/// Folders of code that is meant not to compile.
const BROKEN_FOLDERS: [&str; 2] = ["ui", "fail"];
const QUOTES: [&str; 4] = ["quote", "quote_spanned", "parse_quote", "parse_quote_spanned"];

/// One leaf of the source; `::`, `->` and their like are one token, a bracket is one at each end.
#[derive(Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
    /// Inside `quote!{}`: code that is made, not code that runs here.
    pub is_quoted: bool,
}

/// A function with a body: from its signature (without attributes and docs) to its last bracket.
#[derive(Debug)]
pub struct Function {
    pub name: String,
    pub lines: RangeInclusive<usize>,
}

/// One file of Rust.
#[derive(Debug, Default)]
pub struct Source {
    /// From the root of the workspace, with `/` between.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
    pub functions: Vec<Function>,
    /// The lines of items under `#[cfg(test)]`.
    test_items: Vec<RangeInclusive<usize>>,
}

impl Source {
    /// # Panics
    /// Where `text` isn't Rust.
    pub fn new(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}:{}: {e}", e.span().start().line));
        let stream: TokenStream = text.parse().expect("it was parsed just now");
        let mut source = Self { path: path.into(), text: text.into(), ..Self::default() };
        source.push_tokens(stream, false);
        source.visit_file(&file);
        source
    }

    fn push_tokens(&mut self, stream: TokenStream, is_quoted: bool) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        self.test_items.extend((0..trees.len()).filter_map(|at| test_item(&trees[at..])));
        let mut is_joint = false;
        for tree in trees {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    let is_quoted = is_quoted || self.ends_with_quote();
                    let (open, close) = brackets(group.delimiter());
                    self.tokens.push(Token { text: open.into(), line, is_quoted });
                    self.push_tokens(group.stream(), is_quoted);
                    let line = group.span_close().start().line;
                    self.tokens.push(Token { text: close.into(), line, is_quoted });
                }
                TokenTree::Punct(punct) => {
                    match self.tokens.last_mut().filter(|_| is_joint) {
                        Some(last) => last.text.push(punct.as_char()),
                        None => self.tokens.push(Token { text: punct.to_string(), line, is_quoted }),
                    }
                    is_joint = punct.spacing() == Spacing::Joint;
                    continue;
                }
                leaf => self.tokens.push(Token { text: leaf.to_string(), line, is_quoted }),
            }
            is_joint = false;
        }
    }

    fn ends_with_quote(&self) -> bool {
        matches!(&self.tokens[..], [.., name, bang] if bang.text == "!" && QUOTES.contains(&name.text.as_str()))
    }

    /// Whether `path` is in the folder, which ends in `/`.
    pub fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether the file is a part of tests alone.
    pub fn is_test_file(&self) -> bool {
        is_below(&self.path, &TEST_FOLDERS) || self.path.ends_with("/tests.rs")
    }

    /// Whether only tests compile this line.
    pub fn is_test(&self, line: usize) -> bool {
        self.is_test_file() || self.test_items.iter().any(|item| item.contains(&line))
    }

    pub fn lines_outside_tests(&self) -> usize {
        (1..=self.text.lines().count()).filter(|&line| !self.is_test(line)).count()
    }

    /// The lines where these tokens follow one another.
    pub fn find(&self, texts: &[&str]) -> Vec<usize> {
        let is_match = |window: &&[Token]| window.iter().zip(texts).all(|(token, text)| token.text == *text);
        self.tokens.windows(texts.len()).filter(is_match).map(|window| window[0].line).collect()
    }

    /// What is inside each attribute, `#[…]` or `#![…]`, with its line.
    pub fn attributes(&self) -> impl Iterator<Item = (usize, Vec<&str>)> {
        let starts = (0..self.tokens.len()).filter(|&at| matches!(self.tokens[at].text.as_str(), "#" | "#!"));
        starts.filter_map(|at| {
            let rest =
                self.tokens[at + 1..].iter().skip_while(|token| token.text == "!").map(|token| token.text.as_str());
            let mut depth = 0;
            let inside: Vec<&str> = rest
                .take_while(|text| {
                    depth += i32::from(*text == "[") - i32::from(*text == "]");
                    depth > 0
                })
                .collect();
            let (first, rest) = inside.split_first()?;
            (*first == "[").then(|| (self.tokens[at].line, rest.to_vec()))
        })
    }

    /// `path:line: message`.
    pub fn at(&self, line: usize, message: &str) -> String {
        format!("{}:{line}: {message}", self.path)
    }

    fn push_function(&mut self, sig: &syn::Signature, block: &syn::Block) {
        let lines = sig.fn_token.span.start().line..=block.brace_token.span.close().end().line;
        self.functions.push(Function { name: sig.ident.to_string(), lines });
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.push_function(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.push_function(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.push_function(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

/// A file that isn't Rust, or that is looked at as mere text.
#[derive(Debug)]
pub struct Text {
    pub path: String,
    pub text: String,
}

/// Everything in the workspace but what a build made.
#[derive(Debug, Default)]
pub struct Tree {
    pub sources: Vec<Source>,
    pub texts: Vec<Text>,
    /// The names in the root folder.
    pub top_level: Vec<String>,
}

impl Tree {
    /// # Panics
    /// Where a folder can't be read, or a file of Rust isn't Rust.
    pub fn read(root: &Path) -> Self {
        let mut tree = Self { top_level: names(root), ..Self::default() };
        tree.read_folder(root, "");
        tree
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        for name in names(folder) {
            let (full, path) = (folder.join(&name), format!("{prefix}{name}"));
            if is_built(folder, &path) {
                continue;
            } else if full.is_dir() {
                self.read_folder(&full, &format!("{path}/"));
            } else if let Ok(text) = fs::read_to_string(&full) {
                self.read_file(path, text);
            }
        }
    }

    fn read_file(&mut self, path: String, text: String) {
        if path.ends_with(".rs") && !(is_below(&path, &["tests"]) && is_below(&path, &BROKEN_FOLDERS)) {
            self.sources.push(Source::new(&path, &text));
        }
        self.texts.push(Text { path, text });
    }
}

/// Whether git or a build made what lies there.
fn is_built(folder: &Path, path: &str) -> bool {
    let is_target = path.split('/').next_back() == Some("target") && folder.join("Cargo.toml").exists();
    is_target || matches!(path, ".git" | "docs/book")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn is_below(path: &str, folders: &[&str]) -> bool {
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    above.split('/').any(|part| folders.contains(&part))
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

/// The lines of the item, where `trees` begins with a `#[cfg(…)]` that holds for tests alone.
fn test_item(trees: &[TokenTree]) -> Option<RangeInclusive<usize>> {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), rest @ ..] = trees else { return None };
    let inside: Vec<String> = idents(attribute.stream());
    let is_cfg = hash.as_char() == '#' && inside.first().is_some_and(|first| first == "cfg");
    if !is_cfg || !inside.contains(&"test".into()) || inside.iter().any(|word| word == "not" || word == "any") {
        return None;
    }
    let is_end = |tree: &&TokenTree| match tree {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    let end = rest.iter().find(is_end)?;
    Some(hash.span().start().line..=end.span().end().line)
}

fn idents(stream: TokenStream) -> Vec<String> {
    let each = stream.into_iter().map(|tree| match tree {
        TokenTree::Ident(ident) => vec![ident.to_string()],
        TokenTree::Group(group) => idents(group.stream()),
        _ => vec![],
    });
    each.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
/// unsafe in docs
pub fn a() {
    // unsafe in a comment
    let _ = std::mem::size_of::<u8>();
}

#[cfg(test)]
mod tests {
    fn b() {}
}
";

    #[test]
    fn a_source_knows_its_functions_and_tests() {
        let source = Source::new("x/src/a.rs", TEXT);
        let lines: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.lines.clone())).collect();
        assert_eq!(lines, [("a", 2..=5), ("b", 9..=9)]);
        assert!(!source.is_test(4) && source.is_test(7) && source.is_test(10));
        assert_eq!(source.lines_outside_tests(), 6);
        assert_eq!(source.find(&["std", "::", "mem"]), [4]);
        assert_eq!(source.find(&["unsafe"]), []);
    }

    #[test]
    fn attributes_are_found_with_what_is_in_them() {
        let source = Source::new("x/src/a.rs", "#![no_std]\n#[cfg_attr(miri, ignore)]\nfn f(a: [u8; 2]) {}\n");
        let found: Vec<_> = source.attributes().map(|(line, words)| (line, words.concat())).collect();
        assert_eq!(found, [(1, "no_std".into()), (2, "cfg_attr(miri,ignore)".into())]);
    }

    #[test]
    fn what_holds_without_tests_is_no_test() {
        let source = Source::new("x/src/a.rs", "#[cfg(not(test))]\nfn f() {}\n#[cfg(any(test, loom))]\nfn g() {}\n");
        assert_eq!(source.lines_outside_tests(), 4);
    }
}
