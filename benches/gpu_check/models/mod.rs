//! Whole models: the encoder, a step of training, a slice by a grid of points, and what the official
//! program computed.

pub(crate) mod encoder;
mod reference;
pub(crate) mod slice;
pub(crate) mod step;

use crate::Result;
use crate::arguments::Arguments;
use crate::case::{Checked, first_line};
use crate::gauge::TargetDevice;
use crate::report::Report;
use desam::decoder::DecoderConfig;
use desam::types::{EncoderSpec, Precision};

/// What a model's results may be apart by, ‖a − b‖ / ‖b‖. In f32 as in benches/compare between ours
/// and PyTorch; in bf16 as `desam parity` has it for the encoder (docs/gpu.md): a product rounds its two
/// inputs and its output by 2^-9 at most, and `products` in a row add up like a random walk. Gradients are all of
/// them as one vector. In f32 their limit is benches/compare's; in bf16 it is wider than that of `desam
/// parity`, since nothing here is trained: noise crosses zero everywhere. What a rectifier of PIMM takes in is
/// off by a hundredth of its spread, so that of two hundred numbers one is on the other side of zero, whose
/// gradient is another one: √(1/200) of its length, and there is more than one rectifier (0.08 in the
/// emulation).
struct Limits {
    results: f64,
    gradients: f64,
}

impl Limits {
    fn of(precision: Precision, products: f64) -> Self {
        let walk = |products: f64| (3.0 * products).sqrt() / 512.0;
        match precision {
            Precision::F32 => Self { results: 1e-4, gradients: 1e-3 },
            Precision::Bf16 => Self { results: walk(products), gradients: 0.15 },
        }
    }

    /// Of SAM's mask decoder, PIMM behind it.
    fn decoder(precision: Precision) -> Self {
        Self::of(precision, DECODER)
    }
}

/// Products in a row at SAM's sizes: 14 in each of PRIM's two blocks and 4 behind them, 5 in each of
/// PIMM's three levels and 3 around them.
const DECODER: f64 = 50.0;

/// The decoder that a training takes for an encoder of this `spec`: SAM's sizes, or the tiny one's.
fn decoder_for(spec: &EncoderSpec) -> DecoderConfig {
    match spec.embedding_channels {
        256 => DecoderConfig::sam(spec),
        _ => DecoderConfig::tiny(spec),
    }
}

/// Both on a GPU; a CPU has f32 alone.
fn precisions(target: &TargetDevice) -> &'static [Precision] {
    if target.is_processor() { &[Precision::F32] } else { &[Precision::F32, Precision::Bf16] }
}

/// What was compared, how far apart it was, and how far it may be.
type Found = Result<Vec<(&'static str, f64, f64)>>;
type Check = fn(&str, Precision, &TargetDevice) -> Found;

/// A row a result, or one that says what went wrong.
fn rows((model, sizes): (&str, &str), precision: Precision, found: Found) -> Vec<Checked> {
    let row = |what, error: f64, limit, failure| Checked {
        op: model.to_owned(),
        sizes: sizes.to_owned(),
        dtype: precision.to_string(),
        what,
        error: if error.is_nan() { f64::INFINITY } else { error },
        limit,
        failure,
    };
    match found {
        Ok(found) => found.into_iter().map(|(what, e, limit)| row(what, e, limit, None)).collect(),
        Err(why) => vec![row("result", f64::INFINITY, 0.0, Some(first_line(&*why)))],
    }
}

pub(crate) fn check(
    arguments: &Arguments,
    target: &TargetDevice,
    report: &mut Report,
) -> Result<()> {
    let quick = arguments.quick;
    let encoders: &[&str] = if quick { &["tiny"] } else { &["tiny", "vit-b", "vit-h"] };
    let decoders: &[&str] = if quick { &["tiny"] } else { &["tiny", "vit-b"] };
    let models: [(&str, &[&str], Check); 3] = [
        ("image encoder", encoders, encoder::check),
        ("training step", decoders, step::check),
        ("slice by a grid", decoders, slice::check),
    ];
    for &precision in precisions(target) {
        for (model, presets, check) in models {
            for preset in presets.iter().filter(|_| arguments.wants(model)) {
                let found = check(preset, precision, target);
                report.parity(rows((model, preset), precision, found));
            }
        }
    }
    let Some(dir) = arguments.reference.as_ref().filter(|_| !target.emulated) else {
        return Ok(());
    };
    for &precision in precisions(target) {
        report.parity(reference::check(dir, precision, &target.device)?);
    }
    Ok(())
}
