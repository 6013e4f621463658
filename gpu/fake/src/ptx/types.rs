//! Types of PTX.

/// A fundamental type: what its bits mean, and how many bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    pub kind: Kind,
    /// 1, 2, 4 or 8.
    pub bytes: u8,
}

/// What bits mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unsigned,
    Signed,
    Bits,
    Float,
    Predicate,
}

impl Type {
    /// 32 bits without a meaning: what an instruction has that names no type.
    pub const WORD: Self = Self { kind: Kind::Bits, bytes: 4 };

    /// The type of a name without its dot, such as `u32` or `pred`.
    pub fn named(name: &str) -> Option<Self> {
        if name == "pred" {
            return Some(Self { kind: Kind::Predicate, bytes: 1 });
        }
        let (kind, bits) = name.split_at_checked(1)?;
        let kind = match kind {
            "u" => Kind::Unsigned,
            "s" => Kind::Signed,
            "b" => Kind::Bits,
            "f" => Kind::Float,
            _ => return None,
        };
        let bytes = match bits {
            "8" => 1,
            "16" => 2,
            "32" => 4,
            "64" => 8,
            _ => return None,
        };
        Some(Self { kind, bytes })
    }

    pub fn is_float(self) -> bool {
        self.kind == Kind::Float
    }

    pub fn is_signed(self) -> bool {
        self.kind == Kind::Signed
    }

    pub fn bits(self) -> u32 {
        u32::from(self.bytes) * 8
    }

    /// The value without the bits above the type.
    pub fn masked(self, value: u64) -> u64 {
        if self.bytes >= 8 { value } else { value & ((1 << self.bits()) - 1) }
    }

    /// The value as a signed number of this width.
    pub fn signed(self, value: u64) -> i64 {
        let unused = 64 - self.bits();
        (value << unused) as i64 >> unused
    }

    /// Twice as wide.
    pub fn doubled(self) -> Self {
        Self { bytes: self.bytes * 2, ..self }
    }
}
