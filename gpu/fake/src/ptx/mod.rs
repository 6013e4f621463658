//! PTX, read into instructions that can be run.

mod body;
mod decode;
mod function;
mod instruction;
mod module;
mod types;

pub use self::{
    function::Function,
    instruction::{Address, Base, Guard, Instruction, Operand, Operation, ShuffleMode, Special, Update, VoteMode},
    module::{Kernel, Module},
    types::{Kind, Type},
};

/// Set in generic addresses that lie in the shared memory of a block.
pub const SHARED_WINDOW: u64 = 1 << 60;
