//! A checkpoint of ours is one of the official program's: the same names, shapes and types; and
//! what it trained is read back here.

use crate::support::{Official, numbers, phantoms, reference, vectors};
use desam::candle::DType;
use desam::embed::{EmbedRequest, embed};
use desam::encoder::Checkpoint;
use desam::model::{EncoderChoice, Model, Trainable, TrainableOptions, WEIGHTS_FILE};
use desam::nn::params::{LoadOptions, Tensors};
use desam::types::MaskDecoder;
use desam::{Compute, Mode, Quiet};
use desam_study::train::{Preset, TrainConfig, TrainRequest, train};
use std::path::Path;

fn signature(tensors: &Tensors) -> Vec<(&str, DType, &[usize])> {
    tensors.iter().map(|(name, t)| (name.as_str(), t.dtype(), t.dims())).collect()
}

#[test]
fn a_trained_model_has_the_keys_shapes_and_types_of_the_official_ones_and_reopens() {
    let Some(folder) = reference("official checkpoint") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let (cache, out) = (root.path().join("cache"), root.path().join("run"));
    // `init.pth` holds the whole state dict before training, PIMM included (README of the vectors).
    let encoder = EncoderChoice::file(folder.join("init.pth"));
    embed(&EmbedRequest::new(phantoms(root.path(), 1), &cache, encoder), &Quiet).unwrap();
    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Box);
    config.epochs = 1;
    let request = TrainRequest::new(&cache, &out, &config);
    let summary = train(&request, &Quiet).unwrap();

    let ours = vectors(&summary.model);
    assert_eq!(signature(&ours), signature(&vectors(&folder.join("trained.safetensors"))));
    // The .pth of the same state dict, through our own reader: names and shapes.
    let official = Checkpoint::open(folder.join("trained.pth")).unwrap();
    assert_eq!(signature(&ours), signature(&official.tensors));

    // Frozen parameters are untouched, bit for bit; the decoder is not where it started.
    let initial = Checkpoint::open(folder.join("init.pth")).unwrap().tensors;
    let mut moved = 0;
    for (name, tensor) in &ours {
        let same = numbers(tensor) == numbers(&initial[name]);
        let trained = name.starts_with("mask_decoder.");
        assert!(same || trained, "{name} is frozen and has changed");
        moved += usize::from(!same);
    }
    assert!(moved > 80, "{moved} parameters were trained");

    let model = Model::open(&out, &Compute::cpu()).unwrap();
    let training = model.record().training.as_ref().unwrap();
    assert_eq!(
        (training.mode, training.epoch, training.source.single()),
        (Mode::Box, 1, Some("A"))
    );
    Official::open(&summary.model, &LoadOptions::frozen());
}

#[test]
fn a_model_that_was_not_trained_decodes_as_the_file_it_came_from() {
    let Some(folder) = reference("official checkpoint, untrained") else {
        return;
    };
    let file = folder.join("trained.pth");
    let model = Model::open(&file, &Compute::cpu()).unwrap();
    assert!(model.record().training.is_none());
    let official = Official::open(&file, &LoadOptions::frozen());
    assert_eq!(model.decoder_config(), Some(official.decoder.module.config()));
    let _: &dyn MaskDecoder = model.decoder();
}

/// A folder like a cache's: weights with the record that `desam embed` writes.
fn weights(root: &Path) -> std::path::PathBuf {
    let config = crate::support::toy_vit();
    let cache = root.join("cache");
    let encoder = EncoderChoice::Random { config, seed: 2 };
    embed(&EmbedRequest::new(phantoms(root, 1), &cache, encoder), &Quiet).unwrap();
    cache.join(WEIGHTS_FILE)
}

#[test]
fn a_file_with_half_of_pimm_or_prim_is_refused_with_the_keys_it_lacks() {
    let root = tempfile::tempdir().unwrap();
    let weights = weights(root.path());
    let open = |init: Option<&Path>| {
        let mut options = TrainableOptions::new(1);
        options.init = init.map(Path::to_path_buf);
        Trainable::open(&weights, &options).map_err(|e| e.to_string())
    };
    let whole = open(None).unwrap().decoder.tensors;
    let refused = |given: &Tensors, name: &str| {
        let file = root.path().join(name);
        desam::encoder::checkpoint::write(&file, given, &Default::default()).unwrap();
        open(Some(&file)).map(|_| ()).unwrap_err()
    };
    let halves = [
        // The steps up are gone, the context blocks are there.
        ("mask_decoder.pimm.conv_blocks_localization.", "pimm.safetensors"),
        // The final attention is gone, the rest of PRIM is there.
        ("mask_decoder.transformer.final_attn_token_to_image.", "prim.safetensors"),
    ];
    for (prefix, file) in halves {
        let (gone, kept): (Tensors, Tensors) =
            whole.clone().into_iter().partition(|(name, _)| name.starts_with(prefix));
        assert!(!gone.is_empty());
        let message = refused(&kept, file);
        for name in gone.keys() {
            assert!(message.contains(name.as_str()), "{name} is not in: {message}");
        }
        assert!(message.contains(file), "{message}");
        assert!(kept.keys().all(|name| !message.contains(name.as_str())), "{message}");
    }
    // All of PIMM gone is no half: it is drawn from the seed.
    let (_, prim): (Tensors, Tensors) =
        whole.into_iter().partition(|(name, _)| name.starts_with("mask_decoder.pimm."));
    let file = root.path().join("sam.safetensors");
    desam::encoder::checkpoint::write(&file, &prim, &Default::default()).unwrap();
    let opened = open(Some(&file)).unwrap();
    let drawn = &opened.decoder.report.initialised;
    assert!(!drawn.is_empty() && drawn.iter().all(|n| n.starts_with("mask_decoder.pimm.")));
}
