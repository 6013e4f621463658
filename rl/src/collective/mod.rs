//! Collective operations on tensors over a group of actors: allreduce, broadcast, allgather, barrier.
//!
//! The driver says who does what, and never touches a number: each step is a call of an actor whose argument is the value
//! of the call before it, on another actor. So bytes go from actor to actor as all values do, in place within a process,
//! and a rank works as soon as what it needs is there. All calls of an operation are made at once.
//!
//! An allreduce over `n` ranks cuts the tensor into `n` chunks, each summed on its way around the ring and then handed
//! around once more (Patarasuk & Yuan 2009). Each rank sends `2 (n - 1) / n` of the tensor, however many there are:
//!
//! ```text
//!            reduce-scatter                           allgather
//! chunk 0    rank 0 --> rank 1 --> rank 2 (sum)  -->  rank 0 --> rank 1
//! chunk 1    rank 1 --> rank 2 --> rank 0 (sum)  -->  rank 1 --> rank 2
//! chunk 2    rank 2 --> rank 0 --> rank 1 (sum)  -->  rank 2 --> rank 0
//! ```
//!
//! Each chunk is summed once, in one order: all ranks get the same bits, and the same each time.
//!
//! ```
//! use rayline::{Buf, ObjectRef, Tensor, put};
//! use rayline_rl::collective::{Collective, ReduceOp};
//!
//! let mut group = Collective::new(3)?;
//! let inputs = (0..3).map(|rank| put(Tensor::from(Buf::from(vec![rank as f32; 5])))).collect();
//! for sum in group.allreduce(inputs, ReduceOp::Sum)? {
//!     assert_eq!(sum.get().unwrap().data()[..], [3.0; 5]);
//! }
//! # Ok::<(), rayline_rl::collective::CollectiveError>(())
//! ```

mod chunk;
mod error;
mod group;
mod rank;

pub use chunk::{Chunk, ReduceOp};
pub use error::CollectiveError;
pub use group::Collective;
pub use rank::{Rank, RankRef};
