//! What the subjects share: reference vectors, models from them, toy data.

use desam::Quiet;
use desam::candle::{DType, Device, Tensor};
use desam::data::phantom::{PhantomConfig, SiteStyle, write_phantoms};
use desam::decoder::{Decoder, DecoderConfig};
use desam::encoder::{Checkpoint, FrozenSam, SamOptions, VitConfig};
use desam::nn::params::{LoadOptions, Loaded, Tensors, load};
use std::path::{Path, PathBuf};

/// The reference vectors beside the checkout, or `None`, said aloud, where there are none.
pub(crate) fn reference(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/tiny");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("{test}: skipped, there are no reference vectors at {}", folder.display());
    None
}

/// The tensors of a safetensors file, in the types they are stored in.
pub(crate) fn vectors(file: &Path) -> Tensors {
    desam::candle::safetensors::load(file, &Device::Cpu).unwrap().into_iter().collect()
}

/// `value` after `change`: settings that grow cannot be written as a literal outside their crate.
pub(crate) fn changed<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// Numbers of any tensor in double precision.
pub(crate) fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Euclidean length.
pub(crate) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// An official checkpoint's decoder.
pub(crate) struct Official {
    pub(crate) decoder: Loaded<Decoder>,
}

impl Official {
    /// Nothing may be missing, left over or drawn from a seed.
    pub(crate) fn open(file: &Path, options: &LoadOptions) -> Self {
        let checkpoint = Checkpoint::open(file).unwrap();
        let frozen = FrozenSam::load(&checkpoint, &SamOptions::default()).unwrap();
        let spec = VitConfig::from_tensors(&checkpoint.tensors).unwrap().spec();
        let part = checkpoint.part("mask_decoder.");
        let config = DecoderConfig::from_tensors(&part, &spec).unwrap();
        let decoder = load(part, options, |vb| config.build(vb)).unwrap();
        let mut report = frozen.report;
        report.merge(decoder.report.clone());
        report.check().unwrap();
        assert!(report.initialised.is_empty(), "{:?}", report.initialised);
        Self { decoder }
    }
}

/// An encoder of SAM's make so small that a slice costs nothing: 8×8 grid, windows and global
/// blocks, three taps.
pub(crate) fn toy_vit() -> VitConfig {
    VitConfig {
        input_side: 128,
        patch: 16,
        width: 48,
        depth: 8,
        heads: 2,
        mlp_width: 96,
        window: 3,
        global_blocks: vec![1, 3, 5, 7],
        embedding_channels: 32,
    }
}

/// Phantoms of the first `sites` sites, two cases each, in `root/data`.
pub(crate) fn phantoms(root: &Path, sites: usize) -> PathBuf {
    let sites = SiteStyle::six_sites().into_iter().take(sites).collect();
    let config = PhantomConfig { cases_per_site: 2, seed: 5, sites };
    let folder = root.join("data");
    write_phantoms(&folder, &config, &Quiet).unwrap();
    folder
}
