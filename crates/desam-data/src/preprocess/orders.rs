//! Tests: the same image in any of the 48 axis orders is prepared the same.

use super::*;
use candle_core::Device;
use desam_core::{Affine, EncoderSpec, Grid, LabelVolume, Volume};
use desam_volume::volumes;

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The grid and the values of the same image with new axis `a` along old axis `order[a]`, flipped where
/// bit `a` of `flipped` is set; written independently of the code under test.
fn restored<T: Copy>(grid: &Grid, values: &[T], order: [usize; 3], flipped: u8) -> (Grid, Vec<T>) {
    let dims = order.map(|a| grid.dims[a]);
    let mut origin = [0.0; 3];
    let turn = |a: usize| flipped >> a & 1 == 1;
    (0..3).filter(|a| turn(*a)).for_each(|a| origin[order[a]] = (dims[a] - 1) as f64);
    let origin = grid.affine.apply(origin);
    let affine = Affine([0, 1, 2].map(|row| {
        let column = |a: usize| {
            let step = grid.affine.0[row][order[a]];
            if turn(a) { -step } else { step }
        };
        [column(0), column(1), column(2), origin[row]]
    }));
    let mut out = Vec::new();
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            for x in 0..dims[0] {
                let mut old = [0; 3];
                for (a, v) in [x, y, z].into_iter().enumerate() {
                    old[order[a]] = if turn(a) { dims[a] - 1 - v } else { v };
                }
                out.push(values[(old[2] * grid.dims[1] + old[1]) * grid.dims[0] + old[0]]);
            }
        }
    }
    (Grid { dims, affine }, out)
}

/// Rotated by 20° about x and 10° about z, with nothing symmetrical in it.
fn oblique() -> Grid {
    let (sx, cx) = 20_f64.to_radians().sin_cos();
    let (sz, cz) = 10_f64.to_radians().sin_cos();
    let [a, b, c] = [-0.5, -0.75, 3.0];
    Grid {
        dims: [19, 14, 5],
        affine: Affine([
            [cz * a, -sz * cx * b, sz * sx * c, -91.5],
            [sz * a, cz * cx * b, -cz * sx * c, 12.25],
            [0.0, sx * b, cx * c, 400.0],
        ]),
    }
}

#[test]
fn any_of_the_48_orders_gives_the_same_slices_and_masks() {
    let spec =
        EncoderSpec { input_side: 64, patch: 16, tap_channels: vec![8; 3], embedding_channels: 8 };
    let grid = oblique();
    let noise = |v: usize| (v.wrapping_mul(2_654_435_761) >> 7) % 1000;
    let values: Vec<f32> = (0..grid.len()).map(|v| noise(v) as f32).collect();
    let labels: Vec<u8> = (0..grid.len()).map(|v| u8::from(noise(v + 5000) > 600)).collect();
    let folder = tempfile::tempdir().unwrap();
    let paper = PreprocessConfig { frame: Frame::Crop { side: 24 }, ..PreprocessConfig::paper() };
    for config in [PreprocessConfig::official(), paper] {
        let mut first = None;
        for order in ORDERS {
            for flipped in 0..8 {
                let (to, voxels) = restored(&grid, &values, order, flipped);
                let volume = Volume::new(to, voxels).unwrap();
                let truth =
                    LabelVolume::new(to, restored(&grid, &labels, order, flipped).1).unwrap();
                let prepared = config.prepare(&volume, &spec).unwrap();
                let masks = prepared.labels(&truth).unwrap();
                let pixels = prepared.pixels(1, &Device::Cpu).unwrap();
                let pixels = pixels.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let back = prepared.restore(&masks).unwrap();
                assert_eq!(back.grid(), &to);
                // The mask, stored in this order, is the first one's, stored in this order.
                let all = (prepared.levels().to_vec(), pixels, masks, back);
                let Some((levels, pixels, masks, mask)) = &first else {
                    assert!(all.3.data().contains(&1) && all.3.data().contains(&0));
                    first = Some(all);
                    continue;
                };
                assert_eq!(&all.0, levels, "{order:?} {turned}");
                assert_eq!((&all.1, &all.2), (pixels, masks), "{order:?} {turned}");
                let expected = restored(&grid, mask.data(), order, flipped).1;
                assert_eq!(all.3.data(), expected, "{order:?} {turned}");
                // And so through a file.
                let path = folder.path().join("mask.nrrd");
                volumes::write_labels(&path, &all.3).unwrap();
                let read = volumes::read_labels(&path).unwrap();
                assert_eq!(read.data(), all.3.data());
                assert!(read.grid().matches(&to, 1e-9));
            }
        }
    }
}

#[test]
fn slices_as_stored_are_what_they_were() {
    let spec =
        EncoderSpec { input_side: 64, patch: 16, tap_channels: vec![8; 3], embedding_channels: 8 };
    let (grid, values) = restored(&oblique(), &[0.5; 19 * 14 * 5], [2, 0, 1], 0);
    let volume = Volume::new(grid, values).unwrap();
    let official = PreprocessConfig::official();
    assert_eq!(official.clone().stored().prepare(&volume, &spec).unwrap().len(), 14);
    assert_eq!(official.prepare(&volume, &spec).unwrap().len(), 5);
}
