//! Whole models: the encoder, a step of training, a slice by a grid of points, and what the official
//! program computed.

pub(crate) mod encoder;
mod reference;
pub(crate) mod slice;
pub(crate) mod step;

use crate::Result;
use crate::arguments::Arguments;
use crate::case::Checked;
use crate::report::Report;
use desam::candle::Device;
use desam::core::Precision;

/// What a model's results may be apart by, ‖a − b‖ / ‖b‖. In f32 as in benches/compare between ours
/// and PyTorch. In bf16 a step is 2^-8 of a number, and a block rounds some ten times: their errors
/// add up like lengths at right angles.
struct Limits {
    results: f64,
    gradients: f64,
}

fn limits(precision: Precision) -> Limits {
    match precision {
        Precision::F32 => Limits { results: 1e-4, gradients: 1e-3 },
        Precision::Bf16 => Limits { results: 3e-2, gradients: 0.15 },
    }
}

/// Both on a GPU; a processor has f32 alone.
fn precisions(device: &Device) -> &'static [Precision] {
    match device.is_cpu() {
        true => &[Precision::F32],
        false => &[Precision::F32, Precision::Bf16],
    }
}

/// A row a result, or one that says what went wrong.
fn rows(
    (model, sizes): (&str, &str),
    precision: Precision,
    found: Result<Vec<(&'static str, f64, f64)>>,
) -> Vec<Checked> {
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
        Err(why) => vec![row("result", f64::INFINITY, 0.0, Some(why.to_string()))],
    }
}

pub(crate) fn check(arguments: &Arguments, device: &Device, report: &mut Report) -> Result<()> {
    for &precision in precisions(device) {
        for preset in if arguments.quick { &["tiny"][..] } else { &["tiny", "vit-b", "vit-h"] } {
            let found = encoder::check(preset, precision, device);
            report.parity(rows(("image encoder", preset), precision, found));
        }
        for preset in if arguments.quick { &["tiny"][..] } else { &["tiny", "vit-b"] } {
            let found = step::check(preset, precision, device);
            report.parity(rows(("training step", preset), precision, found));
            let found = slice::check(preset, precision, device);
            report.parity(rows(("slice by a grid", preset), precision, found));
        }
    }
    if let Some(dir) = &arguments.reference {
        report.parity(reference::check(dir, device)?);
    }
    Ok(())
}
