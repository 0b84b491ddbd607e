use super::*;
use crate::train::state::{LossSums, Position};
use crate::train::{EpochRecord, Preset, TrainConfig};
use candle_core::{Device, Tensor};
use desam_core::{Precision, Quiet};

fn seal(text: &str) -> Seal {
    let json = format!(
        r#"{{"config_blake3":"{text}","cache_key":"k","weights_blake3":"w","init_blake3":null}}"#
    );
    serde_json::from_str(&json).unwrap()
}

/// Numbers that decimal digits or a comparison would not carry.
fn snapshot(steps: u32) -> Snapshot {
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
    let position = Position { epoch: 1, step: 2, losses, history: vec![row] };
    let tensors = [("model.a".to_owned(), tensor.clone()), ("adam.first.a".to_owned(), tensor)];
    Snapshot { position, steps, tensors: tensors.into() }
}

/// Name, shape and bits of a tensor.
type Bits = (String, Vec<usize>, Vec<u32>);

fn bits(snapshot: &Snapshot) -> (String, Vec<Bits>) {
    let state = serde_json::to_string(&State::of(snapshot, &seal("c"))).unwrap();
    let each = snapshot.tensors.iter().map(|(name, t)| {
        let values = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (name.clone(), t.dims().to_vec(), values.into_iter().map(f32::to_bits).collect())
    });
    (state, each.collect())
}

#[test]
fn every_bit_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Checkpoints::new(dir.path().join("checkpoints"), 2);
    assert!(folder.newest(&seal("c"), &Quiet).unwrap().is_none());
    folder.write(&snapshot(12), &seal("c")).unwrap();
    let read = folder.newest(&seal("c"), &Quiet).unwrap().unwrap();
    assert_eq!(bits(&read), bits(&snapshot(12)));
    // NaN is not itself; the rest of a row is compared as numbers.
    assert_eq!(read.position.history[0].learning_rate, 0.1 + 0.2);
    assert_eq!((read.position.epoch, read.position.step, read.steps), (1, 2, 12));
    let file = dir.path().join("checkpoints/step_00000012.safetensors");
    let first = std::fs::read(&file).unwrap();
    folder.write(&snapshot(12), &seal("c")).unwrap();
    assert!(std::fs::read(&file).unwrap() == first, "the same state gave other bytes");
}

#[test]
fn the_newest_ones_stay_and_what_is_later_goes() {
    let dir = tempfile::tempdir().unwrap();
    let run = tempfile::tempdir().unwrap();
    let folder = Checkpoints::new(dir.path().to_owned(), 2);
    let steps = || folder.files().unwrap().into_iter().map(|(s, _)| s).collect::<Vec<_>>();
    for step in [9, 10, 100_000_000, 100_000_001] {
        folder.write(&snapshot(step), &seal("c")).unwrap();
    }
    assert_eq!(steps(), [100_000_000, 100_000_001]);
    // Going back: the later ones could not be used.
    folder.write(&snapshot(11), &seal("c")).unwrap();
    assert_eq!(steps(), [11]);
    let others = ["notes.txt", "step_x.safetensors", ".desam-1.tmp"].map(|n| dir.path().join(n));
    others.iter().for_each(|p| std::fs::write(p, b"").unwrap());
    let left = run.path().join(".desam-2.tmp");
    std::fs::write(&left, b"").unwrap();
    folder.sweep(run.path()).unwrap();
    assert!(!left.exists());
    folder.write(&snapshot(12), &seal("c")).unwrap();
    assert_eq!(others.map(|p| p.exists()), [true, true, false]);
    assert_eq!(steps(), [11, 12]);
}

#[test]
fn another_configurations_checkpoint_and_a_models_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Checkpoints::new(dir.path().to_owned(), 2);
    folder.write(&snapshot(1), &seal("c")).unwrap();
    let error = folder.newest(&seal("d"), &Quiet).unwrap_err().to_string();
    assert!(error.contains("another configuration"), "{error}");
    let path = dir.path().join("step_00000002.safetensors");
    write(&path, &snapshot(2).tensors, &BTreeMap::new()).unwrap();
    assert_eq!(folder.newest(&seal("c"), &Quiet).unwrap().unwrap().steps, 1);
    std::fs::remove_file(dir.path().join("step_00000001.safetensors")).unwrap();
    let error = folder.newest(&seal("c"), &Quiet).unwrap_err().to_string();
    assert!(error.contains("no state") && error.contains("step_00000002"), "{error}");
}

#[test]
fn the_length_of_a_run_is_no_part_of_its_seal() {
    let spec = desam_encoder::VitConfig::tiny().spec();
    let decoder = desam_decoder::DecoderConfig::tiny(&spec);
    let fixed = |train: TrainConfig| {
        let config = crate::train::RunConfig { train, decoder: decoder.clone() };
        serde_json::to_string(&config.without_length()).unwrap()
    };
    let config = TrainConfig::preset(Preset::Paper, "A", desam::Mode::Points);
    assert_eq!(fixed(TrainConfig { epochs: 60, ..config.clone() }), fixed(config.clone()));
    assert_ne!(fixed(TrainConfig { batch: 1, ..config.clone() }), fixed(config.clone()));
    // What a step computes in is; runs from before there was a choice stay what they are.
    let precise = fixed(TrainConfig { precision: Precision::Bf16, ..config.clone() });
    assert_ne!(precise, fixed(config.clone()));
    assert!(precise.contains("precision") && !fixed(config).contains("precision"));
}
