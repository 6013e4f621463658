//! Bindings of libibverbs, loaded at run time: building needs neither rdma-core nor its headers.

pub mod abi;
mod layout;
mod table;

pub use self::table::Verbs;
