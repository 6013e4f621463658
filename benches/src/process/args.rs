//! Large arguments of tasks in other processes.

use super::tasks::one_worker;
use crate::metric::{Metric, times};
use anyhow::Result;
use rayline::Buf;
use rayline::prelude::*;

#[task]
fn length(tensor: &Tensor<f32>) -> u64 {
    tensor.data().len() as u64
}

/// One task at a time, given a reference to a tensor of 100 MB that was put once.
pub fn by_reference(_: usize) -> Result<Metric> {
    const LEN: usize = 25_000_000;
    let _runtime = one_worker()?;
    let tensor = put(Tensor::from(Buf::from(vec![0.5_f32; LEN])));
    let found = || length::remote(&tensor).get().expect("a task that can't fail");
    let times = times(5_000, || assert_eq!(found(), LEN as u64));
    Ok(Metric::latency("ref_arg_100MB", &times).with("processes", 1))
}
