//! Guarantees of the samplers: membership, balance, scaling, determinism, and the edges.
#![allow(clippy::unwrap_used)] // helpers of tests, outside `#[test]`

use desam_core::{
    BinaryMask, ClassMask, LabelMask, PointLabel, PromptBox, PromptSampler, SampledPrompt,
};
use desam_prompt::{BoxSampler, PointSampler, whole_box};
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The mask pixel (row, column) under a sampled point, for an input `scale` times the mask.
fn pixel(drawn: &SampledPrompt, scale: f32) -> (usize, usize) {
    let [point] = drawn.prompt.points[..] else { panic!("not one point: {drawn:?}") };
    assert_eq!(point.label, PointLabel::Foreground);
    let (row, column) = (point.y / scale, point.x / scale);
    assert_eq!((row.fract(), column.fract()), (0.0, 0.0), "not on a pixel: {point:?}");
    (row as usize, column as usize)
}

fn mask() -> impl Strategy<Value = BinaryMask> {
    (1usize..12).prop_flat_map(|side| {
        proptest::collection::vec(0u8..2, side * side)
            .prop_map(move |v| BinaryMask::new(side, side, v).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_target_says_where_the_point_lies(mask in mask(), seed: u64, outside in 0u32..4) {
        let sampler = PointSampler { outside_per_inside: outside };
        let mut rng = rng(seed);
        for _ in 0..20 {
            let drawn = sampler.sample(&mask.clone().into(), mask.width() * 4, &mut rng).unwrap();
            prop_assert!(drawn.prompt.bbox.is_none());
            let (row, column) = pixel(&drawn, 4.0);
            prop_assert!(row < mask.height() && column < mask.width());
            prop_assert_eq!(drawn.iou_targets, [f32::from(u8::from(mask.get(row, column)))]);
        }
    }

    #[test]
    fn the_rng_decides_everything(mask in mask(), seed: u64) {
        let sampler = PointSampler::paper();
        let draw = |seed| {
            let mut rng = rng(seed);
            (0..10).map(|_| sampler.sample(&mask.clone().into(), 256, &mut rng).unwrap()).collect::<Vec<_>>()
        };
        prop_assert_eq!(draw(seed), draw(seed));
    }
}

#[test]
fn inside_and_outside_are_one_to_one_for_any_object_size() {
    for foreground in [1usize, 10, 99] {
        let data = (0..100).map(|i| u8::from(i < foreground)).collect();
        let mask = BinaryMask::new(10, 10, data).unwrap();
        for sampler in [PointSampler::paper(), PointSampler::official()] {
            let mut rng = rng(1);
            let inside: f32 = (0..4000)
                .map(|_| sampler.sample(&mask.clone().into(), 10, &mut rng).unwrap().iou_targets[0])
                .sum();
            // Binomial(4000, 1/2): standard deviation 31.6, so this is four of them.
            assert!((inside - 2000.0).abs() < 127.0, "{inside} of 4000 inside");
        }
    }
}

#[test]
fn pixels_inside_and_outside_are_sampled_uniformly() {
    // 5 pixels inside, 20 outside; 1:1, so 2000 and 2000 of 4000 draws are shared evenly.
    let data = (0..25).map(|i| u8::from(i % 5 == 2)).collect();
    let mask = BinaryMask::new(5, 5, data).unwrap();
    let mut counts = [0f64; 25];
    let mut rng = rng(2);
    for _ in 0..4000 {
        let (row, column) =
            pixel(&PointSampler::paper().sample(&mask.clone().into(), 5, &mut rng).unwrap(), 1.0);
        counts[row * 5 + column] += 1.0;
    }
    for (i, count) in counts.into_iter().enumerate() {
        let expected: f64 = if i % 5 == 2 { 400.0 } else { 100.0 };
        // Poisson: standard deviation √expected, so this is five of them.
        assert!((count - expected).abs() < 5.0 * expected.sqrt(), "pixel {i}: {count}");
    }
}

#[test]
fn other_ratios_are_kept() {
    let mask = BinaryMask::new(1, 2, vec![0, 1]).unwrap();
    let inside = |outside_per_inside| {
        let mut rng = rng(3);
        (0..4000)
            .map(|_| {
                PointSampler { outside_per_inside }
                    .sample(&mask.clone().into(), 2, &mut rng)
                    .unwrap()
            })
            .map(|drawn| drawn.iou_targets[0])
            .sum::<f32>()
    };
    assert_eq!(inside(0), 4000.0);
    // Binomial(4000, 1/4): mean 1000, standard deviation 27.4; four of them.
    assert!((inside(3) - 1000.0).abs() < 110.0);
}

#[test]
fn empty_full_and_missing_masks() {
    let sampler = PointSampler::paper();
    let full = BinaryMask::new(3, 3, vec![1; 9]).unwrap();
    for seed in 0..20 {
        let drawn = sampler.sample(&BinaryMask::empty(3, 3).into(), 12, &mut rng(seed)).unwrap();
        assert_eq!(drawn.iou_targets, [0.0]);
        let drawn = sampler.sample(&full.clone().into(), 12, &mut rng(seed)).unwrap();
        assert_eq!(drawn.iou_targets, [1.0]);
    }
    let message = |mask: &BinaryMask, side| {
        sampler.sample(&mask.clone().into(), side, &mut rng(0)).unwrap_err().to_string()
    };
    assert!(message(&BinaryMask::empty(0, 7), 12).contains("0 × 7"));
    assert!(message(&full, 0).contains("input side 0"));
}

#[test]
fn points_are_scaled_as_the_official_program_does() {
    // Pixel (row 200, column 100) of 256², 1024-pixel input: ×4, no half pixel.
    let mut data = vec![0; 256 * 256];
    data[200 * 256 + 100] = 1;
    let mask = BinaryMask::new(256, 256, data).unwrap();
    let sampler = PointSampler { outside_per_inside: 0 };
    let drawn = sampler.sample(&mask.clone().into(), 1024, &mut rng(0)).unwrap();
    assert_eq!((drawn.prompt.points[0].x, drawn.prompt.points[0].y), (400.0, 800.0));
    // A mask finer than the input: 100 × 64 / 256.
    let drawn = sampler.sample(&mask.clone().into(), 64, &mut rng(0)).unwrap();
    assert_eq!((drawn.prompt.points[0].x, drawn.prompt.points[0].y), (25.0, 50.0));
}

#[test]
fn the_target_of_the_whole_box_says_whether_there_is_foreground() {
    let drawn = BoxSampler {}.sample(&BinaryMask::empty(4, 4).into(), 1024, &mut rng(0)).unwrap();
    let expected = PromptBox { x0: 0.0, y0: 0.0, x1: 1024.0, y1: 1024.0 };
    assert_eq!(drawn.prompt.bbox, Some(expected));
    assert_eq!(whole_box(1024.0), Ok(expected));
    assert!(drawn.prompt.points.is_empty() && drawn.iou_targets == [0.0]);
    let full = BinaryMask::new(1, 2, vec![0, 1]).unwrap();
    assert_eq!(
        BoxSampler {}.sample(&full.clone().into(), 1024, &mut rng(0)).unwrap().iou_targets,
        [1.0]
    );
    assert!(BoxSampler {}.sample(&BinaryMask::empty(4, 4).into(), 0, &mut rng(0)).is_err());
}

#[test]
fn samplers_are_serialized_as_configuration() {
    let text = serde_json::to_string(&PointSampler::paper()).unwrap();
    assert_eq!(text, r#"{"outside_per_inside":1}"#);
    assert_eq!(serde_json::from_str::<PointSampler>(&text).unwrap(), PointSampler::paper());
    assert!(serde_json::from_str::<PointSampler>(r#"{"outside_per_inside":1,"n":2}"#).is_err());
    assert_eq!(serde_json::from_str::<BoxSampler>("{}").unwrap(), BoxSampler {});
}

#[test]
fn a_class_that_the_slice_holds_is_drawn_first() {
    // Class 1 has 90 pixels, class 3 has 1, class 2 none, and 9 are background.
    let data = (0..100).map(|i| if i < 90 { 1 } else { 3 * u8::from(i == 90) }).collect();
    let truth = ClassMask::new(LabelMask::new(10, 10, data).unwrap(), 3).unwrap();
    let mut rng = rng(3);
    let sampler = PointSampler { outside_per_inside: 0 };
    let mut hits = [0; 3];
    for _ in 0..1000 {
        let drawn = sampler.sample(&truth, 10, &mut rng).unwrap();
        let (row, column) = pixel(&drawn, 1.0);
        let class = usize::from(truth.map().data()[10 * row + column]);
        let expected: Vec<f32> = (1..=3).map(|c| f32::from(u8::from(c == class))).collect();
        assert_eq!(drawn.iou_targets, expected);
        hits[class - 1] += 1;
    }
    // Binomial(1000, 1/2): standard deviation 15.8, so this is four of them.
    assert!(hits[1] == 0 && (437..=563).contains(&hits[0]), "{hits:?}");
    let boxed = BoxSampler {}.sample(&truth, 10, &mut rng).unwrap();
    assert_eq!(boxed.iou_targets, [1.0, 0.0, 1.0]);
}
