//! From SAM's weights and volumes to masks and scores, as a user goes: embed, train, evaluate,
//! predict. Both spellings of SAM's keys come to the same bits.

use crate::support::{norm, numbers, phantoms, toy_vit};
use desam::data::cache::{FeatureCache, FeatureDtype, SlicePolicy};
use desam::data::layout::discover;
use desam::data::preprocess::PreprocessConfig;
use desam::decoder::DecoderConfig;
use desam::embed::{EmbedRequest, embed};
use desam::encoder::{Checkpoint, FrozenSam, checkpoint};
use desam::model::{EncoderChoice, Model, Trainable, TrainableOptions, WEIGHTS_FILE};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::volume::nifti::{read_labels, read_volume};
use desam::{Compute, Mode, PromptingConfig, Quiet, Segmenter};
use desam_study::evaluate::{EvaluateConfig, EvaluateRequest, Evaluation, Protocol, evaluate};
use desam_study::train::{Preset, RunDir, TrainConfig, TrainRequest, train};
use std::path::{Path, PathBuf};

/// A SAM of toy size: encoders and mask decoder, no PIMM.
fn sam() -> Tensors {
    let frozen = FrozenSam::random(&toy_vit(), 9).unwrap();
    let config = DecoderConfig::sam(&toy_vit().spec());
    let decoder = load(Tensors::new(), &LoadOptions::seeded(10), |vb| config.build(vb)).unwrap();
    let mut tensors = frozen.tensors;
    tensors.extend(decoder.tensors);
    tensors.retain(|name, _| !name.starts_with("mask_decoder.pimm."));
    tensors
}

/// Pieces of names, official and transformers' (table of the two layouts in the notes on weights).
const ENCODER: [(&str, &str); 8] = [
    ("patch_embed.proj.", "patch_embed.projection."),
    ("blocks.", "layers."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    ("neck.0.", "neck.conv1."),
    ("neck.1.", "neck.layer_norm1."),
    ("neck.2.", "neck.conv2."),
    ("neck.3.", "neck.layer_norm2."),
];
const PROMPT: [(&str, &str); 6] = [
    ("point_embeddings.", "point_embed."),
    ("mask_downscaling.0.", "mask_embed.conv1."),
    ("mask_downscaling.1.", "mask_embed.layer_norm1."),
    ("mask_downscaling.3.", "mask_embed.conv2."),
    ("mask_downscaling.4.", "mask_embed.layer_norm2."),
    ("mask_downscaling.6.", "mask_embed.conv3."),
];
const DECODER: [(&str, &str); 4] = [
    (".norm", ".layer_norm"),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
];
/// Layers of the heads; those of the transformer keep their numbers.
const HEAD: [(&str, &str); 3] =
    [("layers.0.", "proj_in."), ("layers.1.", "layers.0."), ("layers.2.", "proj_out.")];

fn renamed(name: &str, rules: &[(&str, &str)]) -> String {
    rules.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

fn transformers_name(name: &str) -> String {
    if name.ends_with("positional_encoding_gaussian_matrix") {
        return "shared_image_embedding.positional_embedding".into();
    }
    match name.split_once('.').unwrap() {
        ("image_encoder", rest) => format!("vision_encoder.{}", renamed(rest, &ENCODER)),
        ("prompt_encoder", rest) => format!("prompt_encoder.{}", renamed(rest, &PROMPT)),
        (part, rest) if rest.starts_with("iou_") || rest.starts_with("output_hyper") => {
            format!("{part}.{}", renamed(rest, &HEAD))
        }
        (part, rest) => format!("{part}.{}", renamed(rest, &DECODER)),
    }
}

/// What a user has after the whole path.
struct Outcome {
    model: Vec<u8>,
    history: Vec<u8>,
    scores: [Evaluation; 2],
    mask: Vec<u8>,
}

fn evaluation(cache: &FeatureCache, run: &Path, protocol: Protocol) -> Evaluation {
    let model = Model::open(run, &Compute::cpu()).unwrap();
    let automatic = PromptingConfig::new(Mode::Points, 3, model.spec().mask_side());
    let config = EvaluateConfig::new(protocol, automatic);
    let validation = RunDir::open(run).unwrap().manifest().unwrap().validation_cases;
    let request = EvaluateRequest::new(cache, &model, "A", &config).with_validation(&validation);
    evaluate(&request, &Quiet).unwrap()
}

fn whole_path(data: &Path, sam: &Path, work: &Path) -> Outcome {
    let (cache, run) = (work.join("cache"), work.join("run"));
    let mut request = EmbedRequest::new(data, &cache, EncoderChoice::file(sam.to_owned()));
    (request.dtype, request.slices) = (FeatureDtype::F16, SlicePolicy::All);
    assert_eq!(request.preprocess, PreprocessConfig::paper());
    let embedded = embed(&request, &Quiet).unwrap();
    assert_eq!((embedded.cases, embedded.reused), (4, 0));

    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Points);
    (config.epochs, config.learning_rate) = (1, 1e-3);
    let request = TrainRequest::new(&cache, &run, &config);
    let summary = train(&request, &Quiet).unwrap();
    assert_eq!((summary.best_epoch, summary.history.len()), (1, 1));
    assert!(summary.history[0].train_loss.is_finite());

    let cache = FeatureCache::open(&cache).unwrap();
    let scores = [Protocol::Paper, Protocol::Full].map(|p| evaluation(&cache, &run, p));
    let volume = &discover(data).unwrap()[3].image;
    let mask = work.join("mask.nii.gz");
    let segmenter = Segmenter::open(&run).unwrap();
    assert_eq!(segmenter.prompting().mode, Mode::Points);
    let predicted = segmenter.segment_file(volume, &mask, &Quiet).unwrap();
    let (mask, volume) = (read_labels(&mask).unwrap(), read_volume(volume).unwrap());
    assert_eq!(mask.grid(), volume.grid());
    let found: usize = mask.data().iter().map(|v| usize::from(*v)).sum();
    assert!(
        (predicted.size.volume_ml().unwrap() - found as f64 * mask.grid().voxel_mm3() / 1e3).abs()
            < 1e-9
    );
    Outcome {
        model: std::fs::read(&summary.model).unwrap(),
        history: std::fs::read(run.join("history.csv")).unwrap(),
        scores,
        mask: mask.data().to_vec(),
    }
}

fn scores_make_sense([paper, full]: &[Evaluation; 2], data: &Path) {
    for (evaluation, protocol) in [(paper, Protocol::Paper), (full, Protocol::Full)] {
        assert_eq!((evaluation.protocol, evaluation.mask_side), (protocol, 32));
        // One of A's two cases is held out, both of B's are scored.
        let sites: Vec<(&str, usize)> =
            evaluation.sites.iter().map(|s| (s.site.as_str(), s.cases)).collect();
        assert_eq!(sites, [("A", 1), ("B", 2)]);
        assert!(evaluation.unscored.is_empty());
        assert!(evaluation.cases.iter().all(|c| (0.0..=1.0).contains(&c.dice)));
        assert_eq!(evaluation.overall_dice, Some(evaluation.sites[1].mean_dice));
    }
    // The full protocol counts voxels of the label files themselves.
    for case in discover(data).unwrap() {
        let scored = full.cases.iter().find(|c| (&c.site, &c.case) == (&case.site, &case.id));
        let labels = read_labels(case.label.as_ref().unwrap()).unwrap();
        let truth = labels.data().iter().filter(|v| **v > 0).count() as u64;
        assert!(scored.is_none_or(|c| c.truth_voxels == truth), "{}/{}", case.site, case.id);
    }
    // 50 of 256 pixels in proportion: 6.25 of 32, rounded; the full protocol has no border.
    assert_eq!((paper.border_px, full.border_px), (6, 0));
}

fn write(folder: &Path, tensors: &Tensors) -> PathBuf {
    std::fs::create_dir(folder).unwrap();
    let file = folder.join("sam.safetensors");
    checkpoint::write(&file, tensors, &Default::default()).unwrap();
    file
}

#[test]
fn sam_in_either_spelling_becomes_a_trained_scored_model_with_the_same_bits() {
    let root = tempfile::tempdir().unwrap();
    let data = phantoms(root.path(), 2);
    let sam = sam();
    let foreign: Tensors =
        sam.iter().map(|(name, t)| (transformers_name(name), t.clone())).collect();
    assert!(foreign.contains_key("vision_encoder.layers.1.attn.rel_pos_h"));
    assert!(foreign.contains_key("mask_decoder.transformer.layers.0.layer_norm1.weight"));
    assert!(foreign.contains_key("mask_decoder.iou_prediction_head.proj_out.bias"));
    let [original, other] = ["original", "transformers"].map(|name| root.path().join(name));
    let files = [write(&original, &sam), write(&other, &foreign)];

    let first = whole_path(&data, &files[0], &original);
    scores_make_sense(&first.scores, &data);
    let second = whole_path(&data, &files[1], &other);
    assert!(first.model == second.model, "the models differ");
    assert!(first.history == second.history, "the histories differ");
    assert_eq!(first.scores, second.scores);
    assert_eq!(first.mask, second.mask);
    starts_from_sam(&original.join("cache"), &sam);
}

/// PRIM starts as SAM's mask decoder, PIMM from the seed.
fn starts_from_sam(cache: &Path, sam: &Tensors) {
    let weights = cache.join(WEIGHTS_FILE);
    let open = |seed| Trainable::open(&weights, &TrainableOptions::new(seed)).unwrap();
    let (one, two) = (open(1), open(2));
    assert_eq!(one.decoder.module.config().mlp_width, 8 * toy_vit().embedding_channels);
    let drawn = &one.decoder.report.initialised;
    for (name, tensor) in &one.decoder.tensors {
        let (ours, other) = (numbers(tensor), numbers(&two.decoder.tensors[name]));
        match sam.get(name) {
            Some(given) => assert!(ours == numbers(given), "{name} is not SAM's"),
            None => {
                assert!(name.starts_with("mask_decoder.pimm.") && drawn.contains(name), "{name}");
                assert!(ours != other && norm(&ours) > 0.0, "{name} was not drawn");
            }
        }
    }
    let kept = Checkpoint::open(&weights).unwrap().tensors;
    assert!(kept.keys().eq(sam.keys()));
}
