use super::*;
use crate::train::state::{LossSums, TrainProgress};
use crate::train::{EpochRecord, Preset, TrainConfig};
use candle_core::{Device, Tensor};
use desam_core::{Precision, Quiet};

fn key(text: &str) -> CheckpointKey {
    let json = format!(
        r#"{{"config_blake3":"{text}","cache_key":"k","weights_blake3":"w","init_blake3":null}}"#
    );
    serde_json::from_str(&json).unwrap()
}

/// A state with values that decimal digits or a comparison would not preserve.
fn state(steps: u32) -> TrainState {
    let values = [0.1f32, -0.0, f32::NAN, f32::MIN_POSITIVE / 8.0, f32::INFINITY, 1.0 / 3.0];
    let tensor = Tensor::new(&values, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
    let row = EpochRecord {
        epoch: 1,
        learning_rate: 0.1 + 0.2,
        train_loss: f64::NAN,
        train_dice_loss: f64::MIN_POSITIVE,
        validation_loss: -0.0,
        validation_dice_loss: f64::INFINITY,
        validation_dice: 1.0 / 3.0,
        best: true,
    };
    let losses = LossSums { total: 2.0f64.sqrt(), dice: 1e-300, slices: 7 };
    let progress = TrainProgress { epoch: 1, step: 2, losses, history: vec![row] };
    let tensors = [("model.a".to_owned(), tensor.clone()), ("adam.first.a".to_owned(), tensor)];
    TrainState { progress, steps, tensors: tensors.into() }
}

/// Name, shape and bits of a tensor.
type Bits = (String, Vec<usize>, Vec<u32>);

fn bits(state: &TrainState) -> (String, Vec<Bits>) {
    let record = serde_json::to_string(&CheckpointRecord::of(state, &key("c"))).unwrap();
    let each = state.tensors.iter().map(|(name, t)| {
        let values = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (name.clone(), t.dims().to_vec(), values.into_iter().map(f32::to_bits).collect())
    });
    (record, each.collect())
}

#[test]
fn a_checkpoint_restores_every_bit() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Checkpoints::new(dir.path().join("checkpoints"), 2);
    assert!(folder.newest(&key("c"), &Quiet).unwrap().is_none());
    folder.write(&state(12), &key("c")).unwrap();
    let read = folder.newest(&key("c"), &Quiet).unwrap().unwrap();
    assert_eq!(bits(&read), bits(&state(12)));
    // NaN is not itself; the rest of a row is compared as numbers.
    assert_eq!(read.progress.history[0].learning_rate, 0.1 + 0.2);
    assert_eq!((read.progress.epoch, read.progress.step, read.steps), (1, 2, 12));
    let file = dir.path().join("checkpoints/step_00000012.safetensors");
    let first = std::fs::read(&file).unwrap();
    folder.write(&state(12), &key("c")).unwrap();
    assert!(std::fs::read(&file).unwrap() == first, "the same state gave other bytes");
}

#[test]
fn the_newest_checkpoints_stay_and_later_ones_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let run = tempfile::tempdir().unwrap();
    let folder = Checkpoints::new(dir.path().to_owned(), 2);
    let steps = || folder.files().unwrap().into_iter().map(|(s, _)| s).collect::<Vec<_>>();
    for step in [9, 10, 100_000_000, 100_000_001] {
        folder.write(&state(step), &key("c")).unwrap();
    }
    assert_eq!(steps(), [100_000_000, 100_000_001]);
    // Going back: the later ones could not be used.
    folder.write(&state(11), &key("c")).unwrap();
    assert_eq!(steps(), [11]);
    let others = ["notes.txt", "step_x.safetensors", ".desam-1.tmp"].map(|n| dir.path().join(n));
    others.iter().for_each(|p| std::fs::write(p, b"").unwrap());
    let left = run.path().join(".desam-2.tmp");
    std::fs::write(&left, b"").unwrap();
    folder.remove_leftovers(run.path()).unwrap();
    assert!(!left.exists());
    folder.write(&state(12), &key("c")).unwrap();
    assert_eq!(others.map(|p| p.exists()), [true, true, false]);
    assert_eq!(steps(), [11, 12]);
}

#[test]
fn checkpoints_of_another_configuration_and_model_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Checkpoints::new(dir.path().to_owned(), 2);
    folder.write(&state(1), &key("c")).unwrap();
    let error = folder.newest(&key("d"), &Quiet).unwrap_err().to_string();
    assert!(error.contains("another configuration"), "{error}");
    let path = dir.path().join("step_00000002.safetensors");
    write(&path, &state(2).tensors, &BTreeMap::new()).unwrap();
    assert_eq!(folder.newest(&key("c"), &Quiet).unwrap().unwrap().steps, 1);
    std::fs::remove_file(dir.path().join("step_00000001.safetensors")).unwrap();
    let error = folder.newest(&key("c"), &Quiet).unwrap_err().to_string();
    assert!(error.contains("no state") && error.contains("step_00000002"), "{error}");
}

#[test]
fn the_number_of_epochs_is_not_part_of_the_key() {
    let spec = desam_encoder::VitConfig::tiny().spec();
    let decoder = desam_decoder::DecoderConfig::tiny(&spec);
    let fixed = |train: TrainConfig| {
        let config = crate::train::RunConfig { train, decoder: decoder.clone() };
        serde_json::to_string(&config.without_length()).unwrap()
    };
    let config = TrainConfig::preset(Preset::Paper, "A", desam::Mode::Points);
    assert_eq!(fixed(TrainConfig { epochs: 60, ..config.clone() }), fixed(config.clone()));
    assert_ne!(fixed(TrainConfig { batch: 1, ..config.clone() }), fixed(config.clone()));
    // The precision is part of it; runs from before it was a setting keep their key.
    let precise = fixed(TrainConfig { precision: Precision::Bf16, ..config.clone() });
    assert_ne!(precise, fixed(config.clone()));
    assert!(precise.contains("precision") && !fixed(config).contains("precision"));
}
