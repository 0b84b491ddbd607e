//! Tests of resampling to any spacing.

use super::axis::AxisMapping;
use super::resample::resample;
use super::*;
use desam_core::{Affine, EncoderSpec, Grid, LabelMask, LabelVolume, Volume};
use proptest::prelude::*;

fn spec() -> EncoderSpec {
    EncoderSpec { input_side: 1024, patch: 16, tap_channels: vec![8; 3], embedding_channels: 8 }
}

/// As scanners store axial slices, tilted by `tilt` radians about the left-right axis.
fn grid(dims: [usize; 3], [x, y, z]: [f64; 3], tilt: f64) -> Grid {
    let (s, c) = tilt.sin_cos();
    let rows = [[-x, 0.0, 0.0, 81.5], [0.0, -y * c, -z * s, 12.25], [0.0, -y * s, z * c, -300.0]];
    Grid { dims, affine: Affine(rows) }
}

fn middle(grid: &Grid) -> [f64; 3] {
    grid.affine.apply(grid.dims.map(|n| (n as f64 - 1.0) / 2.0))
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt()
}

fn resampling(spacing: [f64; 3]) -> PreprocessConfig {
    let labels = LabelRule::Nearest;
    PreprocessConfig { spacing_mm: Some(spacing), labels, ..PreprocessConfig::official() }
}

/// Whether slices have the two pixels a side that an image needs, before and after resampling.
fn is_image(dims: [usize; 3], from: [f64; 3], to: Option<[f64; 3]>) -> bool {
    let to = to.unwrap_or(from);
    [0, 1].iter().all(|&a| dims[a] > 1 && (dims[a] as f64 * from[a] / to[a]).round() > 1.0)
}

/// A ball of `radius` mm about the middle.
fn ball(grid: Grid, radius: f64) -> LabelVolume {
    let centre = middle(&grid);
    let inside = |at: usize| {
        let [w, h, _] = grid.dims;
        let voxel = [at % w, at / w % h, at / (w * h)].map(|v| v as f64);
        u8::from(distance(grid.affine.apply(voxel), centre) <= radius)
    };
    LabelVolume::new(grid, (0..grid.len()).map(inside).collect()).unwrap()
}

fn millilitres(mask: &LabelVolume) -> f64 {
    let voxels = mask.data().iter().filter(|v| **v > 0).count();
    voxels as f64 * mask.grid().voxel_mm3() / 1000.0
}

#[test]
fn a_ball_keeps_its_volume() {
    // 4/3 π 20³ mm³ = 33.51 ml: a gland's. Sites of the paper: 0.5 × 0.5 × 3.0 to 3.6 mm, and
    // 0.534 × 0.4285 × 1.25 mm.
    let exact = 4.0 / 3.0 * std::f64::consts::PI * 8.0;
    for (dims, spacing) in [
        ([160, 160, 20], [0.5, 0.5, 3.0]),
        ([128, 144, 18], [0.625, 0.5, 3.6]),
        ([150, 180, 48], [0.534, 0.4285, 1.25]),
    ] {
        for tilt in [0.0, 0.3] {
            let truth = ball(grid(dims, spacing, tilt), 20.0);
            let image = truth.data().iter().map(|v| 100.0 * f32::from(*v)).collect();
            let volume = Volume::new(*truth.grid(), image).unwrap();
            for config in [PreprocessConfig::paper(), resampling([0.625, 0.625, 3.6])] {
                let prepared = config.prepare(&volume, &spec()).unwrap();
                let back = prepared.restore(&prepared.labels(&truth).unwrap()).unwrap();
                assert_eq!(back.grid(), truth.grid());
                let found = millilitres(&back);
                // A rim of half a pixel is 0.3 of 20 mm, three times: 4.7 % at the very most.
                assert!((found / exact - 1.0).abs() < 0.03, "{spacing:?} {tilt}: {found} {exact}");
            }
        }
    }
}

#[test]
fn the_last_digits_of_a_spacing_decide_nothing() {
    // 19 slices of 3 mm make 16 of 3.6 mm: slices 3, 9 and 15 lie in the middle between two. Headers
    // hold f32, so 3 mm comes as 3.0000002 or 2.9999999.
    let masks = |z: f64| {
        let truth = ball(grid([40, 40, 19], [1.0, 1.0, z], 0.0), 15.0);
        let traced = PreprocessConfig::paper().trace_labels(truth.grid(), &truth, 64).unwrap();
        let image = Volume::new(*truth.grid(), vec![1.0; truth.grid().len()]).unwrap();
        let prepared = PreprocessConfig::paper()
            .prepare(&image, &EncoderSpec { input_side: 256, ..spec() })
            .unwrap();
        prepared.restore(&traced.masks).unwrap().data().to_vec()
    };
    let exact = masks(3.0);
    assert_eq!(masks(3.000_000_2), exact);
    assert_eq!(masks(2.999_999_9), exact);
}

#[test]
fn the_spacing_that_a_volume_has_changes_nothing() {
    let spacing = [0.5, 0.75, 3.0];
    let grid = grid([40, 30, 7], spacing, 0.0);
    let noise = |v: usize| (v.wrapping_mul(2_654_435_761) >> 7) % 1000;
    let volume = Volume::new(grid, (0..grid.len()).map(|v| noise(v) as f32).collect()).unwrap();
    let [own, same] = [None, Some(spacing)].map(|spacing_mm| {
        let config = PreprocessConfig { spacing_mm, ..resampling(spacing) };
        config.prepare(&volume, &spec()).unwrap()
    });
    assert_eq!(own.levels(), same.levels());
    assert_eq!(own.image(3).unwrap(), same.image(3).unwrap());
    assert_eq!((own.frame_grid(), same.frame_grid()), (grid, grid));
}

#[test]
fn old_configurations_mean_what_they_meant() {
    // The presets as they were written by every version so far: keys of caches hang on it.
    let paper = r#"{"percentiles":[0.5,99.5],"keep_zeros":false,"spacing_mm":[0.625,0.625,3.6],"frame":{"crop":{"side":288}},"labels":"nearest","orientation":"axial"}"#;
    let official = r#"{"percentiles":[0.5,99.5],"keep_zeros":true,"spacing_mm":null,"frame":"mask_side","labels":"eroded","orientation":"axial"}"#;
    for (config, text) in
        [(PreprocessConfig::paper(), paper), (PreprocessConfig::official(), official)]
    {
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
    }
}

#[test]
fn frames_lie_where_the_affine_says() {
    // By hand: 192 mm of 0.625 mm are 307.2 pixels, so 307, of which 288 from the 9th on (floor of
    // 19 / 2); the middle pixel of 307 is the middle of the volume, 153 - 9 = 144 in the frame.
    let grid = grid([384, 384, 19], [0.5, 0.5, 3.0], 0.3);
    let volume = Volume::new(grid, vec![1.0; grid.len()]).unwrap();
    let frame = PreprocessConfig::paper().prepare(&volume, &spec()).unwrap().frame_grid();
    assert_eq!(frame.dims, [288, 288, 16]);
    let found = frame.affine.apply([144.0, 144.0, 7.5]);
    assert!(distance(found, middle(&grid)) < 1e-9, "{found:?}");
    let corner = frame.affine.apply([143.0, 144.0, 7.5]);
    // To the patient's right, which is +R here for a smaller column.
    assert!(distance(corner, [found[0] + 0.625, found[1], found[2]]) < 1e-9, "{corner:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_flat_stays_flat(
        dims in prop::array::uniform3(1_usize..12),
        from in prop::array::uniform3(0.2_f64..5.0),
        to in prop::array::uniform3(0.2_f64..5.0),
        level in 0_u8..=255,
    ) {
        let axes = [0, 1, 2].map(|a| AxisMapping::resampled(dims[a], from[a], to[a]));
        let out = resample(&vec![f32::from(level); dims.iter().product()], &axes).unwrap();
        prop_assert_eq!(out.len(), axes.iter().map(|a| a.frame).product::<usize>());
        prop_assert!(out.iter().all(|v| *v == level));
    }

    #[test]
    fn the_resampled_grid_is_the_volumes(
        dims in prop::array::uniform3(1_usize..40),
        from in prop::array::uniform3(0.3_f64..5.0),
        to in prop::array::uniform3(0.3_f64..5.0),
        tilt in -0.7_f64..0.7,
    ) {
        prop_assume!(is_image(dims, from, Some(to)));
        let grid = grid(dims, from, tilt);
        let volume = Volume::new(grid, vec![1.0; grid.len()]).unwrap();
        let prepared = resampling(to).prepare(&volume, &spec()).unwrap();
        let frame = prepared.frame_grid();
        for a in 0..3 {
            prop_assert!((frame.spacing()[a] - to[a]).abs() < 1e-9);
            // The same directions.
            let unit = |g: &Grid| [0, 1, 2].map(|r| g.affine.0[r][a] / g.spacing()[a]);
            prop_assert!(distance(unit(&frame), unit(&grid)) < 1e-9);
            // As long as the volume, to half a pixel (or the one pixel that is the least).
            let [long, was] = [frame.dims[a] as f64 * to[a], dims[a] as f64 * from[a]];
            prop_assert!((long - was).abs() <= 0.5 * to[a] + 1e-9 || frame.dims[a] == 1);
        }
        prop_assert!(distance(middle(&frame), middle(&grid)) < 1e-9);
    }

    #[test]
    fn maps_go_where_masks_go(
        dims in prop::array::uniform3(2_usize..20),
        spacing in prop::array::uniform3(0.3_f64..3.0),
        resampled: bool,
        crop in prop::option::of(4_usize..20),
    ) {
        let to = resampled.then_some([0.9, 0.7, 2.0]);
        prop_assume!(is_image(dims, spacing, to));
        let config = PreprocessConfig {
            spacing_mm: to,
            frame: crop.map_or(Frame::MaskSide, |side| Frame::Crop { side }),
            ..resampling(spacing)
        };
        let grid = grid(dims, spacing, 0.2);
        let volume = Volume::new(grid, vec![1.0; grid.len()]).unwrap();
        let small = EncoderSpec { input_side: 64, ..spec() };
        let prepared = config.prepare(&volume, &small).unwrap();
        let mut masks = Vec::new();
        let (mut map, mut flat) = (prepared.map().unwrap(), prepared.map().unwrap());
        for z in 0..prepared.len() {
            let pixels: Vec<u8> =
                (0..256_usize).map(|n| u8::from((n * 7 + z * 13) % 11 > 5)).collect();
            let values: Vec<f32> = pixels.iter().map(|v| f32::from(*v)).collect();
            map.put(z, &values, Interpolation::Nearest).unwrap();
            flat.put(z, &[0.25; 9], Interpolation::Linear).unwrap();
            masks.push(LabelMask::new(16, 16, pixels).unwrap());
        }
        let mask = prepared.restore(&masks).unwrap();
        let map = map.finish().unwrap();
        prop_assert_eq!(map.grid(), mask.grid());
        let same = map.data().iter().zip(mask.data()).all(|(a, b)| *a == f32::from(*b));
        prop_assert!(same);
        // What is flat stays flat wherever there is a plane.
        let full = vec![LabelMask::new(16, 16, vec![1; 256]).unwrap(); prepared.len()];
        let covered = prepared.restore(&full).unwrap();
        let flat = flat.finish().unwrap();
        let same = flat.data().iter().zip(covered.data()).all(|(a, b)| *a == 0.25 * f32::from(*b));
        prop_assert!(same);
    }
}

#[test]
fn maps_are_linear_between_pixels() {
    // By hand: 2 pixels over 4 voxels lie at 0.5 and 2.5, so the voxels are at 0, 1/4, 3/4 and 1
    // of the way, the ends held.
    let grid = grid([4, 4, 2], [1.0; 3], 0.0);
    let volume = Volume::new(grid, vec![1.0; 32]).unwrap();
    let prepared = PreprocessConfig::official().prepare(&volume, &spec()).unwrap();
    let mut map = prepared.map().unwrap();
    map.put(1, &[0.0, 8.0, 0.0, 8.0], Interpolation::Linear).unwrap();
    assert!(map.put(2, &[0.0], Interpolation::Linear).is_err());
    assert!(map.put(0, &[0.0; 3], Interpolation::Linear).is_err());
    assert!(map.put(0, &[], Interpolation::Nearest).is_err());
    let map = map.finish().unwrap();
    assert!(map.data()[..16].iter().all(|v| *v == 0.0));
    assert_eq!(map.data()[16..20], [0.0, 2.0, 6.0, 8.0]);
    assert_eq!(map.data()[28..], [0.0, 2.0, 6.0, 8.0]);
}

#[test]
fn slices_are_seen_as_the_model_sees_them() {
    // Stored as RAS with slices along `j`: `i` to the right, `j` to superior, `k` to anterior.
    let rows = [[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0], [0.0, 3.0, 0.0, 0.0]];
    let grid = Grid { dims: [2, 3, 2], affine: Affine(rows) };
    let volume = Volume::new(grid, (0..12).map(|v| v as f32).collect()).unwrap();
    let mut labels = vec![0; 12];
    // i = 1, j = 2, k = 0.
    labels[5] = 7;
    let mask = LabelVolume::new(grid, labels).unwrap();
    let config = PreprocessConfig { percentiles: [0.0, 100.0], ..PreprocessConfig::official() };
    let prepared = config.prepare(&volume, &spec()).unwrap();
    assert_eq!(prepared.slice_axis(), 1);
    let view = prepared.view(&volume, &mask, 2).unwrap();
    assert_eq!((view.width, view.height, view.spacing_mm), (2, 2, [2.0, 0.5]));
    // Anterior (k = 1) first, the patient's right (i = 1) first: 11, 10, then 5, 4; of 11 to 255.
    assert_eq!(view.image, [255, 232, 116, 93]);
    assert_eq!(view.mask, [0, 0, 7, 0]);
    assert!(prepared.view(&volume, &mask, 3).is_err());
    let other = LabelVolume::new(Grid { dims: [3, 2, 2], ..grid }, vec![0; 12]).unwrap();
    assert!(prepared.view(&volume, &other, 0).is_err());
}

#[test]
fn processed_slices_know_the_stored_slice_they_are_cut_from() {
    // Slices along `j`, 3 mm to superior, or to inferior, which is turned; `k` to anterior.
    let prepared = |up: f64, config: PreprocessConfig| {
        let rows = [[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0], [0.0, up, 0.0, 0.0]];
        let grid = Grid { dims: [2, 3, 2], affine: Affine(rows) };
        let volume = Volume::new(grid, (0..12).map(|v| v as f32).collect()).unwrap();
        let prepared = config.prepare(&volume, &spec()).unwrap();
        let of = |z| prepared.nearest_stored_slice(z);
        assert_eq!(of(prepared.len()), None);
        (0..prepared.len()).map(|z| of(z).unwrap()).collect::<Vec<_>>()
    };
    let axial = || PreprocessConfig { spacing_mm: None, ..PreprocessConfig::paper() };
    assert_eq!(prepared(3.0, axial()), [0, 1, 2]);
    assert_eq!(prepared(-3.0, axial()), [2, 1, 0]);
    // By hand: at 1.5 mm they lie at −1/4, 1/4, 3/4, 5/4, 7/4 and 9/4 of the stored ones.
    let half = || PreprocessConfig { spacing_mm: Some([2.0, 0.5, 1.5]), ..axial() };
    assert_eq!(prepared(3.0, half()), [0, 0, 1, 1, 2, 2]);
    assert_eq!(prepared(-3.0, half()), [2, 2, 1, 1, 0, 0]);
}
