//! Modules: the kernels of one text.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::body::{Body, SharedSymbols};
use super::{Instruction, Type};

/// What was read of a text of PTX.
#[derive(Debug)]
pub struct Module {
    kernels: HashMap<String, Arc<Kernel>>,
}

/// A kernel that can be launched.
#[derive(Debug)]
pub struct Kernel {
    pub name: String,
    pub parameters: Vec<Parameter>,
    pub register_count: usize,
    pub instructions: Vec<Instruction>,
    /// Memory of a block, without what a launch asks for besides.
    pub shared_bytes: usize,
    /// Threads of a block, at most.
    pub threads_max: u32,
}

/// Where a parameter lies among those of its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub at: usize,
    pub bytes: usize,
}

/// Why a text can't be run.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseError(pub String);

impl Module {
    /// Reads what the compiler of CUDA writes.
    ///
    /// # Errors
    /// Names what is not understood. Functions, constants, and local and global variables are not.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = without_comments(text);
        let mut rest = text.trim_start();
        if !rest.starts_with(".version") {
            return Err(ParseError("it doesn't begin with `.version`".into()));
        }
        let (mut kernels, mut shared) = (HashMap::new(), SharedSymbols::default());
        while !rest.is_empty() {
            let word = rest.split(char::is_whitespace).next().unwrap_or_default();
            rest = match word {
                ".version" | ".target" | ".address_size" => rest.split_once('\n').map_or("", |(_, rest)| rest),
                ".visible" | ".weak" | ".extern" => &rest[word.len()..],
                ".shared" => {
                    let (variable, after) = rest.split_once(';').ok_or_else(|| cut_off(word))?;
                    shared.declare(variable).map_err(ParseError)?;
                    after
                }
                ".entry" => {
                    let (kernel, after) = Kernel::parse(&rest[word.len()..], &shared)?;
                    kernels.insert(kernel.name.clone(), Arc::new(kernel));
                    after
                }
                word => return Err(ParseError(format!("`{word}`, which the fake driver doesn't know"))),
            }
            .trim_start();
        }
        Ok(Self { kernels })
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<&Arc<Kernel>> {
        self.kernels.get(name)
    }
}

impl Kernel {
    /// Bytes of all parameters.
    pub fn parameter_bytes(&self) -> usize {
        self.parameters.last().map_or(0, |last| last.at + last.bytes)
    }

    /// Reads from behind `.entry`, and returns what is left.
    fn parse<'a>(text: &'a str, shared: &SharedSymbols) -> Result<(Self, &'a str), ParseError> {
        let (name, rest) = text.split_once('(').ok_or_else(|| cut_off(".entry"))?;
        let name = name.trim().to_string();
        let within = |error: String| ParseError(format!("kernel `{name}`: {error}"));
        let (list, rest) = rest.split_once(')').ok_or_else(|| cut_off(&name))?;
        let (parameters, places) = parameters(list).map_err(within)?;
        let (directives, rest) = rest.split_once('{').ok_or_else(|| cut_off(&name))?;
        let end = closing_brace(rest).ok_or_else(|| cut_off(&name))?;
        let body = Body::parse(&rest[..end], places, shared.clone()).map_err(within)?;
        let kernel = Self {
            parameters,
            register_count: body.register_count,
            instructions: body.instructions,
            shared_bytes: body.shared_bytes,
            threads_max: threads_max(directives).unwrap_or(1024),
            name,
        };
        Ok((kernel, &rest[end + 1..]))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn cut_off(at: &str) -> ParseError {
    ParseError(format!("`{at}` is cut off"))
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.flat_map(|line| [line, "\n"]).collect()
}

type Places = HashMap<String, usize>;

/// `.param .u64 name`, separated by commas; each is aligned to its size.
fn parameters(list: &str) -> Result<(Vec<Parameter>, Places), String> {
    let (mut parameters, mut places, mut end) = (vec![], HashMap::new(), 0usize);
    for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let mut words = text.split_whitespace();
        let of = words.find_map(|word| Type::named(word.strip_prefix('.')?)).ok_or("a parameter without a type")?;
        let name = text.split_whitespace().last().unwrap_or_default();
        if name.contains('[') {
            return Err(format!("parameter `{name}` is a struct: pass its fields"));
        }
        let bytes = usize::from(of.bytes);
        let at = end.next_multiple_of(bytes);
        parameters.push(Parameter { at, bytes });
        places.insert(name.to_string(), at);
        end = at + bytes;
    }
    Ok((parameters, places))
}

/// The product of the numbers of `.maxntid`.
fn threads_max(directives: &str) -> Option<u32> {
    let (_, rest) = directives.split_once(".maxntid")?;
    let numbers = rest.split('.').next()?;
    numbers.split(',').map(|number| number.trim().parse::<u32>().ok()).product()
}

/// Where the brace is that closes what `text` is within.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, sign) in text.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: &str = "// a comment
.version 9.0
.target sm_80
.address_size 64

.shared .align 8 .b8 buffer[12];
.visible .entry copy(
    .param .u32 copy_param_0,
    .param .u64 copy_param_1
)
.maxntid 64, 2, 1
{
    .reg .b32 %r<2>; // two of them
    .shared .align 16 .b8 more[4];
$L_begin:
    ld.param.u32 %r1, [copy_param_0];
    @!%p1 bra $L_begin;
    ret;
}
";

    #[test]
    fn a_kernel_is_read_with_its_parameters_and_limits() {
        let module = Module::parse(COPY).unwrap();
        let kernel = module.kernel("copy").unwrap();
        assert_eq!(kernel.parameters, [Parameter { at: 0, bytes: 4 }, Parameter { at: 8, bytes: 8 }]);
        assert_eq!((kernel.parameter_bytes(), kernel.threads_max), (16, 128));
        assert_eq!((kernel.instructions.len(), kernel.shared_bytes), (3, 20));
        assert_eq!(kernel.instructions[1].text, "@!%p1 bra $L_begin");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let refused = |from: &str, to: &str| Module::parse(&COPY.replace(from, to)).unwrap_err().0;
        assert!(refused(".version 9.0", "x").contains(".version"));
        assert!(refused("ret;", "tex.2d %r1;").contains("kernel `copy`: instruction `tex`"));
        assert!(refused("ret;", "add.rz.f32 %f1, %f1, %f1;").contains("`.rz`"));
        assert!(refused("ret;", "bar.sync 0, 32;").contains("instruction `bar`"));
        assert!(refused("ret;", "setp.eq.s32 %p1|%p2, %r1, 0;").contains("`%p1|%p2` is no register"));
        assert!(refused("bra $L_begin", "bra $L_end").contains("no label `$L_end`"));
        assert!(refused(".param .u64 copy_param_1", ".param .align 8 .b8 copy_param_1[24]").contains("struct"));
        assert!(refused(".shared .align 8", ".global .align 8").contains("`.global`"));
        assert!(Module::parse(&COPY[..COPY.len() - 3]).unwrap_err().0.contains("cut off"));
    }
}
