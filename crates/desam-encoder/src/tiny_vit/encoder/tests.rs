//! Shapes and names, batches, threads, other sides, gradients.

use super::*;
use candle_core::{DType, Device, Var};
use desam_nn::params::{LoadOptions, Loaded, load};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

/// Windows that divide no grid and one that is larger than it, and widths that fill no vector.
fn small() -> TinyVitConfig {
    TinyVitConfig {
        input_side: 64,
        widths: [6, 12, 20, 24],
        depths: [1, 2, 4, 1],
        heads: [2, 5, 3],
        windows: [3, 6, 3],
        embedding_channels: 10,
    }
}

fn random(config: &TinyVitConfig) -> Loaded<TinyVitEncoder> {
    let build = |vb: VarBuilder<'_>| config.build(vb.pp("image_encoder"));
    load(Default::default(), &LoadOptions::seeded(3), build).unwrap()
}

fn image(batch: usize, side: usize) -> Tensor {
    let values = (0..batch * 3 * side * side).map(|i| ((i * 7919 % 1013) as f32) / 500.0 - 1.0);
    Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((batch, 3, side, side)).unwrap()
}

fn bits(features: &ImageFeatures) -> Vec<u32> {
    let all = features.taps.iter().chain([&features.embedding]);
    let flat = all.flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    flat.map(f32::to_bits).collect()
}

#[test]
fn features_have_the_shapes_of_the_specification_and_are_finite() {
    let encoder = random(&small()).module;
    let features = encoder.encode(&image(1, 64)).unwrap();
    let taps: Vec<&[usize]> = features.taps.iter().map(Tensor::dims).collect();
    assert_eq!(taps, [[1, 20, 4, 4]; 3]);
    assert_eq!(features.embedding.dims(), [1, 10, 4, 4]);
    assert!(bits(&features).iter().all(|b| f32::from_bits(*b).is_finite()));
    assert_eq!(encoder.spec().tap_channels, [20; 3]);
}

#[test]
fn taps_are_the_outputs_of_their_blocks() {
    let encoder = random(&small()).module;
    let found = RefCell::new(BTreeMap::new());
    let receive = |name: &str, t: &Tensor| {
        found.borrow_mut().insert(name.to_owned(), t.clone());
        Ok(())
    };
    let features = encoder.encode_hooked(&image(2, 64), ForwardHook::new(&receive)).unwrap();
    let found = found.into_inner();
    // Ends of the thirds of four blocks: 4/3, 8/3 and 4, rounded up.
    for (tap, block) in features.taps.iter().zip([1, 2, 3]) {
        let block = channels_first(&found[&format!("layers.2.blocks.{block}")]).unwrap();
        assert_eq!(tap.to_vec3_of_first(), block.to_vec3_of_first());
    }
    // One for the patch embedding, three for downsamplings, eight for blocks.
    assert_eq!(found.len(), 12);
    // Resolutions S/4, S/8, S/16, S/16.
    let side = |name: &str| found[name].dims()[1];
    let names = ["patch_embed", "layers.0.downsample", "layers.1.downsample", "layers.3.blocks.0"];
    assert_eq!(names.map(side), [16, 8, 4, 4]);
}

/// The first image's numbers.
trait FirstImage {
    fn to_vec3_of_first(&self) -> Vec<Vec<Vec<f32>>>;
}

impl FirstImage for Tensor {
    fn to_vec3_of_first(&self) -> Vec<Vec<Vec<f32>>> {
        self.get(0).unwrap().to_vec3().unwrap()
    }
}

#[test]
fn a_batch_gives_the_bits_of_its_images_one_by_one() {
    let encoder = random(&small()).module;
    let pixels = image(3, 64);
    let together = encoder.encode(&pixels).unwrap();
    for i in 0..3 {
        let alone = encoder.encode(&pixels.narrow(0, i, 1).unwrap()).unwrap();
        assert_eq!(bits(&alone), bits(&together.image(i).unwrap()));
    }
}

#[test]
fn the_number_of_threads_does_not_change_the_bits() {
    let encoder = random(&small()).module.with_input_side(112).unwrap();
    let pixels = image(2, 112);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bits(&encoder.encode(&pixels).unwrap()))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn any_multiple_of_16_is_an_input_side() {
    let encoder = random(&small()).module;
    for side in [16, 48, 208] {
        let other = encoder.with_input_side(side).unwrap();
        let features = other.encode(&image(1, side)).unwrap();
        assert_eq!(features.embedding.dims(), [1, 10, side / 16, side / 16]);
    }
    assert!(encoder.with_input_side(200).is_err() && encoder.with_input_side(0).is_err());
    let error = encoder.with_input_side(usize::MAX).unwrap_err().to_string();
    assert!(error.contains("16384"), "{error}");
}

#[test]
fn tracked_pixels_take_the_path_with_gradients_to_the_same_features() {
    let encoder = random(&small()).module;
    let pixels = image(1, 64);
    let plain = encoder.encode(&pixels).unwrap().embedding;
    let var = Var::from_tensor(&pixels).unwrap();
    let tracked = encoder.encode(&var).unwrap().embedding;
    let off = (&plain - tracked.detach()).unwrap().abs().unwrap().max_all().unwrap();
    // Layer norms bound the embedding to a few units; sums in another order.
    assert!(off.to_scalar::<f32>().unwrap() < 2e-4, "{off}");
    let grads = tracked.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let grad = grads.get(&var).unwrap().abs().unwrap().max_all().unwrap();
    assert!(grad.to_scalar::<f32>().unwrap() > 0.0);
}

#[test]
fn wrong_shapes_are_refused_with_the_right_one_named() {
    let encoder = random(&small()).module;
    for shape in [vec![1, 1, 64, 64], vec![1, 3, 64, 32], vec![3, 64, 64], vec![0, 3, 64, 64]] {
        let pixels = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let error = encoder.encode(&pixels).unwrap_err().to_string();
        assert!(error.contains("[B, 3, 64, 64]"), "{error}");
    }
    let x = image(1, 64);
    assert!(encoder.block_attention(0, 0, &x).is_err());
    assert!(encoder.block_attention(2, 4, &x).is_err());
}

#[test]
fn the_configuration_is_inferred_from_the_shapes() {
    let tensors = random(&small()).tensors;
    let found = TinyVitConfig::from_tensors(&tensors).unwrap();
    assert_eq!(found, TinyVitConfig { input_side: 1024, ..small() });
    let with = |name: &str, shape: &[usize]| {
        let mut tensors = tensors.clone();
        let zeros = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        tensors.insert(format!("image_encoder.{name}"), zeros);
        TinyVitConfig::from_tensors(&tensors).unwrap_err().to_string()
    };
    let error = with("layers.1.blocks.0.attn.attention_biases", &[2, 8]);
    assert!(error.contains("attention_biases has 8 offsets"), "{error}");
    let error = with("layers.3.blocks.0.attn.attention_biases", &[5, 9]);
    assert!(error.contains("multiple of heads 5"), "{error}");
}

#[test]
fn parameters_have_the_names_and_shapes_of_mobile_sam() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/beyond");
    let Ok(text) = std::fs::read_to_string(from.join("mobile_sam_shapes.json")) else {
        println!("skipped: there are no reference shapes at {}", from.display());
        return;
    };
    let all: BTreeMap<String, Vec<usize>> = serde_json::from_str(&text).unwrap();
    let unused = ["image_encoder.head.", "image_encoder.norm_head."];
    let own = all.into_iter().filter(|(name, _)| {
        let counter = name.ends_with("num_batches_tracked");
        name.starts_with("image_encoder.")
            && !counter
            && !unused.iter().any(|u| name.starts_with(u))
    });
    let found = random(&TinyVitConfig::mobile_sam()).tensors.into_iter();
    let found: BTreeMap<_, _> = found.map(|(name, t)| (name, t.dims().to_vec())).collect();
    assert_eq!(found, own.collect());
}

#[test]
fn mobile_sams_encoder_has_six_million_parameters() {
    let tensors = random(&TinyVitConfig::mobile_sam()).tensors;
    let buffer = |name: &str| name.contains(".running_");
    let own = tensors.iter().filter(|(name, _)| !buffer(name)).map(|(_, t)| t.elem_count());
    let count: usize = own.sum();
    // Counted layer by layer from its program: 5.74 million in use.
    assert_eq!((count + 5_000) / 10_000, 574, "{count}");
}
