//! Trees of tasks that join what evaluators bring in and sum the gradient, so that the driver gets one value of each.
//!
//! Their shape is that of [`tree`] and depends on the number of parts alone: who is in first changes nothing.

use rayline::{Buf, ObjectRef, Tensor, put, task};

use super::gradient::add;
use super::tree::{ARITY, tree};
use super::{Directions, Harvest};

/// Multiplications from which a gradient is worth a tree of tasks; below, the driver has summed it before they start.
const TASKS_WORK_MIN: usize = 1 << 20;

/// The harvest of all `parts`, joined in their order by a tree of tasks: of them all, or none where one has failed.
/// `None` without parts.
pub fn join_all(parts: Vec<ObjectRef<Harvest>>) -> Option<ObjectRef<Harvest>> {
    let nothing = put(Harvest::default());
    tree(parts, |group| {
        let [a, b, c, d] = filled(group, &nothing);
        join::remote(a, b, c, d)
    })
}

/// The sum of `directions` of the table `noise`: by a tree of tasks where it is large, and the same bits anywhere.
///
/// # Errors
/// What a task failed with.
pub fn sum_all(noise: &ObjectRef<Tensor<f32>>, directions: Directions) -> rayline::Result<Vec<f32>> {
    if directions.work() < TASKS_WORK_MIN {
        return Ok(directions.sum(noise.read()?.data()));
    }
    let nothing = put(Tensor::from(Buf::from(Vec::new())));
    let parts = directions.parts();
    let directions = put(directions);
    let parts = (0..parts).map(|part| part_sum::remote(noise, &directions, part)).collect();
    let sum = tree(parts, |group| {
        let [a, b, c, d] = filled(group, &nothing);
        add_sums::remote(a, b, c, d)
    });
    Ok(sum.map_or_else(|| Ok(Tensor::from(Buf::default())), ObjectRef::take)?.into_data().into_vec())
}

/// As many references as a join takes, `nothing` for those that a group lacks.
fn filled<T>(group: Vec<ObjectRef<T>>, nothing: &ObjectRef<T>) -> [ObjectRef<T>; ARITY] {
    let mut group = group.into_iter();
    std::array::from_fn(|_| group.next().unwrap_or_else(|| nothing.clone()))
}

#[task]
fn join(a: &Harvest, b: &Harvest, c: &Harvest, d: &Harvest) -> Harvest {
    let mut all = a.clone();
    [b, c, d].into_iter().for_each(|later| all.join(later));
    all
}

#[task]
fn part_sum(noise: &Tensor<f32>, directions: &Directions, part: usize) -> Tensor<f32> {
    Tensor::from(Buf::from(directions.part(noise.data(), part)))
}

#[task]
fn add_sums(a: &Tensor<f32>, b: &Tensor<f32>, c: &Tensor<f32>, d: &Tensor<f32>) -> Tensor<f32> {
    let mut sum = a.data().to_vec();
    [b, c, d].into_iter().for_each(|later| add(&mut sum, later.data()));
    Tensor::from(Buf::from(sum))
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::env::wrappers::RunningStats;
    use crate::es::{Sample, noise_table};

    /// One for both tests: whoever ended one of its own would end the other test's, too.
    fn begin_runtime() {
        static RUNTIME: OnceLock<rayline::Result<rayline::Runtime>> = OnceLock::new();
        RUNTIME.get_or_init(|| rayline::init_with(rayline::Config::default().cpus(2).embedded()));
    }

    #[test]
    fn tasks_sum_to_the_same_bits_as_the_driver() {
        begin_runtime();
        let noise = noise_table(3, 1 << 16);
        let count = 1_500u64;
        let weights = (0..count).map(|i| (i as f32 * 1.3).cos()).collect();
        let directions = Directions::new((0..count).map(|i| i * 17).collect(), weights, 1_000);
        assert!(directions.work() >= TASKS_WORK_MIN, "the tree is what is tested");
        let sum = sum_all(&put(noise.clone()), directions.clone()).unwrap();
        assert_eq!(sum, directions.sum(noise.data()));
        let small = Directions::new(vec![5], vec![2.0], 3);
        assert_eq!(sum_all(&put(noise.clone()), small.clone()).unwrap(), small.sum(noise.data()));
    }

    #[test]
    fn harvests_are_joined_in_their_order_whichever_is_ready_first() {
        begin_runtime();
        let part = |pair: u32| {
            let mut stats = RunningStats::new(1);
            stats.update(&[pair as f32]);
            Harvest { samples: vec![Sample { pair, returns: [0.0; 2], steps: [1, 1] }], obs_stats: Some(stats) }
        };
        let joined = |order: &[u32]| {
            let parts: Vec<_> = order.iter().map(|pair| put(part(*pair))).collect();
            join_all(parts).unwrap().take().unwrap()
        };
        let all: Vec<u32> = (0..77).collect();
        let harvest = joined(&all);
        assert_eq!(harvest.samples.iter().map(|sample| sample.pair).collect::<Vec<_>>(), all);
        assert_eq!(harvest, joined(&all));
        let stats = harvest.obs_stats.unwrap();
        assert!((stats.mean()[0] - 38.0).abs() < 0.01 && (stats.variance()[0] - 494.0).abs() < 0.1, "{stats:?}");
        assert!(join_all(vec![]).is_none());
    }
}
