use super::*;
use crate::Error;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use std::path::Path;

/// A disc of a smooth ramp on a dim ground within a black frame.
fn scene(side: usize) -> SliceImage {
    let level = |n: usize| {
        let (row, column) = (n / side, n % side);
        let edge = |v: usize| v < 4 || v >= side - 4;
        let place = |v: usize| (2 * v + 1) as f64 / side as f64 - 1.0;
        let disc = place(row).hypot(place(column)) < 0.5;
        match (edge(row) || edge(column), disc) {
            (true, _) => 0,
            (_, true) => 150 + (column % 64) as u8,
            (_, false) => 40 + (row % 16) as u8,
        }
    };
    SliceImage { side, data: (0..side * side).map(level).collect() }
}

fn disc(side: usize) -> LabelMask {
    let place = |v: usize| (2 * v + 1) as f64 / side as f64 - 1.0;
    let inside = |n: usize| u8::from(place(n / side).hypot(place(n % side)) < 0.5);
    LabelMask::new(side, side, (0..side * side).map(inside).collect()).unwrap()
}

fn style(text: &str) -> StyleAugment {
    text.parse().unwrap()
}

fn seed(n: u8) -> ViewSeed {
    ViewSeed([n; 32])
}

#[test]
fn each_step_changes_the_image_by_its_seed_and_nothing_else() {
    let image = scene(48);
    for step in StyleStep::ALL {
        let style = StyleAugment::new(vec![step]).unwrap();
        let changed = style.image(&image, seed(1));
        assert_eq!(changed, style.image(&image, seed(1)), "{step}");
        assert_ne!(changed, style.image(&image, seed(2)), "{step}");
        assert_ne!(changed, image, "{step}");
        assert_eq!(changed.side, 48);
    }
}

#[test]
fn only_the_regular_augmentation_moves_the_mask_and_image_and_mask_move_together() {
    let mask = disc(24);
    for step in StyleStep::ALL {
        let style = StyleAugment::new(vec![step]).unwrap();
        assert_eq!(style.moves(), step == StyleStep::Paper, "{step}");
        assert_eq!(style.mask(&mask, seed(3)) != mask, step == StyleStep::Paper, "{step}");
    }
    // An image that is its own mask is bright where the moved mask is, but for the rim.
    let bright = disc(48).data().iter().map(|v| 40 + 160 * v).collect();
    let image = SliceImage { side: 48, data: bright };
    let style = style("paper");
    for n in 0..20 {
        let (image, mask) = (style.image(&image, seed(n)), style.mask(&disc(48), seed(n)));
        let pairs: Vec<(u8, u8)> =
            image.data.iter().copied().zip(mask.data().iter().copied()).collect();
        let mean = |inside: u8| {
            let levels = pairs.iter().filter(|(_, m)| *m == inside).map(|(v, _)| f64::from(*v));
            let (sum, count) = levels.fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
            sum / count
        };
        assert!(mean(1) > mean(0) + 60.0, "{n}: {} {}", mean(1), mean(0));
    }
}

#[test]
fn random_convolutions_keep_the_ground_outside_the_scan_black_and_use_all_levels() {
    let image = scene(48);
    for name in ["gin", "gin-ipa", "randconv"] {
        for n in 0..10 {
            let out = style(name).image(&image, seed(n));
            assert!(out.data[..3 * 48].iter().all(|v| *v == 0), "{name}");
            if out != image {
                assert!(out.data.contains(&255), "{name}");
            }
        }
    }
}

#[test]
fn gin_inverts_contrasts_at_times() {
    let image = scene(48);
    let (centre, ground) = (24 * 48 + 24, 8 * 48 + 24);
    let inverted = (0..60).filter(|&n| {
        let out = style("gin").image(&image, seed(n));
        out.data[centre] < out.data[ground]
    });
    let inverted = inverted.count();
    // Signs are even; the share of the image itself keeps most as they are.
    assert!((5..50).contains(&inverted), "{inverted}");
}

#[test]
fn colour_stays_colour_and_flat_images_stay_as_they_are() {
    let grey = scene(32);
    let color = SliceImage { side: 32, data: [&grey.data[..], &grey.data, &grey.data].concat() };
    for name in ["gin", "gin-ipa", "randconv", "bias", "paper"] {
        assert_eq!(style(name).image(&color, seed(1)).channels().len(), 3, "{name}");
    }
    let flat = SliceImage { side: 16, data: vec![7; 256] };
    for name in ["gin", "gin-ipa", "randconv"] {
        assert_eq!(style(name).image(&flat, seed(1)), flat);
    }
}

#[test]
fn lists_are_read_and_written_and_nonsense_is_named() {
    for text in ["gin", "paper,gin", "gamma,bias,randconv"] {
        let read = style(text);
        assert_eq!(read.to_string(), text);
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<StyleAugment>(&json).unwrap(), read);
    }
    for (text, word) in [("", "augmentation"), ("gim", "gin"), ("gin,gin", "twice")] {
        let error = text.parse::<StyleAugment>().unwrap_err();
        assert!(matches!(error, Error::StyleSteps(_)), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(serde_json::from_str::<StyleAugment>("[]").is_err());
}

proptest! {
    #[test]
    fn a_mask_with_foreground_keeps_some(draw: u64) {
        let mut pixels = vec![0; 32 * 32];
        pixels[33] = 1;
        let mask = LabelMask::new(32, 32, pixels).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(draw);
        let (_, moved) = style("paper,gin").apply(&scene(32), &mask, &mut rng);
        prop_assert!(!moved.is_empty());
    }
}

/// Tensors that official programs computed, where they lie beside the checkout.
// A test that could not run must say so.
#[allow(clippy::print_stdout)]
fn reference(subject: &str) -> Option<(Vec<u8>, serde_json::Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/dg");
    let read = |kind| std::fs::read(dir.join(format!("{subject}.{kind}"))).ok();
    let Some((tensors, json)) = read("safetensors").zip(read("json")) else {
        println!("skipped: no reference vectors beside the checkout");
        return None;
    };
    Some((tensors, serde_json::from_slice(&json).unwrap()))
}

fn values(tensors: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = tensors.tensor(name).unwrap();
    let values = view.data().as_chunks().0.iter().map(|v| f32::from_le_bytes(*v));
    (view.shape().to_vec(), values.collect())
}

/// Largest difference, relative to the largest expected value.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max) / largest
}

#[test]
fn gin_is_that_of_csdg() {
    let Some((bytes, _)) = reference("csdg") else { return };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (shape, x) = values(&tensors, "x");
    let [images, channels, side] = [shape[0], shape[1], shape[3]];
    for view in ["gin0", "gin1", "gin2"] {
        let (_, alpha) = values(&tensors, &format!("{view}.alpha"));
        let (_, expected) = values(&tensors, &format!("{view}.out"));
        let plane = channels * side * side;
        for image in 0..images {
            let layer = |n: usize| {
                // The weights of all images' convolutions, one image after the other.
                let (shape, weights) = values(&tensors, &format!("{view}.layer{n}.weight"));
                let (_, shifts) = values(&tensors, &format!("{view}.layer{n}.shift"));
                let own = |all: Vec<f32>| {
                    let each = all.len() / images;
                    all[image * each..(image + 1) * each].to_vec()
                };
                RandomConv {
                    kernel: shape[3],
                    inputs: shape[1],
                    weights: own(weights),
                    shifts: own(shifts),
                }
            };
            let gin = Gin { layers: (0..4).map(layer).collect(), alpha: alpha[image] };
            let range = image * plane..(image + 1) * plane;
            let found = gin.apply(&x[range.clone()], side);
            assert!(distance(&found, &expected[range]) < 2e-5, "{view} {image}");
        }
    }
}

#[test]
fn randconv_is_the_official_one() {
    let Some((bytes, _)) = reference("randconv") else { return };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for channels in [1, 3] {
        let (shape, x) = values(&tensors, &format!("official.c{channels}.x"));
        let [height, side] = [shape[2], shape[3]];
        for kernel in [1, 3, 5, 7] {
            let name = format!("official.c{channels}.k{kernel}.mix");
            let (shape, weights) = values(&tensors, &format!("{name}.weight"));
            let (_, alpha) = values(&tensors, &format!("{name}.alpha"));
            let (_, expected) = values(&tensors, &format!("{name}.out"));
            assert_eq!(shape, [channels, channels, kernel, kernel]);
            let conv =
                RandomConv { kernel, inputs: channels, weights, shifts: vec![0.0; channels] };
            let rand_conv = RandConv { conv, alpha: alpha[0] };
            let size = channels * height * side;
            for (image, expected) in x.chunks(size).zip(expected.chunks(size)) {
                // Rows of zeros below make the image square, as the padding would.
                let zeros = vec![0.0; (side - height) * side];
                let square: Vec<f32> =
                    image.chunks(height * side).flat_map(|c| [c, &zeros[..]].concat()).collect();
                let found = rand_conv.apply(&square, side);
                let rows = found.chunks(side * side).flat_map(|c| c[..height * side].to_vec());
                assert!(distance(&rows.collect::<Vec<_>>(), expected) < 2e-5, "{name}");
            }
        }
    }
}
