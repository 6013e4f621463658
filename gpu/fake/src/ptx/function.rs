//! What a lane computes from its own registers.

use std::cmp::Ordering;

use super::{Kind, Type};

/// A function of up to four values of a type; the type is a parameter of [`Function::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Move,
    Add,
    Subtract,
    Multiply(Half),
    MultiplyAdd(Half),
    /// With one rounding.
    FusedMultiplyAdd,
    Divide,
    Remainder,
    Minimum,
    Maximum,
    Negate,
    Absolute,
    And,
    Or,
    Xor,
    Not,
    ShiftLeft,
    ShiftRight,
    SquareRoot,
    Reciprocal,
    ReciprocalSquareRoot,
    /// 2 to the power of.
    Exponential,
    /// To base 2.
    Logarithm,
    CountOnes,
    LeadingZeros,
    /// The first where the third is true, else the second.
    Select,
    /// With what the outcome is combined with a third operand.
    Compare(Comparison, Combine),
    Convert {
        from: Type,
        rounding: Rounding,
    },
    InsertBits,
    ExtractBits,
}

/// Which half of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Low,
    High,
    /// Both.
    Wide,
}

/// An ordering that is asked for; with `or_unordered` it holds for NaN too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    pub less: bool,
    pub equal: bool,
    pub greater: bool,
    pub or_unordered: bool,
}

/// How a comparison is combined with a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    Alone,
    And,
    Or,
    Xor,
}

/// To whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    None,
    Nearest,
    Zero,
    Down,
    Up,
}

impl Function {
    /// The bits of the outcome.
    pub fn of(self, of: Type, [a, b, c, d]: [u64; 4]) -> u64 {
        match self {
            Self::Select => {
                if c != 0 {
                    a
                } else {
                    b
                }
            }
            Self::Compare(comparison, combine) => combine.with(comparison.holds(of, a, b), c != 0).into(),
            Self::Convert { from, rounding } => convert(of, from, rounding, a),
            _ if of.is_float() && of.bytes == 4 => u64::from(self.of_f32([a, b, c].map(f32_of)).to_bits()),
            _ if of.is_float() => self.of_f64([a, b, c].map(f64::from_bits)).to_bits(),
            _ => of_masked(self, of, [a, b, c, d]),
        }
    }

    fn of_f32(self, [a, b, c]: [f32; 3]) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply(_) => a * b,
            Self::FusedMultiplyAdd => a.mul_add(b, c),
            Self::Divide => a / b,
            Self::Minimum => a.min(b),
            Self::Maximum => a.max(b),
            Self::Negate => -a,
            Self::Absolute => a.abs(),
            Self::SquareRoot => a.sqrt(),
            Self::Reciprocal => 1.0 / a,
            Self::ReciprocalSquareRoot => 1.0 / a.sqrt(),
            Self::Exponential => a.exp2(),
            Self::Logarithm => a.log2(),
            _ => a,
        }
    }

    fn of_f64(self, [a, b, c]: [f64; 3]) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply(_) => a * b,
            Self::FusedMultiplyAdd => a.mul_add(b, c),
            Self::Divide => a / b,
            Self::Minimum => a.min(b),
            Self::Maximum => a.max(b),
            Self::Negate => -a,
            Self::Absolute => a.abs(),
            Self::SquareRoot => a.sqrt(),
            Self::Reciprocal => 1.0 / a,
            _ => a,
        }
    }
}

impl Comparison {
    fn holds(self, of: Type, a: u64, b: u64) -> bool {
        let order = match of.kind {
            Kind::Float if of.bytes == 4 => f32_of(a).partial_cmp(&f32_of(b)),
            Kind::Float => f64::from_bits(a).partial_cmp(&f64::from_bits(b)),
            Kind::Signed => Some(of.signed(a).cmp(&of.signed(b))),
            _ => Some(of.masked(a).cmp(&of.masked(b))),
        };
        match order {
            Some(Ordering::Less) => self.less,
            Some(Ordering::Equal) => self.equal,
            Some(Ordering::Greater) => self.greater,
            None => self.or_unordered,
        }
    }
}

impl Combine {
    fn with(self, outcome: bool, other: bool) -> bool {
        match self {
            Self::Alone => outcome,
            Self::And => outcome & other,
            Self::Or => outcome | other,
            Self::Xor => outcome ^ other,
        }
    }
}

fn of_masked(function: Function, of: Type, values: [u64; 4]) -> u64 {
    let of = if of.kind == Kind::Predicate { Type { bytes: 1, ..of } } else { of };
    match function {
        Function::Multiply(half) => product(of, half, values[0], values[1], 0),
        Function::MultiplyAdd(half) => product(of, half, values[0], values[1], values[2]),
        Function::Not if of.kind == Kind::Predicate => (values[0] == 0).into(),
        _ => of.masked(whole(function, of, values)),
    }
}

/// Functions of whole numbers, but products, with bits above the type that don't count.
fn whole(function: Function, of: Type, [a, b, c, d]: [u64; 4]) -> u64 {
    let shift = b as u32;
    match function {
        Function::Add => a.wrapping_add(b),
        Function::Subtract => a.wrapping_sub(b),
        Function::Divide | Function::Remainder => quotient(function, of, a, b),
        Function::Minimum if of.is_signed() => of.signed(a).min(of.signed(b)) as u64,
        Function::Minimum => of.masked(a).min(of.masked(b)),
        Function::Maximum if of.is_signed() => of.signed(a).max(of.signed(b)) as u64,
        Function::Maximum => of.masked(a).max(of.masked(b)),
        Function::Negate => a.wrapping_neg(),
        Function::Absolute => of.signed(a).unsigned_abs(),
        Function::And => a & b,
        Function::Or => a | b,
        Function::Xor => a ^ b,
        Function::Not => !a,
        Function::ShiftLeft => {
            if shift >= of.bits() {
                0
            } else {
                a << shift
            }
        }
        Function::ShiftRight if of.is_signed() => (of.signed(a) >> shift.min(63)) as u64,
        Function::ShiftRight => {
            if shift >= of.bits() {
                0
            } else {
                of.masked(a) >> shift
            }
        }
        Function::CountOnes => of.masked(a).count_ones().into(),
        Function::LeadingZeros => (of.masked(a).leading_zeros() - (64 - of.bits())).into(),
        Function::InsertBits => insert(a, b, c, d),
        Function::ExtractBits => of.masked(a).checked_shr(c_u8(b)).unwrap_or(0) & ones(c_u8(c)),
        _ => a,
    }
}

/// Division by zero gives all ones, as devices do.
fn quotient(function: Function, of: Type, a: u64, b: u64) -> u64 {
    if of.masked(b) == 0 {
        return u64::MAX;
    }
    match (function, of.is_signed()) {
        (Function::Divide, true) => of.signed(a).wrapping_div(of.signed(b)) as u64,
        (Function::Divide, false) => of.masked(a) / of.masked(b),
        (_, true) => of.signed(a).wrapping_rem(of.signed(b)) as u64,
        (_, false) => of.masked(a) % of.masked(b),
    }
}

fn product(of: Type, half: Half, a: u64, b: u64, c: u64) -> u64 {
    let product = if of.is_signed() {
        (i128::from(of.signed(a)) * i128::from(of.signed(b))) as u128
    } else {
        u128::from(of.masked(a)) * u128::from(of.masked(b))
    };
    match half {
        Half::Low => of.masked((product as u64).wrapping_add(c)),
        Half::High => of.masked(((product >> of.bits()) as u64).wrapping_add(c)),
        Half::Wide => of.doubled().masked((product as u64).wrapping_add(c)),
    }
}

fn convert(to: Type, from: Type, rounding: Rounding, value: u64) -> u64 {
    let number = match (from.kind, from.bytes) {
        (Kind::Float, 4) => rounding.of(f64::from(f32_of(value))),
        (Kind::Float, _) => rounding.of(f64::from_bits(value)),
        (Kind::Signed, _) if to.is_float() => return float_of_signed(to, from.signed(value)),
        (_, _) if to.is_float() => return float_of_unsigned(to, from.masked(value)),
        (Kind::Signed, _) => return to.masked(from.signed(value) as u64),
        _ => return to.masked(from.masked(value)),
    };
    match (to.kind, to.bytes) {
        (Kind::Float, 4) => (number as f32).to_bits().into(),
        (Kind::Float, _) => number.to_bits(),
        (Kind::Signed, 4) => number as i32 as u32 as u64,
        (Kind::Signed, _) => number as i64 as u64,
        (_, 4) => (number as u32).into(),
        _ => number as u64,
    }
}

fn float_of_signed(to: Type, value: i64) -> u64 {
    if to.bytes == 4 { (value as f32).to_bits().into() } else { (value as f64).to_bits() }
}

fn float_of_unsigned(to: Type, value: u64) -> u64 {
    if to.bytes == 4 { (value as f32).to_bits().into() } else { (value as f64).to_bits() }
}

impl Rounding {
    fn of(self, number: f64) -> f64 {
        match self {
            Self::None => number,
            Self::Nearest => number.round_ties_even(),
            Self::Zero => number.trunc(),
            Self::Down => number.floor(),
            Self::Up => number.ceil(),
        }
    }
}

fn insert(field: u64, into: u64, at: u64, len: u64) -> u64 {
    let mask = ones(c_u8(len)).checked_shl(c_u8(at)).unwrap_or(0);
    (into & !mask) | (field.checked_shl(c_u8(at)).unwrap_or(0) & mask)
}

fn ones(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Positions and lengths of bit fields are the lowest eight bits.
fn c_u8(value: u64) -> u32 {
    (value & 0xff) as u32
}

fn f32_of(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const U32: Type = Type { kind: Kind::Unsigned, bytes: 4 };
    const S32: Type = Type { kind: Kind::Signed, bytes: 4 };
    const F32: Type = Type { kind: Kind::Float, bytes: 4 };
    const F64: Type = Type { kind: Kind::Float, bytes: 8 };

    fn of(function: Function, of: Type, values: &[u64]) -> u64 {
        let mut all = [0; 4];
        all[..values.len()].copy_from_slice(values);
        function.of(of, all)
    }

    fn bits(value: f32) -> u64 {
        value.to_bits().into()
    }

    #[test]
    fn whole_numbers_wrap_at_their_width() {
        assert_eq!(of(Function::Add, U32, &[u32::MAX.into(), 2]), 1);
        assert_eq!(of(Function::Subtract, U32, &[0, 1]), u32::MAX.into());
        assert_eq!(of(Function::Multiply(Half::High), U32, &[1 << 31, 6]), 3);
        assert_eq!(of(Function::Multiply(Half::Wide), S32, &[u32::MAX.into(), 3]), -3i64 as u64);
        assert_eq!(of(Function::MultiplyAdd(Half::Low), U32, &[1 << 31, 2, 5]), 5);
        assert_eq!(of(Function::ShiftRight, S32, &[0x8000_0000, 40]), u32::MAX.into());
        assert_eq!(of(Function::ShiftLeft, U32, &[1, 32]), 0);
        assert_eq!(of(Function::Divide, S32, &[-7i32 as u32 as u64, 2]), -3i32 as u32 as u64);
        assert_eq!(of(Function::Remainder, U32, &[7, 0]), u32::MAX.into());
    }

    #[test]
    fn comparisons_know_numbers_that_are_none() {
        let less = Comparison { less: true, equal: false, greater: false, or_unordered: false };
        let holds = |comparison, a, b| of(Function::Compare(comparison, Combine::Alone), F32, &[bits(a), bits(b)]) == 1;
        assert!(holds(less, 1.0, 2.0) && !holds(less, 2.0, 1.0) && !holds(less, f32::NAN, 1.0));
        assert!(holds(Comparison { or_unordered: true, ..less }, f32::NAN, 1.0));
        let signed = Function::Compare(less, Combine::And);
        assert_eq!([1, 0].map(|other| of(signed, S32, &[u32::MAX.into(), 0, other])), [1, 0]);
    }

    #[test]
    fn numbers_are_converted_as_c_does() {
        let convert = |to, from, rounding, value| of(Function::Convert { from, rounding }, to, &[value]);
        assert_eq!(convert(F32, S32, Rounding::None, u32::MAX.into()), bits(-1.0));
        assert_eq!(convert(F32, U32, Rounding::None, u32::MAX.into()), bits(4_294_967_296.0));
        assert_eq!(convert(S32, F32, Rounding::Zero, bits(-2.7)), -2i32 as u32 as u64);
        assert_eq!(convert(F32, F64, Rounding::None, 0.1f64.to_bits()), bits(0.1));
        assert_eq!(convert(U32, F32, Rounding::Nearest, bits(2.5)), 2);
    }

    #[test]
    fn fields_of_bits_are_put_in_and_taken_out() {
        assert_eq!(of(Function::InsertBits, U32, &[0b101, 0xffff_0000, 4, 3]), 0xffff_0050);
        assert_eq!(of(Function::ExtractBits, U32, &[0xffff_0050, 4, 3]), 0b101);
    }

    #[test]
    fn a_fused_product_is_rounded_once() {
        let (a, b) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON);
        let fused = of(Function::FusedMultiplyAdd, F32, &[bits(a), bits(b), bits(-1.0)]);
        assert_eq!(f32_of(fused), -(f32::EPSILON * f32::EPSILON));
    }
}
