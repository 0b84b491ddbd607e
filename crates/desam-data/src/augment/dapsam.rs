//! DAPSAM's data augmentation, in the order and with the ranges of its official program.

use super::plane::{Boundary, Plane, SamplingGrid};
use crate::Result;
use crate::noise::gaussian_pair;
use desam_core::BinaryMask;
use rand::Rng;

/// DAPSAM's random augmentation of a training slice and its mask, both of one size. The same `rng` gives
/// the same bits.
///
/// One warp for elastic deformation, rotation and scaling, 0.2 each; then noise, blur, brightness,
/// contrast, low resolution, gamma and flips. The image has its clipped intensities and is standardised
/// ([`Plane::z_score`]) after it, so noise and additive brightness, which are at most about 0.1, do
/// nothing on intensities of hundreds: so they do in the official program. Its border label of -1 is 0
/// here.
///
/// # Errors
/// When the mask has no pixels.
///
/// # Examples
/// ```
/// use desam_data::augment::{dapsam_augment, plane::Plane};
/// use desam_core::BinaryMask;
/// use rand::SeedableRng;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let image = Plane::new(8, 8, (0..64).map(f64::from).collect())?;
/// let mask = BinaryMask::new(8, 8, (0..64).map(|i| u8::from(i > 30)).collect())?;
/// let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(7);
/// let (image, mask) = dapsam_augment(&image, &mask, rng)?;
/// assert_eq!((image.height(), mask.width()), (8, 8));
/// # Ok(())
/// # }
/// ```
pub fn dapsam_augment(
    image: &Plane,
    mask: &BinaryMask,
    rng: &mut impl Rng,
) -> Result<(Plane, BinaryMask)> {
    let (mut image, mut mask) = match draw_warp(image, rng) {
        Some(grid) => (grid.image(image), grid.mask(mask)?),
        None => (image.clone(), mask.clone()),
    };
    if happens(rng, 0.1) {
        let deviation = even(rng, 0.0, 0.1);
        image = add_noise(&image, deviation, rng);
    }
    if happens(rng, 0.2) && happens(rng, 0.5) {
        image = image.gaussian_filter(even(rng, 0.5, 1.0), Boundary::Reflect);
    }
    if happens(rng, 0.15) {
        let factor = even(rng, 0.75, 1.25);
        image = image.map(|v| v * factor);
    }
    if happens(rng, 0.15) && happens(rng, 0.5) {
        let [added, _] = gaussian_pair(rng);
        image = image.map(|v| v + 0.1 * added);
    }
    if happens(rng, 0.15) {
        image = image.contrast(either_side_of_one(rng, 0.75, 1.25));
    }
    if happens(rng, 0.25) && happens(rng, 0.5) {
        image = image.low_resolution(even(rng, 0.5, 1.0));
    }
    if happens(rng, 0.15) {
        image = image.gamma(either_side_of_one(rng, 0.7, 1.5));
    }
    if happens(rng, 0.5) {
        image = image.flip_rows();
        mask = flipped(&mask, Axis::Rows)?;
    }
    if happens(rng, 0.5) {
        image = image.flip_columns();
        mask = flipped(&mask, Axis::Columns)?;
    }
    Ok((image, mask))
}

/// The sampling coordinates of a random warp, if there is any.
fn draw_warp(image: &Plane, rng: &mut impl Rng) -> Option<SamplingGrid> {
    let (height, width) = (image.height(), image.width());
    let mut grid = SamplingGrid::centred(height, width);
    let mut warped = false;
    if happens(rng, 0.2) {
        let (alpha, sigma) = (even(rng, 0.0, 900.0), even(rng, 9.0, 13.0));
        let mut noise =
            || image.with_values((0..height * width).map(|_| even(rng, -1.0, 1.0)).collect());
        let (rows, columns) = (noise(), noise());
        grid = grid.elastic([&rows, &columns], alpha, sigma);
        warped = true;
    }
    if happens(rng, 0.2) {
        grid = grid.rotate(even(rng, -15.0, 15.0).to_radians());
        warped = true;
    }
    if happens(rng, 0.2) {
        grid = grid.scale(either_side_of_one(rng, 0.85, 1.25));
        warped = true;
    }
    warped.then(|| grid.onto_slice())
}

fn add_noise(image: &Plane, deviation: f64, rng: &mut impl Rng) -> Plane {
    let mut values = image.values().to_vec();
    for pair in values.chunks_mut(2) {
        for (value, noise) in pair.iter_mut().zip(gaussian_pair(rng)) {
            *value += deviation * noise;
        }
    }
    image.with_values(values)
}

/// The axis of a flip.
#[derive(Clone, Copy)]
enum Axis {
    Rows,
    Columns,
}

fn flipped(mask: &BinaryMask, axis: Axis) -> Result<BinaryMask> {
    let mut rows: Vec<Vec<u8>> =
        mask.data().chunks(mask.width().max(1)).map(<[u8]>::to_vec).collect();
    match axis {
        Axis::Rows => rows.reverse(),
        Axis::Columns => rows.iter_mut().for_each(|row| row.reverse()),
    }
    Ok(BinaryMask::new(mask.height(), mask.width(), rows.concat())?)
}

fn happens(rng: &mut impl Rng, chance: f64) -> bool {
    rng.random::<f64>() < chance
}

fn even(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// Half the time between `low` and 1, half the time between 1 and `high`.
fn either_side_of_one(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    if happens(rng, 0.5) { even(rng, low, 1.0) } else { even(rng, 1.0, high) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A bright disc on a ramp, and its mask.
    fn disc() -> (Plane, BinaryMask) {
        let inside = |i: usize| (i / 32).abs_diff(15).pow(2) + (i % 32).abs_diff(13).pow(2) < 40;
        let values = (0..1024).map(|i| (i % 32) as f64 + if inside(i) { 400.0 } else { 20.0 });
        let mask = (0..1024).map(|i| u8::from(inside(i))).collect();
        (Plane::new(32, 32, values.collect()).unwrap(), BinaryMask::new(32, 32, mask).unwrap())
    }

    #[test]
    fn image_and_mask_move_together_and_the_seed_decides() {
        let (image, mask) = disc();
        let run =
            |seed| dapsam_augment(&image, &mask, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let mut changed = 0;
        for seed in 0..60 {
            let (moved, moved_mask) = run(seed);
            assert_eq!((&moved, &moved_mask), (&run(seed).0, &run(seed).1));
            assert!(moved.values().iter().all(|v| v.is_finite()));
            changed += usize::from(moved_mask != mask);
            // Bright pixels are still those of the mask, up to its rim.
            let middle = moved.z_score();
            let agree = middle.values().iter().zip(moved_mask.data());
            let agree = agree.filter(|(v, m)| (**v > 0.5) == (**m > 0)).count();
            assert!(agree > 1024 * 9 / 10, "seed {seed}: {agree}");
        }
        // A flip alone changes three of four.
        assert!((35..60).contains(&changed), "{changed}");
    }
}
