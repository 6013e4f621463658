//! What a task, an actor or a bundle asks for.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::Amount;

/// What is asked for, on one node. Ordered and comparable, so that equal demands share a scheduling class.
///
/// GPUs are whole devices (1, 2, ..) or a fraction below 1 of a single one; 1.5 is refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Demand {
    cpu: Amount,
    memory_bytes: u64,
    gpu: Amount,
    named: Vec<(Arc<str>, Amount)>,
}

impl Demand {
    /// Asks for nothing, which every node has.
    pub const fn nothing() -> Demand {
        Demand { cpu: Amount::ZERO, memory_bytes: 0, gpu: Amount::ZERO, named: Vec::new() }
    }

    /// Asks for `cpu` CPUs.
    pub const fn cpus(cpu: Amount) -> Demand {
        Demand { cpu, memory_bytes: 0, gpu: Amount::ZERO, named: Vec::new() }
    }

    /// The same, with `cpu` CPUs.
    #[must_use]
    pub fn with_cpu(mut self, cpu: Amount) -> Demand {
        self.cpu = cpu;
        self
    }

    /// The same, with `memory_bytes` of host memory.
    #[must_use]
    pub fn with_memory(mut self, memory_bytes: u64) -> Demand {
        self.memory_bytes = memory_bytes;
        self
    }

    /// The same, with `gpu` GPUs: a fraction below 1 of one device, or whole devices.
    ///
    /// # Errors
    /// [`DemandError::GpuNotWhole`] for an amount above 1 that is no whole number.
    pub fn with_gpu(mut self, gpu: Amount) -> Result<Demand, DemandError> {
        if gpu > Amount::ONE && !gpu.is_whole() {
            return Err(DemandError::GpuNotWhole { gpu });
        }
        self.gpu = gpu;
        Ok(self)
    }

    /// The same, with `amount` of the resource called `name`. The last amount given for a name counts; zero removes it.
    #[must_use]
    pub fn with_named(mut self, name: &str, amount: Amount) -> Demand {
        set_named(&mut self.named, name, amount);
        self
    }

    /// CPUs asked for.
    pub const fn cpu(&self) -> Amount {
        self.cpu
    }

    /// Bytes of host memory asked for.
    pub const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// GPUs asked for.
    pub const fn gpu(&self) -> Amount {
        self.gpu
    }

    /// Named resources asked for, sorted by name, none of them zero.
    pub fn named(&self) -> &[(Arc<str>, Amount)] {
        &self.named
    }

    /// Adds what `other` asks for. The sum is for keeping resources apart, and is no demand that can be granted where
    /// its GPUs are no longer whole; hence not public.
    pub(crate) fn add(&mut self, other: &Demand) {
        self.cpu = self.cpu + other.cpu;
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.gpu = self.gpu + other.gpu;
        for (name, amount) in &other.named {
            let sum = named_amount(&self.named, name) + *amount;
            set_named(&mut self.named, name, sum);
        }
    }
}

impl fmt::Display for Demand {
    /// `{cpu: 1, gpu: 0.5, license: 2}`; what is not asked for is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_resources(f, self.cpu, self.memory_bytes, self.gpu, &self.named)
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why something can't be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DemandError {
    /// More than one GPU, and not a whole number of them.
    GpuNotWhole {
        /// What was asked for.
        gpu: Amount,
    },
}

impl fmt::Display for DemandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemandError::GpuNotWhole { gpu } => write!(
                f,
                "gpu: {gpu} is neither a share of one device (below 1) nor a number of whole devices (1, 2, ..)"
            ),
        }
    }
}

impl core::error::Error for DemandError {}

/// The amount of the resource called `name` in a list sorted by name.
pub(super) fn named_amount(named: &[(Arc<str>, Amount)], name: &str) -> Amount {
    named.binary_search_by(|(known, _)| (**known).cmp(name)).map_or(Amount::ZERO, |at| named[at].1)
}

/// Sets the amount of the resource called `name` in a list sorted by name without zeros.
pub(super) fn set_named(named: &mut Vec<(Arc<str>, Amount)>, name: &str, amount: Amount) {
    match named.binary_search_by(|(known, _)| (**known).cmp(name)) {
        Ok(at) if amount.is_zero() => drop(named.remove(at)),
        Ok(at) => named[at].1 = amount,
        Err(_) if amount.is_zero() => {}
        Err(at) => named.insert(at, (Arc::from(name), amount)),
    }
}

/// Writes resources in braces, leaving out what is zero.
pub(super) fn write_resources(
    f: &mut fmt::Formatter<'_>,
    cpu: Amount,
    memory_bytes: u64,
    gpu: Amount,
    named: &[(Arc<str>, Amount)],
) -> fmt::Result {
    let mut comma = "{";
    if !cpu.is_zero() {
        write!(f, "{comma}cpu: {cpu}")?;
        comma = ", ";
    }
    if memory_bytes > 0 {
        write!(f, "{comma}memory: {}", Bytes(memory_bytes))?;
        comma = ", ";
    }
    if !gpu.is_zero() {
        write!(f, "{comma}gpu: {gpu}")?;
        comma = ", ";
    }
    for (name, amount) in named {
        write!(f, "{comma}{name}: {amount}")?;
        comma = ", ";
    }
    f.write_str(if comma == "{" { "{}" } else { "}" })
}

/// Writes a number of bytes exactly, in the largest unit that divides it.
pub(super) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn amount(units: f64) -> Amount {
        Amount::from_f64(units).unwrap()
    }

    #[test]
    fn writes_only_what_is_asked_for_sorted_by_name() {
        let demand = Demand::cpus(Amount::ONE)
            .with_gpu(amount(0.5))
            .unwrap()
            .with_named("license", amount(2.0))
            .with_named("arm", amount(0.1))
            .with_memory(3 << 30)
            .with_named("zero", Amount::ZERO);
        assert_eq!(demand.to_string(), "{cpu: 1, memory: 3 GiB, gpu: 0.5, arm: 0.1, license: 2}");
        assert_eq!(Demand::nothing().to_string(), "{}");
        assert_eq!(Demand::nothing().with_memory(1536).to_string(), "{memory: 1536 B}");
    }

    #[test]
    fn gpus_are_a_share_of_one_or_whole() {
        assert!(Demand::nothing().with_gpu(amount(2.0)).is_ok());
        let error = Demand::nothing().with_gpu(amount(1.5)).unwrap_err();
        assert!(error.to_string().contains("gpu: 1.5"), "{error}");
    }

    #[test]
    fn equal_demands_are_equal_however_they_were_put_together() {
        let one =
            Demand::nothing().with_named("a", Amount::ONE).with_named("b", Amount::ONE).with_named("c", Amount::ONE);
        let two = Demand::nothing().with_named("b", Amount::ONE).with_named("a", Amount::ONE);
        assert_eq!(one.with_named("c", Amount::ZERO), two);
    }
}
