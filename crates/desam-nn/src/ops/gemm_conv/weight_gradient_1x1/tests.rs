use super::super::{Joined, Plain};
use super::*;
use crate::ops::gradcheck::random;
use candle_core::DType;
use pulp::Scalar;

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    random(seed, &[count]).to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn plain(values: &[f32], channels: usize, [images, height, width]: [usize; 3]) -> Plain<'_> {
    Plain { values, planes: Planes { images, channels, height, width } }
}

/// In double precision, one number after the other.
fn expected(left: Plain<'_>, right: Plain<'_>) -> Vec<f64> {
    let pixels = left.planes.pixels();
    let sum = |l: usize, r: usize| -> f64 {
        let term = |image: usize, pixel: usize| {
            let at = |side: Plain<'_>, channel: usize| {
                side.values[(image * side.planes.channels + channel) * pixels + pixel]
            };
            f64::from(at(left, l)) * f64::from(at(right, r))
        };
        let images = 0..left.planes.images;
        images.flat_map(|b| (0..pixels).map(move |p| (b, p))).map(|(b, p)| term(b, p)).sum()
    };
    let columns = right.planes.channels;
    (0..left.planes.channels).flat_map(|l| (0..columns).map(move |r| sum(l, r))).collect()
}

fn holds(found: &[f32], expected: &[f64], of: &str) {
    assert_eq!(found.len(), expected.len(), "{of}");
    let size = expected.iter().fold(1.0, |most: f64, v| most.max(v.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() / size < 2e-6, "{of}: {found} {expected}");
    }
}

#[test]
fn agrees_with_a_sum_in_f64_whichever_side_is_wider() {
    for sizes in [[1, 1, 1], [2, 3, 5], [1, 2, 1500], [3, 40, 41], [5, 0, 3], [0, 4, 4]] {
        for (l, r) in [(1, 1), (3, 8), (9, 4), (17, 17), (1, 30), (2, 0), (300, 5)] {
            let pixels = sizes.iter().product::<usize>();
            let (left, right) = (numbers(1, l * pixels), numbers(2, r * pixels));
            let (left, right) = (plain(&left, l, sizes), plain(&right, r, sizes));
            let found = correlate_points(&left, &right);
            holds(&found, &expected(left, right), &format!("{sizes:?}, {l} and {r} channels"));
        }
    }
}

#[test]
fn two_images_whose_channels_follow_each_other_are_one() {
    let sizes = [2, 6, 7];
    let (left, right) = (numbers(1, 5 * 84), numbers(2, 9 * 84));
    let (first, second): (Vec<_>, Vec<_>) =
        right.chunks(9 * 42).map(|image| image.split_at(4 * 42)).unzip();
    let (first, second) = (first.concat(), second.concat());
    let joined = Joined { first: plain(&first, 4, sizes), second: plain(&second, 5, sizes) };
    let left = plain(&left, 5, sizes);
    assert_eq!(correlate_points(&left, &joined), correlate_points(&left, &plain(&right, 9, sizes)));
}

/// With every kind of vectors that this machine has, not only the best.
fn every_width<S: Simd>(simd: S) {
    for (few, many, pixels) in [(1, 1, 1), (4, 7, 50), (3, 8, 64), (5, 3, 47)] {
        let (held, passing) = (numbers(1, few * pixels), numbers(2, many * pixels));
        let band = Band { image: 0, rows: 0..1, window: Window { side: 1 } };
        let (held, passing) =
            (plain(&held, few, [1, 1, pixels]), plain(&passing, many, [1, 1, pixels]));
        let (mut lines, mut others) = (Lines::default(), Lines::default());
        lines.read(&held, &band, 0..few.next_multiple_of(VECTORS));
        others.read(&passing, &band, 0..ROWS);
        let mut sums = vec![0.0; few * many];
        let (wanted, steps) = ([few, many], [many, 1]);
        simd.vectorize(Tiles { lines: [&lines, &others], wanted, steps, sums: &mut sums });
        holds(&sums, &expected(held, passing), &format!("{few} and {many} of {pixels}"));
    }
}

#[test]
fn without_vectors() {
    every_width(Scalar::new());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn with_avx2_and_with_avx512() {
    // Where a machine lacks one, there is nothing to hold.
    if let Some(simd) = pulp::x86::V3::try_new() {
        every_width(simd);
    }
    if let Some(simd) = pulp::x86::V4::try_new() {
        every_width(simd);
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn with_neon() {
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        every_width(simd);
    }
}
