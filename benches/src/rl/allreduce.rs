//! Allreduce over actors.

use crate::metric::Metric;
use anyhow::Result;
use rayline::{Buf, ObjectRef, Tensor, put};
use rayline_rl::collective::{Collective, ReduceOp};
use std::time::Instant;

const RANKS: usize = 4;
const BYTES: usize = 100_000_000;

/// Milliseconds until the sum of 100 MB of each of 4 actors is with all of them, in one process; beside it, how long one
/// thread takes to copy 100 MB into new memory.
pub fn allreduce(reps: usize) -> Result<Metric> {
    let mut group = Collective::new(RANKS)?;
    let numbers = |rank: usize| vec![rank as f32; BYTES / size_of::<f32>()];
    let inputs: Vec<ObjectRef<Tensor<f32>>> =
        (0..RANKS).map(|rank| put(Tensor::from(Buf::from(numbers(rank))))).collect();
    let mut run = || -> Result<f64> {
        let begin = Instant::now();
        let results = group.allreduce(inputs.clone(), ReduceOp::Sum)?;
        for result in results {
            let sum = result.take()?;
            anyhow::ensure!(sum.data()[0] == 6.0 && sum.len() == BYTES / size_of::<f32>(), "a wrong sum");
        }
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    };
    run()?;
    let values = (0..reps).map(|_| run()).collect::<Result<Vec<_>>>()?;
    let copies = (0..reps).map(|_| copy_ms(&numbers(1))).collect();
    let copy = Metric::of("", "ms", copies);
    let metric = Metric::of("allreduce", "ms", values).with("ranks", RANKS).with("bytes", BYTES);
    Ok(metric.with("copy_ms", copy.value))
}

fn copy_ms(numbers: &[f32]) -> f64 {
    let begin = Instant::now();
    std::hint::black_box(numbers.to_vec());
    begin.elapsed().as_secs_f64() * 1e3
}
