//! Resources: what is asked for ([`Demand`]), what there is ([`Capacity`]), and who has what ([`Ledger`], [`Grant`]).
//! Amounts are fixed-point and exact.
//!
//! CPUs are an amount, and each whole CPU of a grant is also a concrete slot; fractions share what no slot holds. GPUs
//! are instances: a fraction sits on one device, whole ones are whole free devices.
//! Source: Moritz et al., OSDI'18, §4.2.2 (resource-aware scheduling).

mod amount;
mod capacity;
mod demand;
mod ledger;

pub use amount::{Amount, AmountError};
pub use capacity::{Capacity, Gpu, Infeasible};
pub use demand::{Demand, DemandError};
pub use ledger::{DeviceShare, Grant, Ledger};
