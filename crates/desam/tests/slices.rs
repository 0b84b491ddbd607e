//! Single slices by a user's prompts: features once, masks on the slice's own pixels.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod toy;

use desam::data::phantom::{SiteStyle, phantom_case};
use desam::data::preprocess::{Frame, IntensityHistogram, PreprocessConfig};
use desam::decoder::DecoderConfig;
use desam::encoder::{FrozenSam, VitConfig};
use desam::model::{ModelParts, SourceStatistics};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::predict::{
    EncodedSlice, GraySlice, PredictOptions, PromptError, Segmentation, SliceMask, SlicePrompt,
};
use desam::types::{Affine, BinaryMask, Grid, Prompt, PromptBox, Volume};
use desam::{Compute, Error, Mode, Model, ModelRecord, PromptingConfig, Segmenter};
use std::sync::Arc;

fn shared_between_threads<T: Send + Sync>() {}

#[test]
fn models_segmenters_and_encoded_slices_are_send_and_sync() {
    shared_between_threads::<Model>();
    shared_between_threads::<Segmenter>();
    shared_between_threads::<EncodedSlice>();
    shared_between_threads::<SliceMask>();
}

/// A slice of 64 pixels a side, the side of the toy model's masks being 16 and of its input 64.
fn image() -> GraySlice {
    let volume = toy::volume([64, 64, 3], 0);
    GraySlice::new(64, 64, [0.5, 0.5], volume.slice(1).unwrap().to_vec()).unwrap()
}

fn segmenter(folder: &std::path::Path) -> Segmenter {
    toy::segmenter(&toy::model(folder))
}

#[test]
fn the_whole_box_and_a_grid_of_one_point_are_the_automatic_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = segmenter(folder.path());
    let (model, image) = (segmenter.model(), image());
    let encoded = segmenter.encode_slice(&image).unwrap();
    // The same slice by way of the predictor.
    let affine = Affine([[-0.5, 0.0, 0.0, 0.0], [0.0, -0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
    let grid = Grid { dims: [64, 64, 1], affine };
    let volume = Volume::new(grid, image.pixels().to_vec()).unwrap();
    let prepared = model.record().preprocess.prepare(&volume, model.spec()).unwrap();
    let features = model.encoder().encode(&prepared.pixels(0, model.device()).unwrap()).unwrap();
    let side = model.spec().mask_side();
    let predict = |mode, grid| {
        let selection = segmenter.prompting().selection;
        let config = PromptingConfig { selection, ..PromptingConfig::new(mode, grid, side) };
        model.predictor().predict(&features, &config).unwrap()
    };

    let boxed = SlicePrompt::new().with_box([0.0, 0.0], [64.0, 64.0]);
    let (found, expected) = (encoded.segment(&boxed).unwrap(), predict(Mode::Box, 1));
    assert_eq!(found.raw.mask, expected.mask);
    assert_eq!(found.predicted_iou, expected.predicted_iou);
    assert!(found.predicted_iou.is_some() && found.probability.len() == 64 * 64);
    assert!(found.probability.iter().all(|p| (0.0..=1.0).contains(p)));

    // The one point of the grid is (32, 32) of the input, which has a pixel for each of the slice.
    let point = SlicePrompt::new().with_point(32.0, 32.0);
    let (found, expected) = (encoded.segment(&point).unwrap(), predict(Mode::Points, 1));
    assert_eq!(found.raw.mask, expected.mask);
    // Four by four pixels of the slice for each of the mask's.
    for y in 0..64 {
        for x in 0..64 {
            assert_eq!(found.mask.get(y, x), expected.mask.get(y / 4, x / 4));
        }
    }
}

#[test]
fn eight_threads_get_the_bits_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = segmenter(folder.path());
    let encoded = segmenter.encode_slice(&image()).unwrap();
    let prompts: Vec<SlicePrompt> = (0..4)
        .flat_map(|n| {
            let at = 8.0 + 12.0 * f64::from(n);
            let point = SlicePrompt::new().with_point(at, 40.0).with_background(60.0, at);
            [point, SlicePrompt::new().with_box([at - 8.0, 4.0], [at + 10.0, 50.0])]
        })
        .collect();
    let alone: Vec<SliceMask> = prompts.iter().map(|p| encoded.segment(p).unwrap()).collect();
    // Once more: the same bits.
    assert_eq!(encoded.segment(&prompts[0]).unwrap(), alone[0]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = prompts
            .iter()
            .map(|prompt| {
                let (encoded, segmenter) = (encoded.clone(), &segmenter);
                scope.spawn(move || {
                    let again = segmenter.encode_slice(&image()).unwrap();
                    (encoded.segment(prompt).unwrap(), again.segment(prompt).unwrap())
                })
            })
            .collect();
        for (thread, expected) in threads.into_iter().zip(&alone) {
            let (kept, again) = thread.join().unwrap();
            assert_eq!(kept, *expected);
            assert_eq!(again, *expected);
        }
    });
}

#[test]
fn a_volumes_slice_is_the_volumes() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = segmenter(folder.path());
    let side = segmenter.model().spec().mask_side();
    let selection = segmenter.prompting().selection;
    let boxed = PromptingConfig { selection, ..PromptingConfig::new(Mode::Box, 1, side) };
    let segmenter = segmenter.with_prompting(boxed).unwrap();
    let volume = toy::volume([40, 32, 5], 1);
    let whole = segmenter.segment(&volume, &desam::Quiet).unwrap();
    for k in 0..5 {
        let encoded = segmenter.encode_volume_slice(&volume, k).unwrap();
        assert_eq!((encoded.width(), encoded.height()), (40, 32));
        let prompt = SlicePrompt::new().with_box([0.0, 0.0], [40.0, 32.0]);
        let found = encoded.segment(&prompt).unwrap();
        assert_eq!(found.mask.data(), whole.mask.slice(k).unwrap(), "slice {k}");
    }
    let error = segmenter.encode_volume_slice(&volume, 5).unwrap_err();
    assert!(matches!(error, Error::NoSuchSlice { index: 5, slices: 5 }), "{error}");
}

/// On the reference's trained model: a box around a phantom's prostate is the box in the encoder's
/// input that lies around the same part of the slice. (That model was trained for a few steps, to be
/// compared with the official program; its masks are no measure of prompting.)
#[test]
fn a_box_around_a_phantoms_prostate_is_mapped_to_the_encoders_input() {
    let file = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/tiny/trained.pth");
    if !file.is_file() {
        println!("skipped: no reference model at {}", file.display());
        return;
    }
    let segmenter = Segmenter::open(&file).unwrap();
    let case = phantom_case(&SiteStyle::six_sites()[0], 3).unwrap();
    let dims = case.image.grid().dims;
    let truth = |k: usize| -> Vec<u8> {
        case.labels.slice(k).unwrap().iter().map(|label| u8::from(*label > 0)).collect()
    };
    let area = |k: usize| truth(k).iter().map(|v| usize::from(*v)).sum::<usize>();
    let k = (0..dims[2]).max_by_key(|k| area(*k)).unwrap();
    let truth = BinaryMask::new(dims[1], dims[0], truth(k)).unwrap();
    let tight = truth.bounding_box().unwrap();
    // From pixel edge to pixel edge.
    let edges = [tight.x0, tight.y0, tight.x1 + 1.0, tight.y1 + 1.0];
    let [x0, y0, x1, y1] = edges.map(f64::from);
    let encoded = segmenter.encode_volume_slice(&case.image, k).unwrap();
    let prompt = SlicePrompt::new().with_box([x0, y0], [x1, y1]);
    let found = encoded.segment(&prompt).unwrap();
    assert_eq!(encoded.segment(&prompt).unwrap(), found);

    // By hand: slices are cut as they are stored, and stretched to the input.
    let model = segmenter.model();
    let prepared = model.record().preprocess.prepare(&case.image, model.spec()).unwrap();
    let features = model.encoder().encode(&prepared.pixels(k, model.device()).unwrap()).unwrap();
    let predictor = model.predictor();
    let context = predictor.context(&features).unwrap();
    let across = |v: f32, pixels: usize| v * model.spec().input_side as f32 / pixels as f32;
    let boxed = PromptBox {
        x0: across(edges[0], dims[0]),
        y0: across(edges[1], dims[1]),
        x1: across(edges[2], dims[0]),
        y1: across(edges[3], dims[1]),
    };
    let selection = segmenter.prompting().selection;
    let mut classes = predictor.predict_prompt(&context, Prompt::boxed(boxed), &selection).unwrap();
    let (expected, _) = classes.remove(0);
    let pixels = found.raw.mask.data().iter().zip(expected.mask.data());
    // The last bits of the corners may differ.
    assert!(pixels.filter(|(a, b)| a != b).count() <= 2);
    assert!(!expected.mask.is_empty());
    let [iou, other] = [found.predicted_iou, expected.predicted_iou].map(Option::unwrap);
    assert!((iou - other).abs() < 1e-4, "{iou} {other}");
}

#[test]
fn a_point_outside_the_crop_is_refused_and_a_box_is_clipped_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = segmenter(folder.path()).model().clone();
    let preprocess =
        PreprocessConfig { frame: Frame::Crop { side: 32 }, ..PreprocessConfig::official() };
    let record = ModelRecord { preprocess, ..model.record().clone() };
    let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
    let (sam, config) = (FrozenSam::random(&vit, 9).unwrap().sam, DecoderConfig::tiny(&vit.spec()));
    let decoder = load(Tensors::new(), &LoadOptions::seeded(10), |vb| config.build(vb)).unwrap();
    let model = Model::from_parts(ModelParts {
        encoder: Arc::new(sam.image),
        prompt_encoder: Arc::new(sam.prompt),
        decoder: Arc::new(decoder.module),
        record: Arc::new(record),
        compute: Compute::cpu(),
    });
    let segmenter = Segmenter::builder_from(model.unwrap()).build().unwrap();
    // The model sees the middle 32 of 64 pixels: 16 to 47.
    let encoded = segmenter.encode_slice(&image()).unwrap();
    let segment = |prompt: SlicePrompt| encoded.segment(&prompt);
    for (x, y) in [(5.0, 30.0), (30.0, 60.0)] {
        let error = segment(SlicePrompt::new().with_point(x, y)).unwrap_err();
        assert!(matches!(error, Error::SlicePrompt(PromptError::OutsideCrop { .. })), "{error}");
    }
    segment(SlicePrompt::new().with_point(16.0, 47.0)).unwrap();
    let outside = segment(SlicePrompt::new().with_box([2.0, 2.0], [12.0, 60.0])).unwrap_err();
    assert!(matches!(outside, Error::SlicePrompt(PromptError::OutsideCrop { .. })), "{outside}");
    let all = segment(SlicePrompt::new().with_box([0.0, 0.0], [64.0, 64.0])).unwrap();
    let crop = segment(SlicePrompt::new().with_box([16.0, 16.0], [48.0, 48.0])).unwrap();
    assert_eq!(all, crop);
    assert!((0..64).all(|at| !all.mask.get(at, 15) && !all.mask.get(48, at)));
}

#[test]
fn prompts_that_cannot_be_used_are_refused_by_kind() {
    let folder = tempfile::tempdir().unwrap();
    let encoded = segmenter(folder.path()).encode_slice(&image()).unwrap();
    let refused = |prompt: SlicePrompt| match encoded.segment(&prompt) {
        Err(Error::SlicePrompt(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(SlicePrompt::new()), PromptError::Empty);
    let nan = refused(SlicePrompt::new().with_point(f64::NAN, 3.0));
    assert!(matches!(nan, PromptError::NotFinite { .. }), "{nan}");
    for (x, y) in [(-0.6, 5.0), (5.0, 63.6), (1e300, 5.0)] {
        let outside = refused(SlicePrompt::new().with_point(x, y));
        assert!(matches!(outside, PromptError::OutsideImage { .. }), "{outside}");
        assert!(outside.to_string().contains("64 × 64"), "{outside}");
    }
    let outside = refused(SlicePrompt::new().with_box([3.0, 3.0], [70.0, 9.0]));
    assert!(matches!(outside, PromptError::OutsideImage { .. }), "{outside}");
    let flat = refused(SlicePrompt::new().with_box([9.0, 3.0], [9.0, 9.0]));
    assert!(matches!(flat, PromptError::EmptyBox { .. }), "{flat}");
    assert!(GraySlice::new(8, 8, [1.0; 2], vec![0.0; 63]).is_err());
    for spacing in [[0.0, 1.0], [1.0, -1.0], [f64::NAN, 1.0]] {
        let error = GraySlice::new(8, 8, spacing, vec![0.0; 64]).unwrap_err();
        assert!(matches!(error, Error::Spacing { .. }), "{error}");
    }
}

/// The toy model, which prompts by the whole box and knows the histogram of `source`.
fn trained_on(folder: &std::path::Path, source: &Volume) -> Segmenter {
    let path = toy::model(folder);
    let model = Model::open(&path, &Compute::cpu()).unwrap();
    let prepared = model.record().preprocess.prepare(source, model.spec()).unwrap();
    let histogram = IntensityHistogram::of((0..prepared.len()).map(|z| prepared.image(z))).unwrap();
    let statistics = SourceStatistics::default().with_histogram(Some(histogram));
    let record = ModelRecord { source_statistics: Some(statistics), ..model.record().clone() };
    record.replace_in_file(&path).unwrap();
    let boxed = PromptingConfig::new(Mode::Box, 1, model.spec().mask_side());
    let segmenter = Segmenter::builder(&path).prompting(boxed).build().unwrap();
    assert_eq!(segmenter.model().record(), &record);
    segmenter
}

#[test]
fn intensities_are_matched_in_volumes_and_slices_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (matching, quiet) = (PredictOptions::default().with_match_source(true), desam::Quiet);
    let unknown = segmenter(folder.path()).with_options(matching.clone());
    assert!(matches!(unknown, Err(Error::NoSourceHistogram)), "{unknown:?}");

    let volume = toy::volume([40, 32, 5], 1);
    let dark = volume.data().iter().map(|v| v.powi(3)).collect();
    let dark = Volume::new(*volume.grid(), dark).unwrap();
    let plain = trained_on(folder.path(), &volume);
    let matched = plain.clone().with_options(matching).unwrap();
    let whole = matched.segment(&volume, &quiet).unwrap();
    // The source itself stays as it is.
    let slices = |found: Segmentation| found.classes[0].slices.clone();
    assert_eq!(slices(whole), slices(plain.segment(&volume, &quiet).unwrap()));
    let predicted = matched.segment(&dark, &quiet).unwrap();
    assert_ne!(slices(predicted.clone()), slices(plain.segment(&dark, &quiet).unwrap()));
    for k in 0..5 {
        let encoded = matched.encode_volume_slice(&dark, k).unwrap();
        let prompt = SlicePrompt::new().with_box([0.0, 0.0], [40.0, 32.0]);
        let found = encoded.segment(&prompt).unwrap();
        assert_eq!(found.mask.data(), predicted.mask.slice(k).unwrap(), "slice {k}");
    }
}
