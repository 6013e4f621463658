//! Whether environments fit networks, found out before anything is trained.

use crate::env::Space;
use crate::nn::ActionHead;

/// What doesn't fit, what is needed, and what there is.
pub(crate) type Misfit = (&'static str, String, String);

/// What is wrong with giving a network that takes `obs_dim` numbers and chooses by `head` an environment with these
/// spaces; `None` if it fits.
pub(crate) fn misfit(obs_dim: usize, head: &ActionHead, observation: &Space, action: &Space) -> Option<Misfit> {
    if let Some(misfit) = unfit_observations(observation) {
        return Some(misfit);
    }
    if observation.width() != obs_dim {
        let expected = format!("width {obs_dim}");
        return Some(("observations of the environments", expected, observation.to_string()));
    }
    (!head.fits(action)).then(|| ("actions of the environments", described(head), action.to_string()))
}

/// What is wrong with observations for any network; `None` if nothing is.
pub(crate) fn unfit_observations(observation: &Space) -> Option<Misfit> {
    let has_choices = observation.flat_len() != observation.width() || observation.is_discrete();
    if has_choices {
        let expected = "real numbers (register the environment in `wrappers::FlattenObs`, which makes choices one-hot)";
        return Some(("observations of the environments", expected.to_owned(), observation.to_string()));
    }
    let expected = "at least one number".to_owned();
    (observation.width() == 0).then(|| ("observations of the environments", expected, observation.to_string()))
}

fn described(head: &ActionHead) -> String {
    match head {
        ActionHead::Categorical { choices } => format!("choices among {choices:?}"),
        ActionHead::Gaussian { dims } => format!("{dims} real numbers"),
        ActionHead::Diagonal(head) if head.bounds.is_some() => format!("{} real numbers within bounds", head.dims),
        ActionHead::Diagonal(head) => format!("{} real numbers", head.dims),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_with_both_shapes() {
        let head = ActionHead::Categorical { choices: vec![2] };
        let (four, three) = (Space::uniform(-1.0, 1.0, 4), Space::uniform(-1.0, 1.0, 3));
        let (two, values) = (Space::Discrete { n: 2 }, Space::uniform(-2.0, 2.0, 1));
        assert_eq!(misfit(4, &head, &four, &two), None);
        let (what, expected, found) = misfit(4, &head, &three, &two).expect("3 are not 4");
        assert!(what.starts_with("observations") && expected == "width 4" && found.contains("(3,)"), "{found}");
        let (what, expected, found) = misfit(4, &head, &four, &values).expect("choices are no values");
        assert!(what.starts_with("actions") && expected == "choices among [2]" && found.contains("(1,)"), "{found}");
    }

    #[test]
    fn choices_and_nothing_are_no_observations() {
        let head = ActionHead::Categorical { choices: vec![2] };
        let space = Space::Discrete { n: 500 };
        let (_, expected, found) = misfit(1, &head, &space, &Space::Discrete { n: 2 }).expect("a choice is no number");
        assert!(expected.contains("FlattenObs") && found.contains("500"), "{expected}, {found}");
        assert!(unfit_observations(&Space::uniform(0.0, 1.0, 0)).is_some());
        assert!(unfit_observations(&Space::MultiDiscrete { nvec: vec![1, 3] }).is_some());
    }
}
