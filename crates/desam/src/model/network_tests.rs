//! Networks with adapters: what is trained, what is saved, and opening over the base.

use super::{DecoderChoice, Model, ModelInput, ModelRecord, TrainableNetwork, TrainableOptions};
use crate::adapted::{AdaptedSam, AdapterChoice, PixelEncoder};
use crate::{Compute, Error};
use candle_core::{Device, Tensor};
use desam_core::{
    ClassTable, ImageEncoder, MaskDecoder, MaskPrediction, Prompt, PromptEncoder, Prompts,
};
use desam_data::preprocess::PreprocessConfig;
use desam_decoder::Variant;
use desam_encoder::adapter::AdapterKind;
use desam_encoder::checkpoint::{weights_hash, write};
use desam_encoder::{Checkpoint, FrozenSam, VitConfig};
use desam_nn::params::Tensors;
use desam_prompt::whole_box;
use std::path::{Path, PathBuf};

fn vit() -> VitConfig {
    VitConfig {
        input_side: 128,
        width: 32,
        mlp_width: 48,
        depth: 8,
        heads: 2,
        window: 3,
        embedding_channels: 32,
        ..VitConfig::tiny()
    }
}

/// A cache's weights: a SAM of toy size without a mask decoder.
fn base(folder: &Path) -> PathBuf {
    let tensors = FrozenSam::random(&vit(), 3).unwrap().tensors;
    let input = ModelInput { spec: vit().spec(), preprocess: PreprocessConfig::paper() };
    let hash = weights_hash(&tensors, &["image_encoder."]).unwrap();
    let record = ModelRecord::untrained("toy".into(), hash, input);
    let path = folder.join("model.safetensors");
    write(&path, &tensors, &record.to_metadata().unwrap()).unwrap();
    path
}

fn start(base: &Path, adapter: AdapterChoice, variant: Variant) -> crate::Result<TrainableNetwork> {
    let classes = "left=1,right=2".parse::<ClassTable>().unwrap();
    let decoder = DecoderChoice { variant, classes, ..DecoderChoice::default() };
    let options = TrainableOptions::new(7).with_decoder(decoder);
    TrainableNetwork::from_checkpoint(Checkpoint::open(base).unwrap(), &options, &adapter)
}

fn pixels() -> Tensor {
    let side = vit().input_side;
    let values = (0..2 * 3 * side * side).map(|i| ((i * 7919 % 1013) as f32) / 500.0 - 1.0);
    Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((2, 3, side, side)).unwrap()
}

/// Masks of two images by a whole box each.
fn decode(
    prompt: &dyn PromptEncoder,
    decoder: &dyn MaskDecoder,
    pixels: &Tensor,
) -> MaskPrediction {
    let features = PixelEncoder::new(vit().spec()).encode(pixels).unwrap();
    let whole = Prompt::boxed(whole_box(128.0).unwrap());
    let prompts = Prompts::new(vec![whole; pixels.dim(0).unwrap()]).unwrap();
    let embedding = prompt.encode(&prompts).unwrap();
    decoder.decode(&features, prompt.dense_pe(), &embedding).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Whether tensors differ by at most 2e-5 of the largest number, the limit of every stage of `parity`.
fn close(found: &Tensor, expected: &Tensor) -> bool {
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let apart = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-5 * largest;
    found.len() == expected.len() && found.iter().zip(&expected).all(apart)
}

const KINDS: [AdapterKind; 3] =
    [AdapterKind::Dapsam, AdapterKind::DapsamIntended, AdapterKind::Lora];

#[test]
fn a_saved_network_is_opened_over_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    for kind in KINDS {
        for variant in [Variant::ClassDecoder, Variant::Desam] {
            let adapter = AdapterChoice::new(kind).with_input_side(Some(96));
            let network = start(&base, adapter, variant).unwrap();
            let expected = decode(&network.prompt, &network.network, &pixels());
            // Two classes on the masks' own grid, which is that of the cache and not of the network.
            assert_eq!(expected.logits.dims(), [2, 2, 32, 32], "{kind} {variant}");
            let path = folder.path().join(format!("{kind}-{variant}.safetensors"));
            network.save_with(&path, &network.record, Tensors::new()).unwrap();
            let frozen = "image_encoder.blocks.0.attn.qkv.weight";
            assert!(!Checkpoint::open_verbatim(&path).unwrap().tensors.contains_key(frozen));
            let model = Model::open(&path, &Compute::cpu()).unwrap();
            assert_eq!(model.record(), &network.record);
            let found = decode(model.prompt_encoder(), model.decoder(), &pixels());
            // Variables take paths with gradients, which sum in another order.
            assert!(close(&found.logits, &expected.logits), "{kind} {variant}");
            assert!(close(&found.iou, &expected.iou), "{kind} {variant}");
        }
    }
}

#[test]
fn the_base_may_lie_elsewhere_but_must_be_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [first, other] = ["first", "other"].map(|name| folder.path().join(name));
    std::fs::create_dir(&first).unwrap();
    let cache = base(&first);
    let network =
        start(&cache, AdapterChoice::new(AdapterKind::Lora), Variant::ClassDecoder).unwrap();
    let path = folder.path().join("lora.safetensors");
    network.save_with(&path, &network.record, Tensors::new()).unwrap();
    std::fs::rename(&first, &other).unwrap();
    let error = Model::open(&path, &Compute::cpu()).unwrap_err();
    assert!(matches!(&error, Error::BaseMissing { model, .. } if *model == path), "{error}");
    // The folder of the cache, or the file in it.
    for moved in [other.clone(), other.join("model.safetensors")] {
        Model::open_over(&path, Some(&moved), &Compute::cpu()).unwrap();
    }
    let changed = folder.path().join("changed.safetensors");
    let mut tensors = Checkpoint::open(other.join("model.safetensors")).unwrap().tensors;
    let bias = tensors.get_mut("image_encoder.neck.1.bias").unwrap();
    *bias = (&*bias + 1.0).unwrap();
    write(&changed, &tensors, &Default::default()).unwrap();
    let error = Model::open_over(&path, Some(&changed), &Compute::cpu()).unwrap_err().to_string();
    assert!(error.contains("changed.safetensors") && error.contains("hash"), "{error}");
}

#[test]
fn every_variable_that_is_not_inert_has_a_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    for kind in KINDS {
        for variant in [Variant::ClassDecoder, Variant::Desam, Variant::PimmOnly] {
            let network = start(&base, AdapterChoice::new(kind), variant).unwrap();
            let found = decode(&network.prompt, &network.network, &pixels());
            // Not the same for all classes, or a softmax over them has no gradient.
            let logits = found.logits.sqr().unwrap().narrow(1, 0, 1).unwrap().sum_all().unwrap();
            let rest = found.logits.narrow(1, 1, 1).unwrap().sum_all().unwrap();
            let loss = (logits + rest).unwrap() + found.iou.sqr().unwrap().sum_all().unwrap();
            let grads = loss.unwrap().backward().unwrap();
            for (name, var) in &network.vars {
                let has = grads.get(var.as_tensor()).is_some();
                assert_eq!(has, !network.network.is_inert(name), "{kind} {variant} {name}");
            }
            let adapters = |name: &&String| name.contains("adapter") || name.starts_with("w_");
            assert!(network.vars.keys().filter(adapters).count() > 16);
        }
    }
}

#[test]
fn gradients_of_an_adapter_match_finite_differences() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    for (kind, name) in [
        (AdapterKind::Dapsam, "image_encoder.blocks.0.channel_adapter.D_fc2.bias"),
        (AdapterKind::Lora, "w_b_001"),
    ] {
        for variant in [Variant::ClassDecoder, Variant::Desam] {
            let network = start(&base, AdapterChoice::new(kind), variant).unwrap();
            let loss = || {
                let found = decode(&network.prompt, &network.network, &pixels());
                found.logits.sqr().unwrap().mean_all().unwrap()
            };
            let var = &network.vars[name];
            let grads = loss().backward().unwrap();
            let gradient = grads.get(var.as_tensor()).unwrap();
            // Along the gradient, where f32 leaves the most digits.
            let length = gradient.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
            let length = length.to_scalar::<f32>().unwrap();
            let direction = (gradient / f64::from(length)).unwrap();
            let at = |step: f64| {
                let before = var.as_tensor().copy().unwrap();
                var.set(&(&before + (&direction * step).unwrap()).unwrap()).unwrap();
                let found = f64::from(loss().to_scalar::<f32>().unwrap());
                var.set(&before).unwrap();
                found
            };
            let step = 1e-2;
            let found = (at(step) - at(-step)) / (2.0 * step);
            let expected = f64::from(length);
            assert!(
                (found - expected).abs() < 0.02 * expected,
                "{kind} {variant}: {found} against {expected}"
            );
        }
    }
}

#[test]
fn a_network_without_prompts_is_the_fine_tuned_sam() {
    // At the side where masks have the decoder's resolution nothing is interpolated; DAPSAM's input is
    // standardised.
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let network =
        start(&base, AdapterChoice::new(AdapterKind::Dapsam), Variant::ClassDecoder).unwrap();
    let path = folder.path().join("dapsam.safetensors");
    network.save_with(&path, &network.record, Tensors::new()).unwrap();
    let mut tensors = Checkpoint::open(&base).unwrap().part("image_encoder.");
    tensors.extend(Checkpoint::open_verbatim(&path).unwrap().tensors);
    let sam = AdaptedSam::dapsam(&tensors, &Default::default()).unwrap().model;
    let pixels = pixels();
    let flat = pixels.flatten_from(2).unwrap();
    let centred = flat.broadcast_sub(&flat.mean_keepdim(2).unwrap()).unwrap();
    let deviation = centred.sqr().unwrap().mean_keepdim(2).unwrap().sqrt().unwrap();
    let inputs = centred.broadcast_div(&deviation).unwrap().reshape(pixels.shape()).unwrap();
    let expected = sam.forward(&inputs).unwrap().masks.logits;
    let found = decode(&network.prompt, &network.network, &pixels).logits;
    assert!(close(&found, &expected));
}

#[test]
fn what_cannot_be_started_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path());
    let odd = AdapterChoice::new(AdapterKind::Dapsam).with_input_side(Some(100));
    let error = start(&base, odd, Variant::ClassDecoder).unwrap_err().to_string();
    assert!(error.contains("model.safetensors") && error.contains("100"), "{error}");
    let options = TrainableOptions::new(7).with_init(folder.path().join("other.safetensors"));
    let adapter = AdapterChoice::new(AdapterKind::Dapsam);
    let checkpoint = Checkpoint::open(&base).unwrap();
    let error = TrainableNetwork::from_checkpoint(checkpoint, &options, &adapter).unwrap_err();
    assert!(error.to_string().contains("other.safetensors"), "{error}");
}
