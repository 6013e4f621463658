//! Bodies of kernels: labels, variables and instructions.

use std::collections::HashMap;

use super::decode::Names;
use super::{Instruction, SHARED_WINDOW, Type};

/// What lies between the braces of a kernel.
pub struct Body {
    pub register_count: usize,
    pub instructions: Vec<Instruction>,
    pub shared_bytes: usize,
}

/// Variables in shared memory, and where they lie.
#[derive(Clone, Debug, Default)]
pub struct SharedSymbols {
    places: HashMap<String, u64>,
    bytes: usize,
}

impl Body {
    /// Reads a body in which parameters lie at these places.
    ///
    /// # Errors
    /// What is not understood, in words.
    pub fn parse(text: &str, parameters: HashMap<String, usize>, mut shared: SharedSymbols) -> Result<Self, String> {
        let mut names = Names::of(parameters);
        let mut statements = vec![];
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix(['{', '}']) {
                rest = inner.trim_start();
                continue;
            }
            if let Some((label, after)) = label(rest) {
                names.labels.insert(label.into(), statements.len());
                rest = after.trim_start();
                continue;
            }
            let (statement, after) = rest.split_once(';').ok_or("a statement is cut off")?;
            rest = after.trim_start();
            match statement.split_whitespace().next().unwrap_or_default() {
                ".reg" => names.declare(statement),
                ".pragma" => {}
                ".shared" => shared.declare(statement)?,
                word if word.starts_with('.') => return Err(format!("`{word}`, which the fake driver doesn't know")),
                _ => statements.push(statement.trim()),
            }
        }
        names.symbols = shared.places;
        let decoded =
            statements.iter().map(|text| names.instruction(text).map_err(|error| format!("{error}: `{text}`")));
        let instructions = decoded.collect::<Result<_, _>>()?;
        Ok(Self { register_count: names.register_count(), instructions, shared_bytes: shared.bytes })
    }
}

impl SharedSymbols {
    /// `.shared .align 4 .b8 name[32]`. One without a length begins where the others end, and is as long as a launch
    /// says.
    ///
    /// # Errors
    /// If it is not of this form.
    pub fn declare(&mut self, variable: &str) -> Result<(), String> {
        let malformed = || format!("variable `{}`", variable.trim());
        let words: Vec<&str> = variable.split_whitespace().collect();
        let (name, len) = match words.last().and_then(|last| last.strip_suffix(']')?.split_once('[')) {
            Some((name, "")) => (name, 0),
            Some((name, len)) => (name, len.parse::<usize>().map_err(|_| malformed())?),
            None => (*words.last().ok_or_else(malformed)?, 1),
        };
        let of = words.iter().find_map(|word| Type::named(word.strip_prefix('.')?)).ok_or_else(malformed)?;
        let align = words.iter().skip_while(|word| **word != ".align").nth(1).map_or(Ok(1), |align| align.parse());
        let align: usize = align.map_err(|_| malformed())?;
        let at = self.bytes.next_multiple_of(align.max(1));
        self.places.insert(name.into(), SHARED_WINDOW | at as u64);
        self.bytes = at + len * usize::from(of.bytes);
        Ok(())
    }
}

/// The label that `text` begins with, and what follows it.
fn label(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|sign: char| !(sign.is_alphanumeric() || "_$%".contains(sign)))?;
    Some((&text[..end], text[end..].strip_prefix(':')?)).filter(|(label, _)| !label.is_empty())
}
