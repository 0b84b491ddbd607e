//! The image encoder, few blocks of it, against itself on the processor.

use super::limits;
use crate::Result;
use crate::case::apart;
use desam::candle::{DType, Device};
use desam::core::{ImageEncoder, ImageFeatures, Precision};
use desam::encoder::VitConfig;
use desam::nn::params::{LoadOptions, Missing, load};
use desam_benches::wave;

/// A preset's widths on a small image: a block with windows, then two global ones.
fn small(preset: &str) -> Result<VitConfig> {
    let full = VitConfig::preset(preset)?;
    Ok(VitConfig { input_side: 256, depth: 3, global_blocks: vec![1, 2], ..full })
}

pub(super) fn check(
    preset: &str,
    precision: Precision,
    device: &Device,
) -> Result<Vec<(&'static str, f64, f64)>> {
    let config = small(preset)?;
    let options = |device: &Device| LoadOptions {
        missing: Missing::Initialise { seed: 1 },
        device: device.clone(),
        ..LoadOptions::frozen()
    };
    let here = load(Default::default(), &options(&Device::Cpu), |vb| config.build(vb))?;
    let pixels = wave(&[2, 3, 256, 256], 0.5);
    let expected = here.module.encode(&pixels)?;
    let there = load(here.tensors, &options(device), |vb| config.build(vb))?.module;
    let found = there.encode(&pixels.to_device(device)?)?;
    let ImageFeatures { taps, embedding } = found;
    let mut tap = 0.0f64;
    for (found, expected) in taps.iter().zip(&expected.taps) {
        tap = tap.max(apart(&found.to_dtype(DType::F32)?, expected, true)?);
    }
    let embedding = apart(&embedding, &expected.embedding, true)?;
    let limit = limits(precision).results;
    Ok(vec![("taps", tap, limit), ("embedding", embedding, limit)])
}
