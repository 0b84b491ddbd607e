//! The same on the reference's trained model.

use super::open;
use crate::Mode;
use crate::predict::SlicePredictor;
use candle_core::{Device, Tensor};
use desam_core::ImageFeatures;
use desam_decoder::DecoderConfig;
use desam_encoder::{PromptEncoderConfig, VitConfig};
use desam_nn::params::{LoadOptions, Tensors, load};
use std::path::PathBuf;

#[test]
fn a_trained_model_takes_the_same_mask_from_a_few() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if !folder.is_dir() {
        println!("skipped: no reference vectors at {}", folder.display());
        return;
    }
    let read = |name: &str| -> Tensors {
        let file = folder.join(name);
        candle_core::safetensors::load(file, &Device::Cpu).unwrap().into_iter().collect()
    };
    let (weights, train) = (read("trained.safetensors"), read("train.safetensors"));
    let part = |prefix: &str| -> Tensors {
        let of = weights.iter().filter(|(name, _)| name.starts_with(prefix));
        of.map(|(name, t)| (name.clone(), t.clone())).collect()
    };
    let spec = VitConfig::tiny().spec();
    let frozen = LoadOptions::frozen();
    let config = PromptEncoderConfig::for_encoder(&spec);
    let prompt =
        load(part("prompt_encoder."), &frozen, |vb| config.build(vb.pp("prompt_encoder"))).unwrap();
    prompt.report.check().unwrap();
    let tensors = part("mask_decoder.");
    let config = DecoderConfig::from_tensors(&tensors, &spec).unwrap();
    let decoder = load(tensors, &frozen, |vb| config.build(vb)).unwrap();
    decoder.report.check().unwrap();
    let predictor = SlicePredictor::new(&prompt.module, &decoder.module, &spec);

    let mut masks = 0;
    for (image, grid) in [(0, 1), (1, 5), (2, 9), (3, 9), (4, 11), (5, 9)] {
        let of = |i: usize| -> Tensor {
            train[&format!("features{i}")].narrow(0, image, 1).unwrap().contiguous().unwrap()
        };
        let features = ImageFeatures { taps: (0..3).map(of).collect(), embedding: of(3) };
        for iou_threshold in [0.5, 0.0] {
            let mut prompting = open(Mode::Points, grid, spec.mask_side());
            prompting.selection.iou_threshold = iou_threshold;
            let (plain, all) = predictor.predict_plain(&features, &prompting).unwrap();
            let (found, evidence) = predictor.predict_with_evidence(&features, &prompting).unwrap();
            let at = format!("image {image}, {grid}×{grid}, above {iou_threshold}");
            assert_eq!(found.point, plain.point, "{at}");
            let differ = found.mask.data().iter().zip(plain.mask.data()).filter(|(a, b)| a != b);
            // As many as parity with the official program allows.
            assert!(differ.count() <= 2, "{at}");
            assert_eq!(all.drawn, grid * grid);
            // A trained model's masks are seldom in need of repair.
            assert!(evidence.drawn * 4 <= all.drawn.max(4), "{at}: {} drawn", evidence.drawn);
            masks += evidence.drawn;
        }
    }
    println!("{masks} masks drawn for 12 slices");
}
