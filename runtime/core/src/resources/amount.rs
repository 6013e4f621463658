//! Exact amounts of a resource.

use core::fmt;
use core::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An amount of a resource, counted in 1/10,000 of a unit and never negative, so that sums and differences are exact:
/// ten times 0.1 is 1, and what is released is what was taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Amount(i64);

/// Parts in a unit.
const SCALE: i64 = 10_000;

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);
    /// One unit: a CPU, a GPU.
    pub const ONE: Amount = Amount(SCALE);
    /// The largest amount that a person may ask for: a milliard units.
    pub const MAX: Amount = Amount(1_000_000_000 * SCALE);

    /// `units` whole units.
    pub const fn from_units(units: u32) -> Amount {
        Amount(units as i64 * SCALE)
    }

    /// `parts` times 1/10,000 of a unit.
    pub const fn from_parts(parts: u32) -> Amount {
        Amount(parts as i64)
    }

    /// The amount in 1/10,000 of a unit.
    pub const fn parts(self) -> i64 {
        self.0
    }

    /// The whole units in it, rounded down.
    pub const fn whole_units(self) -> u64 {
        (self.0 / SCALE) as u64
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is a number of whole units.
    pub const fn is_whole(self) -> bool {
        self.0 % SCALE == 0
    }

    /// What is left of it after `other`; nothing where `other` is more.
    pub const fn saturating_sub(self, other: Amount) -> Amount {
        if other.0 >= self.0 { Amount::ZERO } else { Amount(self.0 - other.0) }
    }

    /// The nearest amount to `units`.
    ///
    /// # Errors
    /// [`AmountError`] where `units` is negative, no number, above [`Amount::MAX`], or so small that it would be
    /// nothing.
    pub fn from_f64(units: f64) -> Result<Amount, AmountError> {
        if units.is_nan() {
            return Err(AmountError::NotANumber);
        }
        if units < 0.0 {
            return Err(AmountError::Negative);
        }
        if units > Amount::MAX.0 as f64 / SCALE as f64 {
            return Err(AmountError::TooLarge);
        }
        match (units * SCALE as f64 + 0.5) as i64 {
            0 if units > 0.0 => Err(AmountError::TooSmall),
            parts => Ok(Amount(parts)),
        }
    }
}

impl Add for Amount {
    type Output = Amount;

    fn add(self, other: Amount) -> Amount {
        Amount(self.0.checked_add(other.0).expect("amounts are at most Amount::MAX, and are summed by the thousand"))
    }
}

impl Sub for Amount {
    type Output = Amount;

    /// # Panics
    /// Where `other` is more: an amount is never negative, and callers have checked.
    fn sub(self, other: Amount) -> Amount {
        assert!(other <= self, "{other} taken from {self}");
        Amount(self.0 - other.0)
    }
}

impl fmt::Display for Amount {
    /// As people write it: `2`, `0.5`, `0.0001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, mut parts) = (self.0 / SCALE, self.0 % SCALE);
        if parts == 0 {
            return write!(f, "{units}");
        }
        let mut digits = 4;
        while parts % 10 == 0 {
            parts /= 10;
            digits -= 1;
        }
        write!(f, "{units}.{parts:0digits$}")
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a number is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AmountError {
    /// Below zero.
    Negative,
    /// Not a number.
    NotANumber,
    /// Above [`Amount::MAX`].
    TooLarge,
    /// Above zero, but under half of 1/10,000: it would be nothing.
    TooSmall,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AmountError::Negative => "an amount of a resource can't be negative",
            AmountError::NotANumber => "an amount of a resource must be a number",
            AmountError::TooLarge => "an amount of a resource can't be above 1000000000",
            AmountError::TooSmall => {
                "an amount of a resource is counted in steps of 0.0001; ask for 0 or more than that"
            }
        })
    }
}

impl core::error::Error for AmountError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn reads_and_writes_as_people_do() {
        for (units, text) in
            [(0.0, "0"), (0.5, "0.5"), (1.0, "1"), (0.1 + 0.2, "0.3"), (0.0001, "0.0001"), (2.25, "2.25")]
        {
            assert_eq!(Amount::from_f64(units).unwrap().to_string(), text);
        }
        assert_eq!(Amount::from_f64(1.0 / 3.0).unwrap().to_string(), "0.3333");
        assert_eq!(Amount::from_f64(1e9), Ok(Amount::MAX));
    }

    #[test]
    fn refuses_what_is_no_amount() {
        assert_eq!(Amount::from_f64(-0.1), Err(AmountError::Negative));
        assert_eq!(Amount::from_f64(f64::NAN), Err(AmountError::NotANumber));
        assert_eq!(Amount::from_f64(f64::INFINITY), Err(AmountError::TooLarge));
        assert_eq!(Amount::from_f64(f64::NEG_INFINITY), Err(AmountError::Negative));
        assert_eq!(Amount::from_f64(1e-5), Err(AmountError::TooSmall));
    }

    #[test]
    fn ten_tenths_are_one() {
        let tenth = Amount::from_f64(0.1).unwrap();
        assert_eq!((0..10).fold(Amount::ZERO, |sum, _| sum + tenth), Amount::ONE);
    }

    #[test]
    #[should_panic(expected = "2 taken from 1")]
    fn never_goes_below_zero() {
        let _ = Amount::ONE - Amount::from_units(2);
    }
}
