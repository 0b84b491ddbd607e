//! Stages of histogram matching, against scikit-image.

use super::compare::Comparison;
use super::reference_vectors::ReferenceVectors;
use super::report::Stage;
use crate::Result;
use desam_data::preprocess::match_cdf;
use std::collections::BTreeMap;

/// Relative error limit: both programs compute in f64, and sums of counts are exact.
const MATCHED: f64 = 1e-12;

/// Training volumes of the reference, whose foreground is pooled.
const SOURCES: [&str; 3] = ["source0", "source1", "source2"];

/// Compares the matched volumes: bytes, whole volumes, and the foreground against several sources.
pub(super) fn matching(file: &ReferenceVectors) -> Result<Vec<Stage>> {
    let compared = |name: &str, found: &[f64], expected: &str| -> Result<Stage> {
        let mut comparison = Comparison::default();
        comparison.values(found, &file.numbers(expected)?);
        Ok(comparison.relative(format!("histogram matching, {name}"), MATCHED))
    };
    let whole = |target: &str, source: &str| -> Result<Vec<f64>> {
        Ok(matched(&file.numbers(target)?, &file.numbers(source)?, f64::NEG_INFINITY))
    };
    let mut sources = Vec::new();
    for name in SOURCES {
        sources.extend(file.numbers(name)?);
    }
    let foreground = matched(&file.numbers("target0")?, &sources, 0.0);
    Ok(vec![
        compared("bytes", &whole("skimage.u8.in", "skimage.u8.reference")?, "skimage.u8.out")?,
        compared("volumes", &whole("target0", "source0")?, "skimage.target0_as_source0")?,
        compared("foreground", &foreground, "skimage.foreground.target0_as_all_sources")?,
    ])
}

/// The target with its values above `least` matched to those of the source; others stay.
fn matched(target: &[f64], source: &[f64], least: f64) -> Vec<f64> {
    let values = occurrences(target, least);
    let source: Vec<(f64, u64)> = occurrences(source, least).into_values().collect();
    let counts: Vec<u64> = values.values().map(|(_, count)| *count).collect();
    let table: BTreeMap<u64, f64> = values.into_keys().zip(match_cdf(&counts, &source)).collect();
    target.iter().map(|value| table.get(&ordered(*value)).copied().unwrap_or(*value)).collect()
}

/// Distinct values above `least` with their number, by rising value.
fn occurrences(values: &[f64], least: f64) -> BTreeMap<u64, (f64, u64)> {
    let mut found: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
    for value in values.iter().filter(|value| **value > least) {
        found.entry(ordered(*value)).or_insert((*value, 0)).1 += 1;
    }
    found
}

/// Bits that are ordered as the numbers are; −0 is 0.
fn ordered(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

#[cfg(test)]
mod tests {
    use crate::parity::parity;
    use desam_core::Quiet;
    use std::path::Path;

    #[test]
    fn matched_volumes_are_those_of_scikit_image() {
        let name = "matching.safetensors";
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/beyond");
        let Ok(vectors) = std::fs::read(from.join(name)) else {
            println!("skipped: there are no reference vectors at {}", from.display());
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), vectors).unwrap();
        let report = parity(dir.path(), &Quiet).unwrap();
        println!("{}", report.table());
        assert!(report.passed() && report.stages.len() == 3, "{}", report.table());
    }
}
