//! Who has what of a node or a bundle.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::demand::{Bytes, named_amount};
use super::{Amount, Capacity, Demand, Infeasible};

/// Part of one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceShare {
    /// The device's index on its machine.
    pub index: u32,
    /// How much of the device: 1, or a fraction.
    pub share: Amount,
}

/// Resources taken from a [`Ledger`], to be given back to the same one, once.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    cpu: Amount,
    slots: Vec<u32>,
    memory_bytes: u64,
    devices: Vec<DeviceShare>,
    named: Vec<(Arc<str>, Amount)>,
}

impl Grant {
    /// CPUs held, slots included.
    pub const fn cpu(&self) -> Amount {
        self.cpu
    }

    /// Indices of the whole CPUs held.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Bytes of host memory held.
    pub const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// GPUs held: one fraction, or whole devices.
    pub fn devices(&self) -> &[DeviceShare] {
        &self.devices
    }

    /// Named resources held, sorted by name.
    pub fn named(&self) -> &[(Arc<str>, Amount)] {
        &self.named
    }

    /// Splits the CPUs off, for a holder that blocks.
    pub(crate) fn split_cpus(&mut self) -> Grant {
        let (cpu, slots) = (core::mem::take(&mut self.cpu), core::mem::take(&mut self.slots));
        Grant { cpu, slots, ..Grant::default() }
    }

    /// Takes CPUs back in, after [`Grant::split_cpus`].
    pub(crate) fn join_cpus(&mut self, cpus: Grant) {
        self.cpu = self.cpu + cpus.cpu;
        self.slots.extend(cpus.slots);
    }
}

impl fmt::Display for Grant {
    /// Amounts, with the slots and devices in brackets: `{cpu: 2.5 [0, 3], gpu: 0.5 [1]}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "{";
        if !self.cpu.is_zero() {
            write!(f, "{comma}cpu: {} {:?}", self.cpu, self.slots)?;
            comma = ", ";
        }
        if self.memory_bytes > 0 {
            write!(f, "{comma}memory: {}", Bytes(self.memory_bytes))?;
            comma = ", ";
        }
        if !self.devices.is_empty() {
            let gpu = self.devices.iter().fold(Amount::ZERO, |sum, held| sum + held.share);
            let indices: Vec<u32> = self.devices.iter().map(|held| held.index).collect();
            write!(f, "{comma}gpu: {gpu} {indices:?}")?;
            comma = ", ";
        }
        for (name, amount) in &self.named {
            write!(f, "{comma}{name}: {amount}")?;
            comma = ", ";
        }
        f.write_str(if comma == "{" { "{}" } else { "}" })
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Capacity minus grants. Invariant LED-1: what is free plus what is granted is the capacity, for every resource, slot
/// and device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    capacity: Capacity,
    cpu: Amount,
    /// By position in the capacity's slots: whether it is granted.
    slots_granted: Vec<bool>,
    memory_bytes: u64,
    /// By position in the capacity's GPUs: the share that is free.
    gpus: Vec<Amount>,
    /// By position in the capacity's named resources: what is free.
    named: Vec<Amount>,
}

impl Ledger {
    /// A ledger of which all is free.
    pub fn new(capacity: Capacity) -> Ledger {
        Ledger {
            cpu: capacity.cpu(),
            slots_granted: capacity.slots().iter().map(|_| false).collect(),
            memory_bytes: capacity.memory_bytes(),
            gpus: capacity.gpus().iter().map(|gpu| gpu.share).collect(),
            named: capacity.named().iter().map(|(_, amount)| *amount).collect(),
            capacity,
        }
    }

    /// Takes what `demand` asks for: the lowest free slots; for a fraction of a GPU the fullest device that still fits
    /// it, for whole GPUs the lowest free devices. `None`, and nothing taken, where it doesn't fit now.
    pub fn take(&mut self, demand: &Demand) -> Option<Grant> {
        if !self.fits(demand) {
            return None;
        }
        let grant = Grant {
            cpu: demand.cpu(),
            slots: self.take_slots(demand.cpu().whole_units()),
            memory_bytes: demand.memory_bytes(),
            devices: self.take_devices(demand.gpu()),
            named: demand.named().to_vec(),
        };
        self.cpu = self.cpu - grant.cpu;
        self.memory_bytes -= grant.memory_bytes;
        for (name, amount) in &grant.named {
            let at = self.named_position(name);
            self.named[at] = self.named[at] - *amount;
        }
        Some(grant)
    }

    /// Gives back what [`Ledger::take`] took.
    ///
    /// # Panics
    /// Where the grant isn't this ledger's, or was given back before (LED-1).
    pub fn release(&mut self, grant: &Grant) {
        self.cpu = self.cpu + grant.cpu;
        self.memory_bytes += grant.memory_bytes;
        for slot in &grant.slots {
            let at = self.capacity.slots().binary_search(slot).expect("LED-1: a grant's slots are its ledger's");
            assert!(core::mem::take(&mut self.slots_granted[at]), "LED-1: slot {slot} given back twice");
        }
        for held in &grant.devices {
            let at = self.capacity.gpus().iter().position(|gpu| gpu.index == held.index);
            let at = at.expect("LED-1: a grant's devices are its ledger's");
            self.gpus[at] = self.gpus[at] + held.share;
        }
        for (name, amount) in &grant.named {
            let at = self.named_position(name);
            self.named[at] = self.named[at] + *amount;
        }
        self.check();
    }

    /// Whether `demand` can be taken now.
    pub fn fits(&self, demand: &Demand) -> bool {
        self.fits_beside(demand, &Demand::nothing())
    }

    /// Whether `demand` can be taken now and leaves what is free of `reserved` alone. Where both want GPUs the answer is
    /// no: which device a waiting demand will get is not known before it gets it.
    pub(crate) fn fits_beside(&self, demand: &Demand, reserved: &Demand) -> bool {
        let wants_gpu = !demand.gpu().is_zero();
        let spare = self.cpu.saturating_sub(reserved.cpu());
        (demand.cpu().is_zero() || demand.cpu() <= spare)
            && (demand.memory_bytes() == 0
                || demand.memory_bytes() <= self.memory_bytes.saturating_sub(reserved.memory_bytes()))
            && (!wants_gpu || (reserved.gpu().is_zero() && self.fits_gpu(demand.gpu())))
            && demand.named().iter().all(|(name, amount)| {
                *amount <= self.free_named(name).saturating_sub(named_amount(reserved.named(), name))
            })
    }

    /// Whether the whole capacity could ever meet `demand`.
    ///
    /// # Errors
    /// [`Infeasible`] with the first resource that falls short.
    pub fn feasible_ever(&self, demand: &Demand) -> Result<(), Infeasible> {
        self.capacity.feasible_ever(demand)
    }

    /// What there is in all.
    pub const fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// CPUs free.
    pub const fn free_cpu(&self) -> Amount {
        self.cpu
    }

    /// Bytes of host memory free.
    pub const fn free_memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// What is free of each GPU, in the order of [`Capacity::gpus`].
    pub fn free_gpus(&self) -> &[Amount] {
        &self.gpus
    }

    /// What is free of the resource called `name`.
    pub fn free_named(&self, name: &str) -> Amount {
        let named = self.capacity.named();
        named.binary_search_by(|(known, _)| (**known).cmp(name)).map_or(Amount::ZERO, |at| self.named[at])
    }

    /// Whether nothing is granted.
    pub fn is_unused(&self) -> bool {
        *self == Ledger::new(self.capacity.clone())
    }

    /// Asserts LED-1 as far as one ledger can see it: nothing is freer than its capacity, and slots fit the CPUs.
    ///
    /// # Panics
    /// Where it doesn't hold.
    pub fn check(&self) {
        let capacity = &self.capacity;
        assert!(self.cpu <= capacity.cpu(), "LED-1: {} of {} cpu free", self.cpu, capacity.cpu());
        assert!(self.memory_bytes <= capacity.memory_bytes(), "LED-1: more memory free than there is");
        for (free, gpu) in self.gpus.iter().zip(capacity.gpus()) {
            assert!(*free <= gpu.share, "LED-1: {free} of gpu {} free", gpu.index);
        }
        for (free, (name, all)) in self.named.iter().zip(capacity.named()) {
            assert!(free <= all, "LED-1: {free} of {all} {name} free");
        }
        let idle_slots = self.slots_granted.iter().filter(|granted| !**granted).count() as u64;
        assert!(idle_slots >= self.cpu.whole_units(), "LED-1: {idle_slots} slots for {} free cpu", self.cpu);
    }

    fn fits_gpu(&self, gpu: Amount) -> bool {
        if gpu < Amount::ONE {
            return self.gpus.iter().any(|free| *free >= gpu);
        }
        self.gpus.iter().filter(|free| **free == Amount::ONE).count() as u64 >= gpu.whole_units()
    }

    fn take_slots(&mut self, count: u64) -> Vec<u32> {
        let mut slots = Vec::with_capacity(count as usize);
        for (slot, granted) in self.capacity.slots().iter().zip(&mut self.slots_granted) {
            if slots.len() as u64 == count {
                break;
            }
            if !*granted {
                *granted = true;
                slots.push(*slot);
            }
        }
        assert_eq!(slots.len() as u64, count, "LED-1: free CPUs without a slot");
        slots
    }

    fn take_devices(&mut self, gpu: Amount) -> Vec<DeviceShare> {
        if gpu.is_zero() {
            return Vec::new();
        }
        if gpu < Amount::ONE {
            let fitting = (0..self.gpus.len()).filter(|at| self.gpus[*at] >= gpu);
            let fullest = fitting.min_by_key(|at| self.gpus[*at]).expect("it fits");
            return Vec::from([self.take_share(fullest, gpu)]);
        }
        let free = (0..self.gpus.len()).filter(|at| self.gpus[*at] == Amount::ONE);
        let chosen: Vec<usize> = free.take(gpu.whole_units() as usize).collect();
        chosen.into_iter().map(|at| self.take_share(at, Amount::ONE)).collect()
    }

    fn take_share(&mut self, at: usize, share: Amount) -> DeviceShare {
        self.gpus[at] = self.gpus[at] - share;
        DeviceShare { index: self.capacity.gpus()[at].index, share }
    }

    fn named_position(&self, name: &str) -> usize {
        let named = self.capacity.named();
        named.binary_search_by(|(known, _)| (**known).cmp(name)).expect("LED-1: a grant's names are its ledger's")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(units: f64) -> Amount {
        Amount::from_f64(units).unwrap()
    }

    fn gpu(units: f64) -> Demand {
        Demand::nothing().with_gpu(amount(units)).unwrap()
    }

    fn four_gpus() -> Ledger {
        let capacity = Capacity::cpus(amount(4.0));
        Ledger::new((0..4).fold(capacity, |capacity, index| capacity.with_gpu(index, 80 << 30)))
    }

    fn share_of(ledger: &mut Ledger, units: f64) -> u32 {
        ledger.take(&gpu(units)).unwrap().devices()[0].index
    }

    #[test]
    fn a_fraction_sits_on_the_fullest_device_that_fits() {
        let mut ledger = four_gpus();
        assert_eq!(share_of(&mut ledger, 0.5), 0);
        assert_eq!(share_of(&mut ledger, 0.6), 1);
        assert_eq!(share_of(&mut ledger, 0.3), 1, "0.4 is left of device 1, 0.5 of device 0");
        assert_eq!(share_of(&mut ledger, 0.5), 0);
        assert_eq!(share_of(&mut ledger, 0.2), 2, "0.1 is left of device 1, none of device 0");
        assert_eq!(ledger.free_gpus(), [amount(0.0), amount(0.1), amount(0.8), amount(1.0)]);
    }

    #[test]
    fn whole_devices_are_free_ones_and_a_fraction_never_straddles_two() {
        let mut ledger = four_gpus();
        let share = ledger.take(&gpu(0.5)).unwrap();
        let whole = ledger.take(&gpu(2.0)).unwrap();
        assert_eq!(whole.devices().iter().map(|held| held.index).collect::<Vec<_>>(), [1, 2]);
        assert!(ledger.take(&gpu(2.0)).is_none(), "1.5 devices are free, but only one is whole");
        assert_eq!(share_of(&mut ledger, 0.6), 3, "device 0 has only half left");
        assert!(!ledger.fits(&gpu(0.6)), "0.9 are free in all, but on two devices");
        ledger.release(&share);
        assert!(ledger.fits(&gpu(1.0)));
    }

    #[test]
    fn whole_cpus_get_slots_of_their_own() {
        let mut ledger = Ledger::new(Capacity::cpus(amount(3.5)));
        let fraction = ledger.take(&Demand::cpus(amount(0.5))).unwrap();
        let two = ledger.take(&Demand::cpus(amount(2.0))).unwrap();
        let mixed = ledger.take(&Demand::cpus(amount(1.0))).unwrap();
        assert!(fraction.slots().is_empty());
        assert_eq!((two.slots(), mixed.slots()), (&[0, 1][..], &[2][..]));
        assert!(!ledger.fits(&Demand::cpus(Amount::from_parts(1))));
        ledger.release(&two);
        assert_eq!(ledger.take(&Demand::cpus(amount(1.5))).unwrap().slots(), [0]);
    }

    #[test]
    #[should_panic(expected = "LED-1: slot 0 given back twice")]
    fn giving_back_twice_is_noticed() {
        let mut ledger = Ledger::new(Capacity::cpus(amount(2.0)));
        let grant = ledger.take(&Demand::cpus(Amount::ONE)).unwrap();
        let _other = ledger.take(&Demand::cpus(Amount::ONE)).unwrap();
        ledger.release(&grant);
        ledger.release(&grant);
    }

    #[test]
    fn what_is_reserved_stays_free() {
        let ledger = four_gpus();
        let reserved = Demand::cpus(amount(3.0));
        assert!(ledger.fits_beside(&Demand::cpus(amount(1.0)), &reserved));
        assert!(!ledger.fits_beside(&Demand::cpus(amount(1.5)), &reserved));
        assert!(ledger.fits_beside(&gpu(1.0), &reserved));
        assert!(!ledger.fits_beside(&gpu(0.1), &gpu(4.0)));
    }

    /// Every sequence of four demands out of these, against a small node: what is taken never exceeds what there is,
    /// and giving it back, in either order, restores the ledger exactly.
    #[test]
    fn exhaustively_grants_fit_and_releases_restore() {
        let capacity = Capacity::cpus(amount(2.0)).with_gpu(3, 100).with_gpu(5, 100).with_named("x", amount(1.0));
        let demands = [
            Demand::cpus(amount(0.5)),
            Demand::cpus(amount(1.0)).with_gpu(amount(0.7)).unwrap(),
            Demand::cpus(amount(1.5)),
            gpu(0.3),
            gpu(0.4),
            gpu(1.0),
            gpu(2.0),
            Demand::nothing().with_named("x", amount(0.4)),
        ];
        let n = demands.len();
        for choice in 0..n.pow(4) {
            let picks = [choice % n, choice / n % n, choice / n / n % n, choice / n / n / n];
            for newest_first in [false, true] {
                take_and_release(&capacity, picks.map(|pick| &demands[pick]), newest_first);
            }
        }
    }

    fn take_and_release(capacity: &Capacity, demands: [&Demand; 4], newest_first: bool) {
        let mut ledger = Ledger::new(capacity.clone());
        let mut held: Vec<(Ledger, Grant)> = Vec::new();
        for demand in demands {
            let before = ledger.clone();
            match ledger.take(demand) {
                Some(grant) => held.push((before, grant)),
                None => assert_eq!(ledger, before, "a refusal takes nothing"),
            }
            assert_within(capacity, &held);
            ledger.check();
        }
        if newest_first {
            while let Some((before, grant)) = held.pop() {
                ledger.release(&grant);
                assert_eq!(ledger, before);
            }
        } else {
            held.iter().for_each(|(_, grant)| ledger.release(grant));
        }
        assert!(ledger.is_unused(), "{ledger:?}");
    }

    fn assert_within(capacity: &Capacity, held: &[(Ledger, Grant)]) {
        let sum = |part: &dyn Fn(&Grant) -> Amount| held.iter().fold(Amount::ZERO, |sum, (_, grant)| sum + part(grant));
        assert!(sum(&|grant| grant.cpu()) <= capacity.cpu());
        assert!(sum(&|grant| named_amount(grant.named(), "x")) <= Amount::ONE);
        for gpu in capacity.gpus() {
            let on_device = |grant: &Grant| {
                let held = grant.devices().iter().filter(|held| held.index == gpu.index);
                held.fold(Amount::ZERO, |sum, held| sum + held.share)
            };
            assert!(sum(&on_device) <= Amount::ONE, "gpu {} is granted beyond its share", gpu.index);
        }
        let mut slots: Vec<u32> = held.iter().flat_map(|(_, grant)| grant.slots()).copied().collect();
        let count = slots.len();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), count, "a slot is granted twice");
    }
}
