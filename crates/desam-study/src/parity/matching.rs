//! Stages of intensity matching: histogram matching against scikit-image, Nyúl's landmarks against
//! intensity-normalization, source matching against SRCSM.

use super::compare::Comparison;
use super::reference_vectors::ReferenceVectors;
use super::report::Stage;
use crate::Result;
use desam_data::preprocess::{NyulConfig, NyulScale, SourceDistribution, match_cdf, scale_mr};
use std::collections::BTreeMap;

/// Relative error limit: both programs compute in f64, and sums of counts are exact.
const MATCHED: f64 = 1e-12;

/// Training volumes of the reference, whose foreground is pooled.
const SOURCES: [&str; 3] = ["source0", "source1", "source2"];

/// The standard scales of the reference, by their name: its range, which the vectors do not hold.
const NYUL_RANGES: [(&str, [f64; 2]); 2] = [("default", [1.0, 100.0]), ("srcscale", [0.0, 1.0])];

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
    let mut stages = vec![
        compared("bytes", &whole("skimage.u8.in", "skimage.u8.reference")?, "skimage.u8.out")?,
        compared("volumes", &whole("target0", "source0")?, "skimage.target0_as_source0")?,
        compared("foreground", &foreground, "skimage.foreground.target0_as_all_sources")?,
    ];
    for (kind, range) in NYUL_RANGES {
        if file.has(&format!("nyul.{kind}.standard_scale")) {
            stages.extend(nyul(file, kind, range)?);
        }
    }
    if file.has("srcsm.source_values") {
        stages.extend(source_matching(file)?);
    }
    Ok(stages)
}

/// Nyúl's landmarks: the standard scale, and two volumes on it.
fn nyul(file: &ReferenceVectors, kind: &str, range: [f64; 2]) -> Result<[Stage; 2]> {
    let at = |name: &str| format!("nyul.{kind}.{name}");
    let mut volumes = Vec::new();
    for name in SOURCES {
        volumes.push(voxels(file, name)?);
    }
    let config = NyulConfig { percentiles: file.numbers(&at("percentiles"))?, range };
    let wrong = |error: desam_data::Error| file.wrong(error);
    let scale = NyulScale::fit(volumes.iter().map(Vec::as_slice), &config).map_err(wrong)?;
    let (mut standard, mut applied) = (Comparison::default(), Comparison::default());
    standard.values(scale.standard(), &file.numbers(&at("standard_scale"))?);
    for name in ["target0", "source0"] {
        let found = scale.apply(&voxels(file, name)?).map_err(wrong)?;
        applied.values(&found, &file.numbers(&at(name))?);
    }
    Ok([
        standard.relative(format!("Nyúl's standard scale, {kind}"), MATCHED),
        applied.relative(format!("Nyúl's volumes, {kind}"), MATCHED),
    ])
}

/// SRCSM's source matching: scaled volumes, the source's distribution, two matched volumes.
fn source_matching(file: &ReferenceVectors) -> Result<[Stage; 3]> {
    let wrong = |error: desam_data::Error| file.wrong(error);
    let scaled = |name: &str| scale_mr(&voxels(file, name)?).map_err(wrong);
    let doubles = |values: &[i32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    let mut volumes = Vec::new();
    for name in SOURCES {
        volumes.push(scaled(name)?);
    }
    let source = SourceDistribution::of(volumes.iter().map(Vec::as_slice)).map_err(wrong)?;
    let (mut values, mut shares) = (Comparison::default(), Comparison::default());
    values.values(&doubles(&scaled("target0")?), &file.numbers("srcsm.target0_scaled")?);
    values.values(&doubles(source.values()), &file.numbers("srcsm.source_values")?);
    values.values(&doubles(&source.range()), &file.numbers("srcsm.source_min_max")?);
    shares.values(source.shares(), &file.numbers("srcsm.source_cdf")?);
    let mut matched = Comparison::default();
    for name in ["target0", "target1"] {
        let found = source.matched(&scaled(name)?).map_err(wrong)?;
        let expected = format!("srcsm.{name}_as_source");
        matched.values(&doubles(&found), &file.numbers(&expected)?);
    }
    Ok([
        values.absolute("source matching, values", 0.0),
        shares.relative("source matching, shares", MATCHED),
        matched.absolute("source matching, volumes", 0.0),
    ])
}

/// The voxels of a volume.
fn voxels(file: &ReferenceVectors, name: &str) -> Result<Vec<f32>> {
    Ok(file.numbers(name)?.into_iter().map(|value| value as f32).collect())
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
    fn matched_volumes_are_those_of_the_official_programs() {
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
        assert!(report.passed() && report.stages.len() == 10, "{}", report.table());
    }
}
