//! From the text of one instruction to what it does.

use std::collections::{HashMap, HashSet};

use super::function::{Combine, Comparison, Half, Rounding};
use super::{
    Address, Base, Function, Guard, Instruction, Operand, Operation, ShuffleMode, Special, Type, Update, VoteMode,
};

/// Words that change what an instruction computes, and that we don't have: other roundings, flushed or saturated outcomes,
/// carries.
const UNKNOWN_WORDS: [&str; 6] = ["cc", "ftz", "rm", "rp", "rz", "sat"];

/// The names of one kernel, and the numbers that stand for them.
#[derive(Default)]
pub struct Names {
    registers: HashMap<String, u32>,
    /// Registers whose names have no `%`.
    bare_registers: HashSet<String>,
    /// Instructions that are branched to.
    pub labels: HashMap<String, usize>,
    /// Addresses of variables.
    pub symbols: HashMap<String, u64>,
    /// Places of parameters, in bytes.
    parameters: HashMap<String, usize>,
}

/// An instruction of PTX in pieces: `@%p1 ld.global.f32 %f1, [%rd1];` has the name `ld`, the words `global` and `f32`, and
/// two operands.
struct Pieces<'a> {
    name: &'a str,
    words: Vec<&'a str>,
    operands: Vec<&'a str>,
}

impl Names {
    /// The names of a kernel whose parameters lie at these places, in bytes.
    pub fn of(parameters: HashMap<String, usize>) -> Self {
        Self { parameters, ..Self::default() }
    }

    /// How many registers have been named.
    pub fn register_count(&self) -> usize {
        self.registers.len()
    }

    /// Takes note of `.reg .b32 tmp`: names with `%` are known without.
    pub fn declare(&mut self, registers: &str) {
        let names =
            registers.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty() && !word.starts_with(['.', '%']));
        self.bare_registers.extend(names.map(String::from));
    }

    /// Decodes one instruction, without its semicolon.
    ///
    /// # Errors
    /// What is not understood, in words.
    pub fn instruction(&mut self, text: &str) -> Result<Instruction, String> {
        let (guard, rest) = match text.strip_prefix('@') {
            Some(guarded) => {
                let (name, rest) = guarded.split_once(char::is_whitespace).ok_or("a guard without an instruction")?;
                let register = self.register(name.trim_start_matches('!'));
                (Some(Guard { register, is_negated: name.starts_with('!') }), rest.trim_start())
            }
            None => (None, text),
        };
        let pieces = Pieces::read(rest);
        let operation = self.operation(&pieces)?;
        Ok(Instruction { guard, operation, text: text.split_whitespace().collect::<Vec<_>>().join(" ") })
    }

    fn operation(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        match pieces.name {
            "mov" if pieces.operands.iter().any(|text| text.starts_with('{')) => self.move_parts(pieces),
            "ld" | "ldu" => self.load(pieces),
            "st" => self.store(pieces),
            "atom" | "red" => self.atomic(pieces),
            "shfl" => self.shuffle(pieces),
            "vote" | "activemask" => self.vote(pieces),
            "bra" => {
                let label = pieces.operand(0)?;
                let target = *self.labels.get(label).ok_or_else(|| format!("no label `{label}`"))?;
                Ok(Operation::Branch { target })
            }
            "ret" | "exit" => Ok(Operation::Return),
            "bar" | "barrier" if pieces.has("sync") && pieces.operands == ["0"] => Ok(Operation::Barrier),
            "membar" | "fence" => Ok(Operation::Fence),
            _ => self.compute(pieces),
        }
    }

    fn compute(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        if let Some(word) = pieces.words.iter().find(|word| UNKNOWN_WORDS.contains(word)) {
            return Err(format!("`.{word}`, which the fake driver doesn't know"));
        }
        let function = function(pieces)?;
        let mut from = [Operand::Value(0); 4];
        let operands = pieces.operands.get(1..).unwrap_or_default();
        if operands.len() > from.len() {
            return Err("too many operands".into());
        }
        for (slot, text) in from.iter_mut().zip(operands) {
            *slot = self.operand(text)?;
        }
        Ok(Operation::Compute { function, of: pieces.of(), to: self.destination(pieces.operand(0)?)?, from })
    }

    /// One of the operands is a vector, whose elements are the parts of the other.
    fn move_parts(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        let (whole, [to, from]) = (pieces.of(), [pieces.operand(0)?, pieces.operand(1)?]);
        let part = |count: usize| match usize::from(whole.bytes).checked_div(count) {
            Some(bytes @ (1 | 2 | 4)) => Ok(Type { bytes: bytes as u8, ..whole }),
            _ => Err("parts that are no whole bytes"),
        };
        if to.starts_with('{') {
            let to = self.destinations(to)?;
            return Ok(Operation::Split { part: part(to.len())?, to, from: self.operand(from)? });
        }
        let from: Vec<_> = elements(from).map(|text| self.operand(text)).collect::<Result<_, _>>()?;
        Ok(Operation::Join { part: part(from.len())?, to: self.destination(to)?, from })
    }

    fn load(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        pieces.check_space()?;
        let to = self.destinations(pieces.operand(0)?)?;
        Ok(Operation::Load { of: pieces.of(), to, at: self.address(pieces.operand(1)?)? })
    }

    fn store(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        pieces.check_space()?;
        let from = elements(pieces.operand(1)?).map(|text| self.operand(text)).collect::<Result<_, _>>()?;
        Ok(Operation::Store { of: pieces.of(), from, at: self.address(pieces.operand(0)?)? })
    }

    fn atomic(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        pieces.check_space()?;
        let updates = pieces.words.iter().find_map(|word| update(word));
        let update = updates.ok_or("an atomic operation that is not known")?;
        let first = usize::from(pieces.name == "atom");
        let to = if first == 1 { Some(self.destination(pieces.operand(0)?)?) } else { None };
        let at = self.address(pieces.operand(first)?)?;
        let value = self.operand(pieces.operand(first + 1)?)?;
        let other = match pieces.operands.get(first + 2) {
            Some(text) => self.operand(text)?,
            None => Operand::Value(0),
        };
        Ok(Operation::Atomic { of: pieces.of(), update, to, at, from: [value, other] })
    }

    fn shuffle(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        let mode = match pieces.words.get(1) {
            Some(&"up") => ShuffleMode::Up,
            Some(&"down") => ShuffleMode::Down,
            Some(&"bfly") => ShuffleMode::Butterfly,
            Some(&"idx") => ShuffleMode::Index,
            _ => return Err("a shuffle of an unknown mode".into()),
        };
        let (to, is_valid) = match pieces.operand(0)?.split_once('|') {
            Some((to, is_valid)) => (self.destination(to)?, Some(self.destination(is_valid)?)),
            None => (self.destination(pieces.operand(0)?)?, None),
        };
        let mut operand = |at| self.operand(pieces.operand(at)?);
        let (value, lane, clamp) = (operand(1)?, operand(2)?, operand(3)?);
        Ok(Operation::Shuffle { mode, to, is_valid, value, lane, clamp })
    }

    fn vote(&mut self, pieces: &Pieces<'_>) -> Result<Operation, String> {
        let to = self.destination(pieces.operand(0)?)?;
        if pieces.name == "activemask" {
            return Ok(Operation::Vote { mode: VoteMode::Ballot, to, value: Operand::Value(1), is_negated: false });
        }
        let mode = match pieces.words.get(1) {
            Some(&"ballot") => VoteMode::Ballot,
            Some(&"any") => VoteMode::Any,
            Some(&"all") => VoteMode::All,
            _ => return Err("a vote of an unknown mode".into()),
        };
        let text = pieces.operand(1)?;
        let value = self.operand(text.trim_start_matches('!'))?;
        Ok(Operation::Vote { mode, to, value, is_negated: text.starts_with('!') })
    }

    fn register(&mut self, name: &str) -> u32 {
        let next = self.registers.len() as u32;
        *self.registers.entry(name.to_string()).or_insert(next)
    }

    /// One register, or a vector of them, of which `_` stands for none.
    fn destinations(&mut self, text: &str) -> Result<Vec<Option<u32>>, String> {
        let register = |text| if text == "_" { Ok(None) } else { self.destination(text).map(Some) };
        elements(text).map(register).collect()
    }

    fn is_register(&self, text: &str) -> bool {
        text.starts_with('%') || self.bare_registers.contains(text)
    }

    fn destination(&mut self, text: &str) -> Result<u32, String> {
        if self.is_register(text) && !text.contains('|') {
            Ok(self.register(text))
        } else {
            Err(format!("`{text}` is no register"))
        }
    }

    fn address(&mut self, text: &str) -> Result<Address, String> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let inner = inner.ok_or_else(|| format!("`{text}` is no address"))?;
        let (base, offset) = match inner.rsplit_once('+') {
            Some((base, offset)) => (base.trim(), offset.trim().parse().map_err(|_| format!("offset `{offset}`"))?),
            None => (inner.trim(), 0),
        };
        let base = match self.parameters.get(base) {
            Some(at) => Base::Parameter(*at),
            None => Base::Generic(self.operand(base)?),
        };
        Ok(Address { base, offset })
    }

    fn operand(&mut self, text: &str) -> Result<Operand, String> {
        if let Some(special) = special(text) {
            return Ok(Operand::Special(special));
        }
        if self.is_register(text) {
            return Ok(Operand::Register(self.register(text)));
        }
        let value = literal(text).or_else(|| self.symbols.get(text).copied());
        value.map(Operand::Value).ok_or_else(|| format!("operand `{text}`"))
    }
}

impl<'a> Pieces<'a> {
    fn read(text: &'a str) -> Self {
        let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let mut words = head.split('.');
        let name = words.next().unwrap_or_default();
        Self { name, words: words.collect(), operands: operands(rest) }
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    fn operand(&self, at: usize) -> Result<&'a str, String> {
        self.operands.get(at).copied().ok_or_else(|| format!("no operand {at}"))
    }

    /// The first type that is named.
    fn of(&self) -> Type {
        self.words.iter().find_map(|word| Type::named(word)).unwrap_or(Type::WORD)
    }

    fn check_space(&self) -> Result<(), String> {
        if self.has("local") || self.has("const") {
            Err("memory that is neither global nor shared".into())
        } else {
            Ok(())
        }
    }
}

/// Splits at commas that are not within brackets.
fn operands(text: &str) -> Vec<&str> {
    let (mut found, mut depth, mut begin) = (vec![], 0, 0);
    for (at, sign) in text.char_indices() {
        match sign {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !text[begin..].trim().is_empty() {
        found.push(text[begin..].trim());
    }
    found
}

/// The elements of a vector in braces, or the one.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('{').trim_end_matches('}').split(',').map(str::trim)
}

fn function(pieces: &Pieces<'_>) -> Result<Function, String> {
    let is_float = pieces.of().is_float();
    Ok(match pieces.name {
        "mov" | "cvta" => Function::Move,
        "add" => Function::Add,
        "sub" => Function::Subtract,
        "mul" if is_float => Function::Multiply(Half::Low),
        "mul" => Function::Multiply(half(pieces)),
        "mad" | "fma" if is_float => Function::FusedMultiplyAdd,
        "mad" => Function::MultiplyAdd(half(pieces)),
        "div" => Function::Divide,
        "rem" => Function::Remainder,
        "min" => Function::Minimum,
        "max" => Function::Maximum,
        "neg" => Function::Negate,
        "abs" => Function::Absolute,
        "and" => Function::And,
        "or" => Function::Or,
        "xor" => Function::Xor,
        "not" => Function::Not,
        "shl" => Function::ShiftLeft,
        "shr" => Function::ShiftRight,
        "sqrt" => Function::SquareRoot,
        "rcp" => Function::Reciprocal,
        "rsqrt" => Function::ReciprocalSquareRoot,
        "ex2" => Function::Exponential,
        "lg2" => Function::Logarithm,
        "popc" => Function::CountOnes,
        "clz" => Function::LeadingZeros,
        "selp" => Function::Select,
        "bfi" => Function::InsertBits,
        "bfe" if !pieces.of().is_signed() => Function::ExtractBits,
        "setp" => compare(pieces)?,
        "cvt" => convert(pieces)?,
        name => return Err(format!("instruction `{name}`, which the fake driver doesn't know")),
    })
}

fn half(pieces: &Pieces<'_>) -> Half {
    match () {
        () if pieces.has("wide") => Half::Wide,
        () if pieces.has("hi") => Half::High,
        () => Half::Low,
    }
}

fn compare(pieces: &Pieces<'_>) -> Result<Function, String> {
    let name = pieces.words.first().copied().unwrap_or_default();
    let (name, or_unordered) = match name.strip_suffix('u') {
        Some(ordered) if pieces.of().is_float() => (ordered, true),
        _ => (name, false),
    };
    let [less, equal, greater] = match name {
        "eq" => [false, true, false],
        "ne" => [true, false, true],
        "lt" | "lo" => [true, false, false],
        "le" | "ls" => [true, true, false],
        "gt" | "hi" => [false, false, true],
        "ge" | "hs" => [false, true, true],
        "num" => [true, true, true],
        "nan" => [false, false, false],
        name => return Err(format!("comparison `{name}`")),
    };
    let comparison = Comparison { less, equal, greater, or_unordered: or_unordered || name == "nan" };
    let combine = match () {
        () if pieces.has("and") => Combine::And,
        () if pieces.has("or") => Combine::Or,
        () if pieces.has("xor") => Combine::Xor,
        () => Combine::Alone,
    };
    Ok(Function::Compare(comparison, combine))
}

fn convert(pieces: &Pieces<'_>) -> Result<Function, String> {
    let from = pieces.words.iter().filter_map(|word| Type::named(word)).nth(1).ok_or("a conversion of one type")?;
    let rounding = pieces.words.iter().find_map(|word| match *word {
        "rni" => Some(Rounding::Nearest),
        "rzi" => Some(Rounding::Zero),
        "rmi" => Some(Rounding::Down),
        "rpi" => Some(Rounding::Up),
        _ => None,
    });
    Ok(Function::Convert { from, rounding: rounding.unwrap_or(Rounding::None) })
}

fn update(word: &str) -> Option<Update> {
    Some(match word {
        "add" => Update::Add,
        "min" => Update::Minimum,
        "max" => Update::Maximum,
        "and" => Update::And,
        "or" => Update::Or,
        "exch" => Update::Exchange,
        "cas" => Update::CompareAndSwap,
        _ => return None,
    })
}

fn special(text: &str) -> Option<Special> {
    match text {
        "%laneid" => return Some(Special::Lane),
        "%warpid" => return Some(Special::Warp),
        _ => {}
    }
    let (name, axis) = text.split_once('.')?;
    let axis = ["x", "y", "z"].iter().position(|known| *known == axis)?;
    Some(match name {
        "%tid" => Special::Thread(axis),
        "%ntid" => Special::BlockSize(axis),
        "%ctaid" => Special::Block(axis),
        "%nctaid" => Special::GridSize(axis),
        _ => return None,
    })
}

/// Numbers: decimal, hexadecimal, and floats by their bits.
fn literal(text: &str) -> Option<u64> {
    if let Some(bits) = text.strip_prefix("0f").or(text.strip_prefix("0F")) {
        return u32::from_str_radix(bits, 16).ok().map(u64::from);
    }
    if let Some(bits) = text.strip_prefix("0d").or(text.strip_prefix("0D")) {
        return u64::from_str_radix(bits, 16).ok();
    }
    let digits = text.trim_end_matches('U');
    if let Some(digits) = digits.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    digits.parse::<i64>().map(|value| value as u64).or_else(|_| digits.parse()).ok()
}
