//! Instructions, decoded.

use super::{Function, Type};

/// One instruction of a kernel.
#[derive(Debug)]
pub struct Instruction {
    /// Lanes that it doesn't name pass it by.
    pub guard: Option<Guard>,
    pub operation: Operation,
    /// As it was written: what a fault shows.
    pub text: String,
}

/// `@%p1` or `@!%p1`.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    pub register: u32,
    pub is_negated: bool,
}

/// What an instruction does. Registers are numbers within the kernel.
#[derive(Debug)]
pub enum Operation {
    /// Computes from the lane's own registers alone.
    Compute { function: Function, of: Type, to: u32, from: [Operand; 4] },
    /// Takes the bits of a value apart, the lowest first; `None` drops a part.
    Split { part: Type, to: Vec<Option<u32>>, from: Operand },
    /// Puts the bits of values together, the lowest first.
    Join { part: Type, to: u32, from: Vec<Operand> },
    /// Loads one element or a vector of them; `None` drops one.
    Load { of: Type, to: Vec<Option<u32>>, at: Address },
    /// Stores one element or a vector of them.
    Store { of: Type, from: Vec<Operand>, at: Address },
    /// Reads, changes and writes in one.
    Atomic { of: Type, update: Update, to: Option<u32>, at: Address, from: [Operand; 2] },
    /// Exchanges values among the lanes of a warp.
    Shuffle { mode: ShuffleMode, to: u32, is_valid: Option<u32>, value: Operand, lane: Operand, clamp: Operand },
    /// Asks all active lanes of a warp.
    Vote { mode: VoteMode, to: u32, value: Operand, is_negated: bool },
    /// Goes to the instruction of this number.
    Branch { target: usize },
    /// Ends the thread.
    Return,
    /// Waits for all threads of the block.
    Barrier,
    /// Orders memory, which is in order here anyway.
    Fence,
}

/// What an instruction reads.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    Register(u32),
    Value(u64),
    Special(Special),
}

/// Registers that tell a thread its place.
#[derive(Clone, Copy, Debug)]
pub enum Special {
    /// In the block, along an axis.
    Thread(usize),
    /// Threads of a block, along an axis.
    BlockSize(usize),
    /// In the grid, along an axis.
    Block(usize),
    /// Blocks of the grid, along an axis.
    GridSize(usize),
    Lane,
    Warp,
}

/// Where memory is accessed.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub base: Base,
    pub offset: i64,
}

/// What an address begins at.
#[derive(Clone, Copy, Debug)]
pub enum Base {
    /// In the parameters of the kernel, in bytes.
    Parameter(usize),
    Generic(Operand),
}

/// What an atomic operation makes of the value that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    Add,
    Minimum,
    Maximum,
    And,
    Or,
    Exchange,
    CompareAndSwap,
}

/// Whose value a lane gets.
#[derive(Clone, Copy, Debug)]
pub enum ShuffleMode {
    Up,
    Down,
    Butterfly,
    Index,
}

/// What is asked of a predicate over the active lanes.
#[derive(Clone, Copy, Debug)]
pub enum VoteMode {
    Ballot,
    Any,
    All,
}
