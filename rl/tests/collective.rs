//! Collective operations: results, the same bits on all ranks, dead ranks, and groups formed anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::time::{Duration, Instant};

use rayline::{Buf, ObjectRef, Tensor, put, task};
use rayline_rl::collective::{Collective, CollectiveError, ReduceOp};
use rayline_rl::nn::Random;

fn tensor(numbers: Vec<f32>) -> ObjectRef<Tensor<f32>> {
    put(Tensor::from(Buf::from(numbers)))
}

/// Random numbers for each rank.
fn inputs(ranks: usize, len: usize) -> Vec<Vec<f32>> {
    let numbers = |rank: usize| {
        let mut out = vec![0.0; len];
        Random::new(9, rank as u64).fill_normal(&mut out);
        out
    };
    (0..ranks).map(numbers).collect()
}

fn allreduce(group: &mut Collective, inputs: &[Vec<f32>], op: ReduceOp) -> Vec<Vec<f32>> {
    let results = group.allreduce(inputs.iter().cloned().map(tensor).collect(), op).unwrap();
    results.into_iter().map(|result| result.take().unwrap().into_data().into_vec()).collect()
}

#[test]
fn allreduce_is_the_sum_mean_or_maximum_in_the_same_bits_on_all_ranks() {
    for ranks in 1..=5 {
        let mut group = Collective::new(ranks).unwrap();
        for len in [0, 1, 3, 1_000] {
            let inputs = inputs(ranks, len);
            for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max] {
                let results = allreduce(&mut group, &inputs, op);
                assert_eq!(results.len(), ranks);
                assert!(results.iter().all(|result| *result == results[0]), "{ranks} ranks, {op:?}");
                assert_eq!(results, allreduce(&mut group, &inputs, op), "the same each time");
                for at in 0..len {
                    let column = inputs.iter().map(|input| f64::from(input[at]));
                    let want = match op {
                        ReduceOp::Sum => column.sum(),
                        ReduceOp::Mean => column.sum::<f64>() / ranks as f64,
                        ReduceOp::Max => column.fold(f64::NEG_INFINITY, f64::max),
                    };
                    let found = f64::from(results[0][at]);
                    assert!((found - want).abs() < 1e-5, "{ranks} ranks, {op:?}, {at}: {found} against {want}");
                }
            }
        }
    }
}

#[test]
fn allgather_gives_all_tensors_to_all_ranks() {
    let mut group = Collective::new(4).unwrap();
    let inputs: Vec<Vec<f32>> = (0..4).map(|rank| vec![rank as f32; rank]).collect();
    let results = group.allgather(inputs.iter().cloned().map(tensor).collect()).unwrap();
    for result in results {
        let found: Vec<Vec<f32>> = result.take().unwrap().into_iter().map(|t| t.into_data().into_vec()).collect();
        assert_eq!(found, inputs);
    }
}

#[test]
fn broadcast_gives_the_tensor_of_the_root_to_all() {
    let mut group = Collective::new(3).unwrap();
    for root in 0..3 {
        let results = group.broadcast(root, tensor(vec![root as f32, 7.0])).unwrap();
        assert_eq!(results.len(), 3);
        for result in results {
            assert_eq!(result.take().unwrap().data()[..], [root as f32, 7.0]);
        }
    }
    let error = group.broadcast(3, tensor(vec![])).err().unwrap();
    assert!(matches!(error, CollectiveError::NoRank { rank: 3, ranks: 3 }));
}

#[task]
fn late(milliseconds: u64) -> Tensor<f32> {
    std::thread::sleep(Duration::from_millis(milliseconds));
    Tensor::from(Buf::from(vec![1.0; 8]))
}

#[test]
fn operations_may_be_asked_for_before_their_tensors_are_there() {
    let mut group = Collective::new(2).unwrap();
    let begin = Instant::now();
    let slow = group.allreduce(vec![late::remote(300), tensor(vec![1.0; 8])], ReduceOp::Sum).unwrap();
    let again = group.allreduce(slow.clone(), ReduceOp::Sum).unwrap();
    assert!(begin.elapsed() < Duration::from_millis(250), "the caller waited");
    assert_eq!(again[1].get().unwrap().data()[..], [4.0; 8]);
    assert!(begin.elapsed() >= Duration::from_millis(250));
    group.barrier().unwrap();
}

#[test]
fn a_dead_rank_is_an_error_and_the_group_goes_on_once_it_is_formed_anew() {
    let mut group = Collective::new(4).unwrap();
    let inputs = inputs(4, 100);
    let before = allreduce(&mut group, &inputs, ReduceOp::Sum);
    group.ranks()[2].kill();
    while group.ranks()[2].arrive().get().is_ok() {}
    let failed = group.allreduce(inputs.iter().cloned().map(tensor).collect(), ReduceOp::Sum).unwrap();
    for (rank, result) in failed.into_iter().enumerate() {
        let error = result.get_timeout(Duration::from_secs(10)).unwrap_err();
        let is_incomplete = error.downcast_ref::<CollectiveError>().is_some();
        assert_eq!(is_incomplete, rank != 2, "rank {rank}: {error}");
    }
    let error = group.barrier().unwrap_err();
    assert!(matches!(error, CollectiveError::Dead { rank: 2, .. }), "{error}");
    assert_eq!(group.reform(), [2]);
    group.barrier().unwrap();
    assert!(group.reform().is_empty());
    assert_eq!(allreduce(&mut group, &inputs, ReduceOp::Sum), before);
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    assert!(matches!(Collective::new(0), Err(CollectiveError::Empty)));
    let mut group = Collective::new(2).unwrap();
    let error = group.allreduce(vec![tensor(vec![1.0])], ReduceOp::Sum).err().unwrap();
    assert_eq!(error.to_string(), "1 tensors for 2 ranks: give one for each, in the order of the ranks");
    let results = group.allreduce(vec![tensor(vec![1.0; 4]), tensor(vec![1.0; 6])], ReduceOp::Sum).unwrap();
    for result in results {
        let error = result.get_timeout(Duration::from_secs(10)).unwrap_err();
        assert!(error.downcast_ref::<CollectiveError>().is_some(), "{error}");
    }
    assert_eq!(allreduce(&mut group, &[vec![1.0], vec![2.0]], ReduceOp::Sum), [[3.0], [3.0]]);
}
