//! What `desam parity` checks.

use crate::Result;
use crate::case::Checked;
use desam::Quiet;
use desam::candle::Device;
use desam::parity::{Measure, parity};
use std::path::Path;

pub(super) fn check(dir: &Path, _device: &Device) -> Result<Vec<Checked>> {
    let report = parity(dir, &Quiet)?;
    let row = |stage: desam::parity::Stage| {
        let (what, error) = match stage.limited {
            Measure::RelativeError => ("distance", stage.relative_error),
            Measure::LargestDifference => ("largest", stage.largest_difference),
        };
        Checked {
            op: "official program".to_owned(),
            sizes: stage.name,
            dtype: "f32".to_owned(),
            what,
            error,
            limit: stage.limit,
            failure: (!stage.passed).then(|| "exceeds its limit".to_owned()),
        }
    };
    Ok(report.stages.into_iter().map(row).collect())
}
