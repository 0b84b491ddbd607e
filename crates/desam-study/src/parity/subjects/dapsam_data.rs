//! DAPSAM's data: preprocessing of slices, data augmentation with given draws, and scoring.

use super::{SubjectFiles, SubjectReport};
use crate::Result;
use crate::parity::compare::Comparison;
use crate::parity::reference_vectors::ReferenceVectors;
use crate::parity::report::Stage;
use desam_core::BinaryMask;
use desam_data::augment::plane::{Boundary, Plane, SamplingGrid};
use desam_data::preprocess::clip_positive;
use desam_metrics::metric::Confusion;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Limit for values that the reference stores in f32, or computes from such.
const SINGLE: f64 = 1e-6;

/// Limit for values in double precision.
const DOUBLE: f64 = 1e-9;

/// Smoothing of the Dice score, `2 I + s` over `P + T + s`.
const SMOOTHING: f64 = 1e-6;

/// The draws of each transform, in order: the kind of the draw, and its value.
#[derive(Deserialize)]
struct Config {
    draws: BTreeMap<String, Vec<(String, f64)>>,
}

impl Config {
    /// The value `back` places before the last draw of `transform`.
    fn draw(&self, file: &ReferenceVectors, transform: &str, back: usize) -> Result<f64> {
        let drawn = self.draws.get(transform).and_then(|d| d.iter().nth_back(back));
        let missing = || file.wrong(format!("config.draws has too few draws of {transform}"));
        drawn.map(|(_, value)| *value).ok_or_else(missing)
    }
}

pub(super) fn dapsam_data(files: &SubjectFiles<'_>) -> Result<SubjectReport> {
    let (file, config) = (&files.vectors, files.config::<Config>()?);
    let [slices, _, height, width] = file.dims("raw")?;
    let size = Size { height, width };
    let mut stages = Vec::new();
    let (mut clipped, mut normalised) = (Vec::new(), Vec::new());
    for (raw, given) in size.slices(file, "raw")?.zip(size.slices(file, "clipped")?) {
        let mut values: Vec<f32> = raw.iter().map(|v| *v as f32).collect();
        clip_positive(&mut values, [0.2, 99.8])?;
        clipped.extend(values.into_iter().map(f64::from));
        normalised.extend(Plane::new(height, width, given)?.z_score().into_values());
    }
    stages.push(stage(file, "clipped", &clipped, SINGLE)?);
    stages.push(stage(file, "normalised", &normalised, SINGLE)?);
    stages.push(score(file)?);
    stages.extend(coordinates(file, &config, &size)?);
    let first = |name: &str| -> Result<Vec<f64>> {
        let first = size.slices(file, name)?.next();
        first.ok_or_else(|| file.wrong(format!("{name} has no slice, of {slices}")))
    };
    let image = Plane::new(height, width, first("clipped")?)?;
    let label = first("label")?.into_iter().map(|v| u8::from(v > 0.0)).collect();
    let label = BinaryMask::new(height, width, label)?;
    stages.extend(warps(file, &image, &label)?);
    stages.extend(intensities(file, &config, &image)?);
    Ok(SubjectReport { stages, ..SubjectReport::default() })
}

/// Sides of the slices.
struct Size {
    height: usize,
    width: usize,
}

impl Size {
    /// The values of a stack of slices, slice by slice.
    fn slices(
        &self,
        file: &ReferenceVectors,
        name: &str,
    ) -> Result<impl Iterator<Item = Vec<f64>>> {
        let (values, count) = (file.numbers(name)?, (self.height * self.width).max(1));
        if values.len() % count != 0 {
            let (height, width) = (self.height, self.width);
            return Err(file.wrong(format!("{name} are no slices of {height} × {width}")));
        }
        let slices: Vec<Vec<f64>> = values.chunks(count).map(<[f64]>::to_vec).collect();
        Ok(slices.into_iter())
    }
}

/// Compares values with those of a tensor.
fn stage(file: &ReferenceVectors, name: &str, found: &[f64], limit: f64) -> Result<Stage> {
    let mut compared = Comparison::default();
    compared.values(found, &file.numbers(name)?);
    Ok(compared.relative(format!("dapsam_data {name}"), limit))
}

/// The Dice score of a case, foreground from a probability of one half on.
fn score(file: &ReferenceVectors) -> Result<Stage> {
    let masks = |name: &str, from: f64| -> Result<Vec<u8>> {
        Ok(file.numbers(name)?.into_iter().map(|v| u8::from(v >= from)).collect())
    };
    let counts = Confusion::count(&masks("score.probability", 0.5)?, &masks("score.truth", 1.0)?)?;
    stage(file, "score.dice", &[counts.smoothed_dice(SMOOTHING)], SINGLE)
}

/// Sampling coordinates: the mesh, rotated, scaled, elastic displacements, and those of whole transforms.
fn coordinates(file: &ReferenceVectors, config: &Config, size: &Size) -> Result<Vec<Stage>> {
    let &Size { height, width } = size;
    let mesh = SamplingGrid::centred(height, width);
    let compare = |name: &str, grid: &SamplingGrid| {
        stage(file, name, &[grid.rows(), grid.columns()].concat(), DOUBLE)
    };
    let noise = Plane::new(height, width, file.numbers("elastic.noise")?)?;
    let blurred = noise.gaussian_filter(10.0, Boundary::Zero).map(|v| 300.0 * v);
    Ok(vec![
        compare("spatial.mesh", &mesh)?,
        compare("rotate.coords", &mesh.clone().rotate(0.2))?,
        compare("scale.coords", &mesh.clone().scale(1.1))?,
        stage(file, "elastic.blurred", blurred.values(), DOUBLE)?,
        // The last two draws are the middle, which the official program draws from one value.
        compare(
            "spatial1.coords",
            &mesh.clone().rotate(config.draw(file, "spatial1", 2)?).onto_slice(),
        )?,
        compare("spatial2.coords", &mesh.scale(config.draw(file, "spatial2", 2)?).onto_slice())?,
    ])
}

/// Image and label read at the reference's coordinates.
fn warps(file: &ReferenceVectors, image: &Plane, label: &BinaryMask) -> Result<Vec<Stage>> {
    let (height, width) = (image.height(), image.width());
    let [mut images, mut labels]: [Comparison; 2] = Default::default();
    for name in file.between("spatial", ".coords") {
        let mut rows = file.numbers(&format!("spatial{name}.coords"))?;
        let columns = rows.split_off((height * width).min(rows.len()));
        let grid = SamplingGrid::new(height, width, rows, columns)?;
        let expected = file.numbers(&format!("spatial{name}.image"))?;
        images.values(grid.image(image).values(), &expected);
        let found: Vec<f64> = grid.mask(label)?.data().iter().map(|v| f64::from(*v)).collect();
        labels.values(&found, &file.numbers(&format!("spatial{name}.label"))?);
    }
    Ok(vec![
        images.relative("dapsam_data warped images", SINGLE),
        labels.absolute("dapsam_data warped labels", 0.0),
    ])
}

/// Intensity transforms with the reference's draws.
fn intensities(file: &ReferenceVectors, config: &Config, image: &Plane) -> Result<Vec<Stage>> {
    let last = |name: &str| config.draw(file, name, 0);
    let mut stages = Vec::new();
    for (name, found) in [
        ("blur", image.gaussian_filter(last("blur")?, Boundary::Reflect)),
        ("multiply", {
            let factor = last("multiply")?;
            image.map(|v| v * factor)
        }),
        ("contrast0", image.contrast(last("contrast0")?)),
        ("contrast1", image.contrast(last("contrast1")?)),
        ("gamma0", image.gamma(last("gamma0")?)),
        ("gamma1", image.gamma(last("gamma1")?)),
        ("lowres0", image.low_resolution(last("lowres0")?)),
        ("lowres1", image.low_resolution(last("lowres1")?)),
    ] {
        stages.push(stage(file, name, found.values(), SINGLE)?);
    }
    Ok(stages)
}
