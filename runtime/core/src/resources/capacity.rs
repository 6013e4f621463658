//! What there is.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::demand::{Bytes, named_amount, set_named, write_resources};
use super::{Amount, Demand, Grant};

/// One GPU, as far as scheduling goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The device's index on its machine.
    pub index: u32,
    /// How much of it there is: 1 on a node, less in a bundle that holds a fraction.
    pub share: Amount,
    /// Bytes of device memory, in proportion to the share.
    pub memory_bytes: u64,
}

/// What a node, or a bundle of a placement group, has to give.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capacity {
    cpu: Amount,
    slots: Vec<u32>,
    memory_bytes: u64,
    gpus: Vec<Gpu>,
    named: Vec<(Arc<str>, Amount)>,
}

impl Capacity {
    /// `cpu` CPUs and nothing else; the whole ones become slots 0, 1, ..
    pub fn cpus(cpu: Amount) -> Capacity {
        let slots = u32::try_from(cpu.whole_units()).unwrap_or(u32::MAX);
        Capacity { cpu, slots: (0..slots).collect(), ..Capacity::default() }
    }

    /// The same, with `memory_bytes` of host memory.
    #[must_use]
    pub fn with_memory(mut self, memory_bytes: u64) -> Capacity {
        self.memory_bytes = memory_bytes;
        self
    }

    /// The same, with one more whole GPU.
    #[must_use]
    pub fn with_gpu(mut self, index: u32, memory_bytes: u64) -> Capacity {
        self.gpus.push(Gpu { index, share: Amount::ONE, memory_bytes });
        self
    }

    /// The same, with `amount` of the resource called `name`.
    #[must_use]
    pub fn with_named(mut self, name: &str, amount: Amount) -> Capacity {
        set_named(&mut self.named, name, amount);
        self
    }

    /// CPUs.
    pub const fn cpu(&self) -> Amount {
        self.cpu
    }

    /// Indices of the whole CPUs.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Bytes of host memory.
    pub const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// GPUs.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// Named resources, sorted by name.
    pub fn named(&self) -> &[(Arc<str>, Amount)] {
        &self.named
    }

    /// Whether all of it together could ever meet `demand`.
    ///
    /// # Errors
    /// [`Infeasible`] with the first resource that falls short.
    pub fn feasible_ever(&self, demand: &Demand) -> Result<(), Infeasible> {
        match self.shortfall(demand) {
            None => Ok(()),
            Some(has) => Err(Infeasible { asked: demand.clone(), has, of: Holder::Node }),
        }
    }

    /// What `grant` holds, as the capacity of a bundle. Device memory is shared out in proportion.
    pub(crate) fn of_grant(&self, grant: &Grant) -> Capacity {
        let gpus = grant.devices().iter().map(|held| {
            let device =
                self.gpus.iter().find(|gpu| gpu.index == held.index).expect("a grant's devices are its node's");
            let memory = u128::from(device.memory_bytes) * held.share.parts() as u128 / device.share.parts() as u128;
            Gpu { index: held.index, share: held.share, memory_bytes: memory as u64 }
        });
        Capacity {
            cpu: grant.cpu(),
            slots: grant.slots().to_vec(),
            memory_bytes: grant.memory_bytes(),
            gpus: gpus.collect(),
            named: grant.named().to_vec(),
        }
    }

    /// What there is of the first resource that falls short.
    fn shortfall(&self, demand: &Demand) -> Option<Has> {
        if demand.cpu() > self.cpu {
            return Some(Has::Cpu(self.cpu));
        }
        if demand.memory_bytes() > self.memory_bytes {
            return Some(Has::Memory(self.memory_bytes));
        }
        if let Some(has) = self.gpu_shortfall(demand.gpu()) {
            return Some(has);
        }
        let short = demand.named().iter().find(|(name, amount)| *amount > named_amount(&self.named, name));
        short.map(|(name, _)| Has::Named(name.clone(), named_amount(&self.named, name)))
    }

    fn gpu_shortfall(&self, gpu: Amount) -> Option<Has> {
        if gpu < Amount::ONE {
            let largest = self.gpus.iter().map(|gpu| gpu.share).max().unwrap_or_default();
            return (gpu > largest).then_some(Has::Gpu(largest));
        }
        let whole = self.gpus.iter().filter(|gpu| gpu.share == Amount::ONE).count() as u32;
        let whole = Amount::from_units(whole);
        (gpu > whole).then_some(Has::Gpu(whole))
    }
}

impl fmt::Display for Capacity {
    /// `{cpu: 8, memory: 32 GiB, gpu: 2}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gpu = self.gpus.iter().fold(Amount::ZERO, |sum, gpu| sum + gpu.share);
        write_resources(f, self.cpu, self.memory_bytes, gpu, &self.named)
    }
}

impl fmt::Debug for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A demand that can never be met, however long one waits, with what there is of the resource that falls short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infeasible {
    asked: Demand,
    has: Has,
    of: Holder,
}

impl Infeasible {
    /// What was asked for.
    pub const fn asked(&self) -> &Demand {
        &self.asked
    }

    /// The same, said of the largest of several nodes.
    pub(crate) fn of_largest_node(mut self) -> Infeasible {
        self.of = Holder::LargestNode;
        self
    }

    /// The same, said of a bundle.
    pub(crate) fn of_bundle(mut self) -> Infeasible {
        self.of = Holder::Bundle;
        self
    }

    /// Of two nodes that fall short of one demand, the answer of the one that comes closer.
    pub(crate) fn closer(self, other: Infeasible) -> Infeasible {
        if other.has.is_more_than(&self.has) { other } else { self }
    }
}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (holder, advice) = match self.of {
            Holder::Node => ("the node", "lower the demand or add a node"),
            Holder::LargestNode => ("the largest node", "lower the demand or add a node"),
            Holder::Bundle => ("the bundle", "lower the demand or reserve a larger bundle"),
        };
        write!(f, "needs {}, but {holder} has {}; {advice}", self.asked, self.has)
    }
}

impl core::error::Error for Infeasible {}

/// What there is of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Has {
    Cpu(Amount),
    Memory(u64),
    Gpu(Amount),
    Named(Arc<str>, Amount),
}

impl Has {
    /// Whether it is more of the same resource, or the shortfall of a resource that is looked at later.
    fn is_more_than(&self, other: &Has) -> bool {
        match (self, other) {
            (Has::Cpu(this), Has::Cpu(that)) | (Has::Gpu(this), Has::Gpu(that)) => this > that,
            (Has::Memory(this), Has::Memory(that)) => this > that,
            (Has::Named(one, this), Has::Named(two, that)) => (one, this) > (two, that),
            _ => self.rank() > other.rank(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Has::Cpu(_) => 0,
            Has::Memory(_) => 1,
            Has::Gpu(_) => 2,
            Has::Named(..) => 3,
        }
    }
}

impl fmt::Display for Has {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Has::Cpu(amount) => write!(f, "cpu: {amount}"),
            Has::Memory(bytes) => write!(f, "memory: {}", Bytes(*bytes)),
            Has::Gpu(amount) => write!(f, "gpu: {amount}"),
            Has::Named(name, amount) => write!(f, "{name}: {amount}"),
        }
    }
}

/// Whose resources fall short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Holder {
    Node,
    LargestNode,
    Bundle,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn says_what_falls_short_and_what_to_do() {
        let two = Capacity::cpus(Amount::from_units(2)).with_memory(1 << 30).with_gpu(0, 80 << 30);
        let cpu = two.feasible_ever(&Demand::cpus(Amount::from_units(64))).unwrap_err();
        assert_eq!(
            cpu.of_largest_node().to_string(),
            "needs {cpu: 64}, but the largest node has cpu: 2; lower the demand or add a node"
        );
        let gpu = two.feasible_ever(&Demand::nothing().with_gpu(Amount::from_units(2)).unwrap()).unwrap_err();
        assert_eq!(gpu.to_string(), "needs {gpu: 2}, but the node has gpu: 1; lower the demand or add a node");
        let named = two.feasible_ever(&Demand::nothing().with_named("license", Amount::ONE)).unwrap_err();
        assert_eq!(
            named.to_string(),
            "needs {license: 1}, but the node has license: 0; lower the demand or add a node"
        );
        assert!(two.feasible_ever(&Demand::cpus(Amount::from_units(2)).with_memory(1 << 30)).is_ok());
    }

    #[test]
    fn of_two_nodes_the_closer_one_answers() {
        let small =
            Capacity::cpus(Amount::from_units(2)).feasible_ever(&Demand::cpus(Amount::from_units(9))).unwrap_err();
        let large =
            Capacity::cpus(Amount::from_units(8)).feasible_ever(&Demand::cpus(Amount::from_units(9))).unwrap_err();
        assert_eq!(small.clone().closer(large.clone()), large);
        assert_eq!(large.clone().closer(small), large);
    }
}
