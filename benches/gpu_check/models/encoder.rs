//! The image encoder, few blocks of it, against itself on the CPU.

use super::{Found, Limits};
use crate::Result;
use crate::distance::apart;
use crate::gauge::TargetDevice;
use desam::candle::Device;
use desam::encoder::VitConfig;
use desam::nn::params::{LoadOptions, Missing, load};
use desam::types::{ImageEncoder, ImageFeatures, Precision};
use desam_benches::wave;

/// A preset's widths on a small image: a block with windows, then two global ones.
fn small(preset: &str) -> Result<VitConfig> {
    let full = VitConfig::preset(preset)?;
    Ok(VitConfig { input_side: 256, depth: 3, global_blocks: vec![1, 2], ..full })
}

pub(super) fn check(preset: &str, precision: Precision, target: &TargetDevice) -> Found {
    let config = small(preset)?;
    let options = |device: &Device| LoadOptions {
        missing: Missing::Initialise { seed: 1 },
        device: device.clone(),
        ..LoadOptions::frozen()
    };
    let here = load(Default::default(), &options(&Device::Cpu), |vb| config.build(vb))?;
    let pixels = wave(&[2, 3, 256, 256], 0.5);
    let expected = here.module.encode(&pixels)?;
    let build = |vb| config.build_in(vb, precision);
    let there = load(here.tensors, &options(&target.device), build)?.module;
    let pixels = pixels.to_device(&target.device)?;
    let found = target.run(|| {
        let ImageFeatures { taps, embedding } = there.encode(&pixels)?;
        Ok([taps, vec![embedding]].concat())
    })?;
    let expected = [expected.taps, vec![expected.embedding]].concat();
    let apart = found.iter().zip(&expected).map(|(a, b)| apart(a, b, true));
    let apart = apart.collect::<Result<Vec<f64>>>()?;
    let (embedding, taps) = apart.split_last().ok_or("the encoder gives nothing")?;
    // As `desam parity` counts them: six a block, and what stands before and behind.
    let limit = Limits::of(precision, (6 * config.depth + 3) as f64).results;
    let worst = taps.iter().copied().fold(0.0, f64::max);
    Ok(vec![("taps", worst, limit), ("embedding", *embedding, limit)])
}
