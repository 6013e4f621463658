//! Fitness shaping.

/// Ranks of `values` (`[n]`), spread evenly over [-0.5, 0.5]: the least gets -0.5, the greatest 0.5. Equal values share
/// the mean of their ranks, so that returns that don't differ have no weight; a single one gets 0.
///
/// Source: Salimans et al. 2017, section 2.1 (fitness shaping after Wierstra et al. 2014). The paper's own program gives
/// equal values different ranks, by place.
pub fn centered_ranks(values: &[f32]) -> Vec<f32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|a, b| values[*a as usize].total_cmp(&values[*b as usize]).then(a.cmp(b)));
    let mut ranks = vec![0.0; values.len()];
    if values.len() < 2 {
        return ranks;
    }
    let step = 1.0 / (values.len() - 1) as f64;
    let mut first = 0;
    for equal in order.chunk_by(|a, b| values[*a as usize] == values[*b as usize]) {
        let mean = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|at| ranks[*at as usize] = (mean * step - 0.5) as f32);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By counting those that are less and those that are equal.
    fn counted(values: &[f32]) -> Vec<f32> {
        let rank = |value: &f32| {
            let less = values.iter().filter(|other| *other < value).count() as f64;
            let equal = values.iter().filter(|other| *other == value).count() as f64;
            ((less + (equal - 1.0) / 2.0) / (values.len() - 1) as f64 - 0.5) as f32
        };
        values.iter().map(rank).collect()
    }

    #[test]
    fn ranks_are_those_that_counting_gives() {
        assert_eq!(centered_ranks(&[10.0, -3.0, 7.0]), [0.5, -0.5, 0.0]);
        let many: Vec<f32> = (0..101).map(|i| ((i * 37) % 50) as f32).collect();
        assert_eq!(centered_ranks(&many), counted(&many));
        let sum: f64 = centered_ranks(&many).iter().map(|rank| f64::from(*rank)).sum();
        assert!(sum.abs() < 1e-5, "{sum}");
    }

    #[test]
    fn what_does_not_differ_has_no_weight() {
        assert_eq!(centered_ranks(&[500.0; 4]), [0.0; 4]);
        assert_eq!(centered_ranks(&[0.0, -0.0]), [0.0; 2]);
        assert_eq!(centered_ranks(&[3.0]), [0.0]);
        assert!(centered_ranks(&[]).is_empty());
    }
}
