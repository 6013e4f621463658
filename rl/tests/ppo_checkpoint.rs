//! Checkpoints: what is saved comes back, training continues bit for bit, and damaged files are refused by name.

#![allow(clippy::unwrap_used, reason = "helpers of tests, as the tests themselves, fail by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayline_rl::env::make_vec;
use rayline_rl::nn::{ActionHead, Activation, ActorCriticSpec};
use rayline_rl::ppo::{Checkpoint, Collector, CollectorSeed, PpoConfig, PpoError, PpoLearner, RolloutBatch};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// A learner after two updates, and two batches to go on with.
fn trained() -> (PpoLearner, [RolloutBatch; 2]) {
    let config = PpoConfig { n_envs: 2, n_steps: 16, hidden: vec![8], ..PpoConfig::cleanrl() };
    let envs = make_vec("CartPole-v1", 2).unwrap();
    let spec = config.model_spec(envs.observation_space(), envs.action_space());
    let mut learner = PpoLearner::new(config, spec.clone()).unwrap();
    let mut collector = Collector::new(spec, envs, 16, CollectorSeed { seed: 1, index: 0, first_env: 0 }).unwrap();
    for _ in 0..2 {
        let batch = collector.collect(&learner.snapshot()).unwrap();
        learner.update(&[batch]).unwrap();
    }
    let snapshot = learner.snapshot();
    (learner, [(); 2].map(|()| collector.collect(&snapshot).unwrap()))
}

/// A checkpoint file and the folder that holds it.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.safetensors");
    trained().0.checkpoint().save(&path).unwrap();
    (folder, path)
}

/// Writes the checkpoint anew with other metadata or tensors.
fn rewrite(path: &Path, change: impl FnOnce(&mut HashMap<String, String>, &mut Vec<(String, Vec<usize>, Vec<u8>)>)) {
    let bytes = fs::read(path).unwrap();
    let mut metadata = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut parts: Vec<_> =
        tensors.tensors().into_iter().map(|(name, t)| (name, t.shape().to_vec(), t.data().to_vec())).collect();
    change(&mut metadata, &mut parts);
    let views: Vec<_> = parts
        .iter()
        .map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()))
        .collect();
    fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

fn refusal(path: &Path) -> PpoError {
    Checkpoint::load(path).expect_err("the file is damaged")
}

#[test]
fn what_was_saved_comes_back() {
    let (_folder, path) = saved();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded, trained().0.checkpoint());
    assert_eq!((loaded.updates(), loaded.env_steps()), (2, 64));
    assert_eq!(loaded.parameters(), &*trained().0.snapshot().parameters);
}

#[test]
fn training_continues_bit_for_bit() {
    let (_folder, path) = saved();
    let (mut stayed, batches) = trained();
    let mut resumed = PpoLearner::from_checkpoint(Checkpoint::load(&path).unwrap()).unwrap();
    for batch in batches {
        let batch = std::slice::from_ref(&batch);
        assert_eq!(stayed.update(batch).unwrap(), resumed.update(batch).unwrap());
    }
    assert_eq!(stayed.snapshot(), resumed.snapshot());
    assert_eq!(stayed.checkpoint(), resumed.checkpoint());
}

#[test]
fn a_gaussian_policy_keeps_its_log_std_under_its_name() {
    let head = ActionHead::Gaussian { dims: 3 };
    let spec = ActorCriticSpec {
        obs_dim: 2,
        head,
        hidden: vec![4],
        activation: Activation::Relu,
        initial_log_std: -0.5,
        lstm_units: None,
    };
    let learner = PpoLearner::new(PpoConfig::cleanrl(), spec).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    learner.checkpoint().save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), learner.checkpoint());
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("log_std").unwrap().data(), [-0.5f32; 3].map(f32::to_le_bytes).concat());
    assert_eq!(tensors.tensor("policy.1.weight").unwrap().shape(), [4, 3]);
    assert_eq!(tensors.tensor("adam.first.value.0.bias").unwrap().shape(), [4]);
}

#[test]
fn saving_replaces_whole_files_and_leaves_no_others() {
    let (folder, path) = saved();
    let (mut learner, [batch, _]) = trained();
    learner.update(&[batch]).unwrap();
    learner.checkpoint().save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap().updates(), 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let missing = folder.path().join("no such folder").join("c");
    assert!(matches!(learner.checkpoint().save(&missing), Err(PpoError::CheckpointIo { action: "writing", .. })));
    // A directory can't be replaced by a file: the write succeeds, the rename fails, the temporary file goes.
    let directory = folder.path().join("directory");
    fs::create_dir(&directory).unwrap();
    assert!(learner.checkpoint().save(&directory).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn files_that_are_no_checkpoint_are_refused() {
    let (folder, path) = saved();
    let absent = folder.path().join("absent");
    assert!(matches!(refusal(&absent), PpoError::CheckpointIo { action: "reading", .. }));
    for garbage in [&b""[..], b"{}", &[0xff; 100]] {
        fs::write(&path, garbage).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, PpoError::CheckpointInvalid { .. }), "{error:?}");
        assert!(error.to_string().contains("policy.safetensors: not safetensors"), "{error}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_without_panic() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    for cut in (0..bytes.len()).step_by(97) {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(matches!(refusal(&path), PpoError::CheckpointInvalid { .. }), "cut at {cut}");
    }
}

#[test]
fn another_format_or_version_is_named() {
    let (_folder, path) = saved();
    rewrite(&path, |metadata, _| drop(metadata.insert("version".into(), "2".into())));
    assert!(refusal(&path).to_string().ends_with("has format version 2, this program reads version 1"));
    rewrite(&path, |metadata, _| drop(metadata.insert("format".into(), "pt".into())));
    assert!(refusal(&path).to_string().contains("doesn't name the format rayline-ppo"));
}

#[test]
fn a_damaged_state_is_named() {
    for state in ["{", r#"{"config": {}}"#] {
        let (_folder, path) = saved();
        rewrite(&path, |metadata, _| drop(metadata.insert("state".into(), state.into())));
        assert!(refusal(&path).to_string().contains("its state is unreadable"));
    }
    let (_folder, path) = saved();
    rewrite(&path, |metadata, _| drop(metadata.remove("state")));
    assert!(refusal(&path).to_string().contains("has no state"));
}

#[test]
fn a_tensor_that_does_not_fit_is_named_with_both_shapes() {
    let (_folder, path) = saved();
    rewrite(&path, |_, parts| {
        let weight = parts.iter_mut().find(|(name, ..)| name == "value.0.weight").unwrap();
        assert_eq!(weight.1, [4, 8]);
        weight.1 = vec![8, 4];
    });
    let message = refusal(&path).to_string();
    assert!(message.ends_with("tensor value.0.weight should be F32 [4, 8], but is F32 [8, 4]"), "{message}");
    let (_folder, path) = saved();
    rewrite(&path, |_, parts| parts.retain(|(name, ..)| name != "adam.second.policy.1.bias"));
    let message = refusal(&path).to_string();
    assert!(message.ends_with("tensor adam.second.policy.1.bias should be F32 [2], but is missing"), "{message}");
}

#[test]
fn settings_may_be_changed_before_resuming_but_not_to_unsound_ones() {
    let (_folder, path) = saved();
    let mut checkpoint = Checkpoint::load(&path).unwrap();
    checkpoint.config_mut().total_steps = 1_000_000;
    assert_eq!(PpoLearner::from_checkpoint(checkpoint.clone()).unwrap().config().total_steps, 1_000_000);
    checkpoint.config_mut().gamma = 2.0;
    assert!(matches!(PpoLearner::from_checkpoint(checkpoint), Err(PpoError::Config { field: "gamma", .. })));
}
