use super::super::{ConcatChannels, NchwView};
use super::*;
use crate::ops::gradcheck::random;
use candle_core::DType;
use pulp::Scalar;

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    random(seed, &[count]).to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn view(values: &[f32], channels: usize, [images, height, width]: [usize; 3]) -> NchwView<'_> {
    NchwView { values, planes: ImageDims { images, channels, height, width } }
}

/// In double precision, one number after the other.
fn expected(lhs: NchwView<'_>, rhs: NchwView<'_>) -> Vec<f64> {
    let pixels = lhs.planes.pixels();
    let sum = |l: usize, r: usize| -> f64 {
        let term = |image: usize, pixel: usize| {
            let at = |side: NchwView<'_>, channel: usize| {
                side.values[(image * side.planes.channels + channel) * pixels + pixel]
            };
            f64::from(at(lhs, l)) * f64::from(at(rhs, r))
        };
        let images = 0..lhs.planes.images;
        images.flat_map(|b| (0..pixels).map(move |p| (b, p))).map(|(b, p)| term(b, p)).sum()
    };
    let columns = rhs.planes.channels;
    (0..lhs.planes.channels).flat_map(|l| (0..columns).map(move |r| sum(l, r))).collect()
}

fn check(found: &[f32], expected: &[f64], of: &str) {
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
            let (lhs, rhs) = (numbers(1, l * pixels), numbers(2, r * pixels));
            let (lhs, rhs) = (view(&lhs, l, sizes), view(&rhs, r, sizes));
            let found = weight_gradient_1x1(&lhs, &rhs);
            check(&found, &expected(lhs, rhs), &format!("{sizes:?}, {l} and {r} channels"));
        }
    }
}

#[test]
fn two_images_whose_channels_follow_each_other_are_one() {
    let sizes = [2, 6, 7];
    let (lhs, rhs) = (numbers(1, 5 * 84), numbers(2, 9 * 84));
    let (first, second): (Vec<_>, Vec<_>) =
        rhs.chunks(9 * 42).map(|image| image.split_at(4 * 42)).unzip();
    let (first, second) = (first.concat(), second.concat());
    let concatenated =
        ConcatChannels { first: view(&first, 4, sizes), second: view(&second, 5, sizes) };
    let lhs = view(&lhs, 5, sizes);
    assert_eq!(
        weight_gradient_1x1(&lhs, &concatenated),
        weight_gradient_1x1(&lhs, &view(&rhs, 9, sizes))
    );
}

/// With every vector width that this machine has, not only the widest.
fn every_width<S: Simd>(simd: S) {
    for (few, many, pixels) in [(1, 1, 1), (4, 7, 50), (3, 8, 64), (5, 3, 47)] {
        let (kept, streamed) = (numbers(1, few * pixels), numbers(2, many * pixels));
        let strip = Strip { image: 0, rows: 0..1, window: Window::POINT };
        let (kept, streamed) =
            (view(&kept, few, [1, 1, pixels]), view(&streamed, many, [1, 1, pixels]));
        let (mut kept_rows, mut streamed_rows) = (ChannelRows::default(), ChannelRows::default());
        kept_rows.read(&kept, &strip, 0..few.next_multiple_of(VECTORS));
        streamed_rows.read(&streamed, &strip, 0..ROWS);
        let mut sums = vec![0.0; few * many];
        simd.vectorize(Tiles {
            kept: &kept_rows,
            streamed: &streamed_rows,
            columns: few,
            rows: many,
            strides: Strides { kept: many, streamed: 1 },
            sums: &mut sums,
        });
        check(&sums, &expected(kept, streamed), &format!("{few} and {many} of {pixels}"));
    }
}

#[test]
fn agrees_without_vectors() {
    every_width(Scalar::new());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn agrees_with_avx2_and_with_avx512() {
    // A machine may lack one of them.
    if let Some(simd) = pulp::x86::V3::try_new() {
        every_width(simd);
    }
    if let Some(simd) = pulp::x86::V4::try_new() {
        every_width(simd);
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn agrees_with_neon() {
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        every_width(simd);
    }
}
