use super::*;
use desam_core::BinaryMask;

fn plane(height: usize, width: usize) -> Plane {
    let values = (0..height * width).map(|i| f64::from((i * 7 % 23) as u32) - 4.0);
    Plane::new(height, width, values.collect()).unwrap()
}

#[test]
fn unmoved_coordinates_read_the_pixels() {
    let slice = plane(7, 5);
    // Half a pixel back, where the official program's middle is that of the pixels.
    let grid = SamplingGrid::centred(7, 5);
    let back = |at: &[f64], count: f64| at.iter().map(|v| v + (count - 1.0) / 2.0).collect();
    let grid = SamplingGrid::new(7, 5, back(grid.rows(), 7.0), back(grid.columns(), 5.0)).unwrap();
    let read = grid.image(&slice);
    for (a, b) in read.values().iter().zip(slice.values()) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
    let mask = BinaryMask::new(7, 5, (0..35).map(|i| u8::from(i % 3 == 0)).collect()).unwrap();
    assert_eq!(grid.mask(&mask).unwrap(), mask);
    // Onto the slice as the official program does it: the first pixel is read between pixels.
    assert_eq!(SamplingGrid::centred(7, 5).onto_slice().rows()[0], 0.5);
}

#[test]
fn a_quarter_turn_rotates_the_pixels_and_outside_is_background() {
    let grid = SamplingGrid::centred(3, 3).rotate(std::f64::consts::FRAC_PI_2);
    // By hand: R⁻¹ of 90° takes (row, column) (-1, -1) to (-1, 1).
    assert!((grid.rows()[0] + 1.0).abs() < 1e-12 && (grid.columns()[0] - 1.0).abs() < 1e-12);
    let far = SamplingGrid::centred(3, 3).scale(10.0).onto_slice();
    assert_eq!(far.image(&plane(3, 3)).values()[0], 0.0);
    let mask = BinaryMask::new(3, 3, vec![1; 9]).unwrap();
    assert_eq!(far.mask(&mask).unwrap().data()[0], 0);
}

#[test]
fn intensity_transforms_keep_what_they_promise() {
    let slice = plane(6, 9);
    let gamma = slice.gamma(1.4);
    assert!((gamma.mean() - slice.mean()).abs() < 1e-9);
    assert!((gamma.deviation() - slice.deviation()).abs() < 1e-6);
    let flat = slice.contrast(0.0);
    assert!(flat.values().iter().all(|v| (v - slice.mean()).abs() < 1e-12));
    let z = slice.z_score();
    assert!(z.mean().abs() < 1e-12 && (z.deviation() - 1.0).abs() < 1e-12);
    // A constant slice divides by nothing.
    let constant = Plane::new(2, 2, vec![3.0; 4]).unwrap();
    assert_eq!(constant.z_score().values(), [0.0; 4]);
    assert!(constant.gamma(0.7).values().iter().all(|v| v.is_finite()));
}

#[test]
fn low_resolution_of_a_constant_is_constant_and_of_one_pixel_is_itself() {
    let constant = Plane::new(5, 8, vec![3.0; 40]).unwrap();
    let low = constant.low_resolution(0.5);
    assert!(low.values().iter().all(|v| (v - 3.0).abs() < 1e-12));
    let pixel = Plane::new(1, 1, vec![2.0]).unwrap();
    assert_eq!(pixel.low_resolution(0.1), pixel);
    assert_eq!(pixel.gaussian_filter(3.0, Boundary::Reflect).values().len(), 1);
    let edge = Plane::new(1, 4, vec![1.0, 2.0, 3.0, 4.0]).unwrap().low_resolution(0.5);
    assert!(edge.values().iter().all(|v| v.is_finite()));
}

#[test]
fn sides_are_padded_or_cropped_and_flips_are_their_own_inverse() {
    let slice = plane(2, 3);
    let padded = slice.pad_or_crop(4);
    assert_eq!(
        padded.values()[..4],
        [slice.values()[0], slice.values()[1], slice.values()[2], 0.0]
    );
    assert_eq!(padded.pad_or_crop(2).values()[2..], slice.values()[3..5]);
    assert_eq!(slice.clone().flip_rows().flip_rows(), slice);
    assert_eq!(slice.clone().flip_columns().values()[0], slice.values()[2]);
    for (height, width) in [(2, 2), (0, 0), (usize::MAX, 2)] {
        assert!(Plane::new(height, width, vec![0.0; 3]).is_err());
    }
    assert!(SamplingGrid::new(2, 2, vec![0.0; 4], vec![0.0; 3]).is_err());
}
