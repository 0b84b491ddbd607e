//! A model that has not been trained, and volumes for it.

#![allow(dead_code, reason = "every test uses a part of it")]

use desam::types::{Affine, Grid, Volume};
use desam::volume::nifti::write_volume;
use desam::{Compute, Mode, Model, PromptingConfig, Segmenter};
use std::path::{Path, PathBuf};

include!("files.rs");

/// The model, prompting by a 3×3 grid. An untrained PRIM expects nothing of any point; at 0 the
/// filter is off.
pub(crate) fn segmenter(model: &Path) -> Segmenter {
    let side = Model::open(model, &Compute::cpu()).unwrap().spec().mask_side();
    let mut prompting = PromptingConfig::new(Mode::Points, 3, side);
    prompting.selection.iou_threshold = 0.0;
    Segmenter::open(model).unwrap().with_prompting(prompting).unwrap()
}

/// A bright ball on noise, another for every `seed`; stored as scanners do, tilted.
pub(crate) fn volume(dims: [usize; 3], seed: usize) -> Volume {
    let (s, c) = 0.2_f64.sin_cos();
    let rows =
        [[-0.5, 0.0, 0.0, 9.0], [0.0, -0.5 * c, -3.0 * s, 8.0], [0.0, -0.5 * s, 3.0 * c, 7.0]];
    let grid = Grid { dims, affine: Affine(rows) };
    let value = |at: usize| {
        let here = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
        let off = |a: usize| (here[a] as f64 + 0.5) / dims[a] as f64 - 0.45 - 0.02 * seed as f64;
        let inside = (0..3).map(|a| off(a).powi(2)).sum::<f64>() < 0.06;
        let noise = (at + 977 * seed).wrapping_mul(2_654_435_761) >> 9 & 127;
        noise as f32 + if inside { 400.0 } else { 100.0 }
    };
    Volume::new(grid, (0..grid.len()).map(value).collect()).unwrap()
}

/// Writes volumes of `slices` slices each.
pub(crate) fn volumes(folder: &Path, sizes: &[[usize; 3]]) -> Vec<PathBuf> {
    let write = |(n, dims): (usize, &[usize; 3])| {
        let path = folder.join(format!("v{n}.nii.gz"));
        write_volume(&path, &volume(*dims, n)).unwrap();
        path
    };
    sizes.iter().enumerate().map(write).collect()
}
