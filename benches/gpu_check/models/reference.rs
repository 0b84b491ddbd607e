//! What `desam parity` checks.

use crate::Result;
use crate::case::Checked;
use desam::Quiet;
use desam::candle::Device;
use desam::types::Precision;
use desam_study::parity::{Measure, ParityOptions, parity_on};
use std::path::Path;

pub(super) fn check(dir: &Path, precision: Precision, device: &Device) -> Result<Vec<Checked>> {
    let options = ParityOptions::default().with_device(device.clone()).with_precision(precision);
    let report = parity_on(dir, &options, &Quiet)?;
    let row = |stage: desam_study::parity::Stage| {
        let (what, error) = match stage.limited {
            Measure::RelativeError => ("distance", stage.relative_error),
            Measure::LargestDifference => ("largest", stage.largest_difference),
        };
        Checked {
            op: "official program".to_owned(),
            sizes: stage.name,
            dtype: precision.to_string(),
            what,
            error,
            limit: stage.limit,
            failure: (!stage.passed).then(|| "exceeds its limit".to_owned()),
        }
    };
    Ok(report.stages.into_iter().map(row).collect())
}
