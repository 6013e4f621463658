//! Amounts of resources as nodes report them, and as they are shown.

use rayline_core::resources::{Amount, Capacity, Demand, Ledger};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Amounts of resources: what a node has, what is free of it, or what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs.
    pub cpu: Units,
    /// GPUs.
    pub gpu: Units,
    /// Host memory in bytes.
    pub memory_bytes: u64,
    /// Resources of one's own, by name.
    pub named: BTreeMap<String, Units>,
}

/// An amount, written as a number of units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units(Amount);

impl Resources {
    /// All of a node.
    pub(super) fn of(capacity: &Capacity) -> Resources {
        let named = capacity.named().iter().map(|(name, amount)| (name.to_string(), Units(*amount)));
        Resources {
            cpu: Units(capacity.cpu()),
            gpu: Units(capacity.gpus().iter().fold(Amount::ZERO, |sum, gpu| sum + gpu.share)),
            memory_bytes: capacity.memory_bytes(),
            named: named.collect(),
        }
    }

    /// What is free of a node.
    pub(super) fn free_of(ledger: &Ledger) -> Resources {
        let free = |(name, _): &(std::sync::Arc<str>, Amount)| (name.to_string(), Units(ledger.free_named(name)));
        Resources {
            cpu: Units(ledger.free_cpu()),
            gpu: Units(ledger.free_gpus().iter().fold(Amount::ZERO, |sum, share| sum + *share)),
            memory_bytes: ledger.free_memory_bytes(),
            named: ledger.capacity().named().iter().map(free).collect(),
        }
    }

    /// What is asked for.
    pub(super) fn asked(demand: &Demand) -> Resources {
        let named = demand.named().iter().map(|(name, amount)| (name.to_string(), Units(*amount)));
        Resources {
            cpu: Units(demand.cpu()),
            gpu: Units(demand.gpu()),
            memory_bytes: demand.memory_bytes(),
            named: named.collect(),
        }
    }

    /// What is left without `free`.
    pub(super) fn without(&self, free: &Resources) -> Resources {
        let named = self.named.iter().map(|(name, units)| {
            let free = free.named.get(name).copied().unwrap_or_default();
            (name.clone(), units.without(free))
        });
        Resources {
            cpu: self.cpu.without(free.cpu),
            gpu: self.gpu.without(free.gpu),
            memory_bytes: self.memory_bytes.saturating_sub(free.memory_bytes),
            named: named.collect(),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn and(mut self, other: &Resources) -> Resources {
        self.cpu.0 = self.cpu.0 + other.cpu.0;
        self.gpu.0 = self.gpu.0 + other.gpu.0;
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        for (name, units) in &other.named {
            let sum = self.named.entry(name.clone()).or_default();
            sum.0 = sum.0 + units.0;
        }
        self
    }
}

impl Units {
    /// As a number, which is exact: amounts have four digits after the point, and at most thirteen in all.
    pub fn as_f64(self) -> f64 {
        self.0.parts() as f64 / Amount::ONE.parts() as f64
    }

    fn without(self, other: Units) -> Units {
        Units(self.0.saturating_sub(other.0))
    }
}

impl Serialize for Units {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = f64::deserialize(deserializer)?;
        Amount::from_f64(units).map(Units).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_numbers_and_come_back_the_same() {
        let capacity = Capacity::cpus(Amount::from_f64(2.3).unwrap()).with_named("license", Amount::from_parts(1));
        let resources = Resources::of(&capacity);
        let json = serde_json::to_string(&resources).unwrap();
        assert_eq!(json, r#"{"cpu":2.3,"gpu":0.0,"memory_bytes":0,"named":{"license":0.0001}}"#);
        assert_eq!(serde_json::from_str::<Resources>(&json).unwrap(), resources);
        assert_eq!(resources.without(&Resources::free_of(&Ledger::new(capacity))).cpu, Units::default());
    }
}
