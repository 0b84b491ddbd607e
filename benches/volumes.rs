//! Volumes: read from `.nii.gz`, prepared, and masks brought back.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to stop")]

use desam::candle::Device;
use desam::data::preprocess::PreprocessConfig;
use desam::encoder::VitConfig;
use desam::types::{Affine, BinaryMask, Grid, LabelMask, Volume};
use desam::volume::nifti::{read_volume, write_volume};
use desam_benches::{disc, id, run};
use std::hint::black_box;

/// A volume of a prostate MRI's usual size, smooth with some noise so that it packs as one does.
fn volume() -> Volume {
    let dims = [384, 384, 24];
    let grid = Grid { dims, affine: Affine::from_spacing([0.5, 0.5, 3.6]) };
    let value = |i: usize| {
        let (x, y) = ((i % 384) as f32, (i / 384 % 384) as f32);
        let noise = (i.wrapping_mul(2_654_435_761) >> 7) % 64;
        (600.0 + 300.0 * (x * 0.05).sin() * (y * 0.03).cos() + noise as f32).round()
    };
    Volume::new(grid, (0..grid.len()).map(value).collect()).unwrap()
}

fn main() {
    run(|c| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t2.nii.gz");
        let volume = volume();
        write_volume(&file, &volume).unwrap();
        c.bench_function(&id("volume/read 384×384×24 .nii.gz"), |b| {
            b.iter(|| black_box(read_volume(&file).unwrap()));
        });
        let spec = VitConfig::vit_b().spec();
        for (name, config) in
            [("official", PreprocessConfig::official()), ("paper", PreprocessConfig::paper())]
        {
            c.bench_function(&id(format!("prepare/{name}/the volume")), |b| {
                b.iter(|| black_box(config.prepare(&volume, &spec).unwrap()));
            });
            let prepared = config.prepare(&volume, &spec).unwrap();
            c.bench_function(&id(format!("prepare/{name}/input of one slice, 1024²")), |b| {
                b.iter(|| black_box(prepared.pixels(1, &Device::Cpu).unwrap()));
            });
            let side = prepared.mask_side();
            let mask = BinaryMask::new(side, side, disc(side, 0.2)).unwrap();
            let masks = vec![LabelMask::from(mask); prepared.len()];
            c.bench_function(&id(format!("prepare/{name}/masks back to the volume")), |b| {
                b.iter(|| black_box(prepared.restore(&masks).unwrap()));
            });
        }
    });
}
