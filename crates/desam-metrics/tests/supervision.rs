//! Deep supervision and the IoU target that the drawn mask gives, against arithmetic.

#![allow(clippy::unwrap_used)] // helpers of tests, outside `#[test]`

use candle_core::{DType, Device, Tensor, Var};
use desam_core::{Loss, LossTarget, LossValue, MaskPrediction};
use desam_metrics::loss::{
    IouLoss, IouTarget, LossConfig, bce_with_logits, coarser_target, mask_iou, soft_dice,
    supervision_weights,
};

fn masks(values: &[f64], side: usize) -> Tensor {
    let n = values.len() / (side * side);
    Tensor::from_slice(values, (n, 1, side, side), &Device::Cpu).unwrap()
}

fn scalar(t: &Tensor) -> f64 {
    t.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn wave(n: usize, side: usize, seed: f64) -> Tensor {
    let values: Vec<f64> =
        (0..n * side * side).map(|i| 3.0 * (0.7 * i as f64 + seed).sin()).collect();
    masks(&values, side)
}

/// Two squares' corners, off the grid of blocks.
fn target() -> Tensor {
    let pixel = |i: usize| {
        let (image, y, x) = (i / 64, i / 8 % 8, i % 8);
        f64::from(u8::from(y > image && x >= 3 && y < 6))
    };
    masks(&(0..128).map(pixel).collect::<Vec<_>>(), 8)
}

#[test]
fn weights_halve_and_sum_to_one() {
    // nnU-Net's rule by hand: 1, ½, ¼ over their sum 7/4.
    assert_eq!(supervision_weights(0), [1.0]);
    assert_eq!(supervision_weights(1), [2.0 / 3.0, 1.0 / 3.0]);
    assert_eq!(supervision_weights(2), [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]);
}

#[test]
fn a_coarser_target_is_every_second_pixel_of_every_second_row() {
    let numbers: Vec<f64> = (0..32).map(f64::from).collect();
    let half = coarser_target(&masks(&numbers, 4), 2).unwrap();
    assert_eq!(flat(&half), [0., 2., 8., 10., 16., 18., 24., 26.]);
    assert_eq!(half.dims(), [2, 1, 2, 2]);
    assert_eq!(flat(&coarser_target(&masks(&numbers, 4), 1).unwrap()), [0., 16.]);
    let message = coarser_target(&masks(&numbers, 4), 3).unwrap_err().to_string();
    assert!(message.contains("coarser") && message.contains('3'), "{message}");
}

fn terms(value: &LossValue) -> Vec<(&'static str, f64, f64)> {
    value.terms.iter().map(|t| (t.name, t.weight, scalar(&t.value))).collect()
}

#[test]
fn heads_share_the_mask_terms_and_each_learns_in_its_share() {
    let vars = [8, 4, 2].map(|side| Var::from_tensor(&wave(2, side, side as f64)).unwrap());
    let [fine, half, quarter] = vars.each_ref().map(|v| v.as_tensor().clone());
    let iou = Tensor::zeros((2, 1), DType::F64, &Device::Cpu).unwrap();
    let prediction = MaskPrediction {
        coarser: vec![half.clone(), quarter.clone()],
        ..MaskPrediction::new(fine.clone(), iou)
    };
    let config = LossConfig { dice: 2.0, bce: 0.5, ..LossConfig::paper_box() };
    let loss = config.build().unwrap();
    let target = LossTarget { mask: target(), iou: None };
    let value = loss.forward(&prediction, &target).unwrap();

    let heads = [(&fine, 8), (&half, 4), (&quarter, 2)]
        .map(|(logits, side)| (logits, coarser_target(&target.mask, side).unwrap()));
    let dice = heads.each_ref().map(|(x, t)| scalar(&soft_dice(x, t, 1e-5).unwrap()));
    let bce = heads.each_ref().map(|(x, t)| scalar(&bce_with_logits(x, t).unwrap()));
    // 4/7, 2/7 and 1/7; of the two coarser ones ⅔ and ⅓.
    let coarser = |v: [f64; 3]| (2.0 * v[1] + v[2]) / 3.0;
    let expected = [
        ("dice", 2.0 * 4.0 / 7.0, dice[0]),
        ("bce", 0.5 * 4.0 / 7.0, bce[0]),
        ("dice_coarser", 2.0 * 3.0 / 7.0, coarser(dice)),
        ("bce_coarser", 0.5 * 3.0 / 7.0, coarser(bce)),
    ];
    let found = terms(&value);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        assert!((found.1 - expected.1).abs() < 1e-12, "{found:?}, not {expected:?}");
        assert!((found.2 - expected.2).abs() < 1e-12, "{found:?}, not {expected:?}");
    }
    let total: f64 = expected.iter().map(|(_, weight, value)| weight * value).sum();
    assert!((scalar(&value.total) - total).abs() < 1e-12);

    // Each head's gradient is that of the loss on it alone, times its share.
    let grads = value.total.backward().unwrap();
    for (var, ((_, target), share)) in vars.iter().zip(heads.iter().zip([4.0, 2.0, 1.0])) {
        let alone = MaskPrediction::new(var.as_tensor().clone(), prediction.iou.clone());
        let target = LossTarget { mask: target.clone(), iou: None };
        let alone = loss.forward(&alone, &target).unwrap().total.backward().unwrap();
        let (found, expected) = (flat(grads.get(var).unwrap()), flat(alone.get(var).unwrap()));
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e * share / 7.0).abs() < 1e-12, "{f}, not {e} · {share}/7");
        }
    }
}

#[test]
fn a_head_whose_side_does_not_divide_the_masks_is_refused() {
    let prediction = MaskPrediction {
        coarser: vec![wave(2, 3, 0.0)],
        ..MaskPrediction::new(wave(2, 8, 0.0), wave(2, 1, 0.0).reshape((2, 1)).unwrap())
    };
    let loss = LossConfig::paper_box().build().unwrap();
    let found = loss.forward(&prediction, &LossTarget { mask: target(), iou: None });
    let message = found.unwrap_err().to_string();
    assert!(message.contains("[2, 1, 3, 3]"), "{message}");
}

#[test]
fn the_mask_iou_thresholds_logits_at_zero() {
    // By hand: 1 of 3; nothing of 2; both empty; the same two pixels.
    let logits = [[2., 1e-3, -1., 0.], [-1., 0., -9., -1e-3], [-1.; 4], [5., -5., 5., -5.]];
    let truth = [[1., 0., 1., 0.], [1., 0., 0., 1.], [0.; 4], [1., 0., 1., 0.]];
    for dtype in [DType::F32, DType::F64] {
        let [logits, truth] =
            [logits, truth].map(|t| masks(&t.concat(), 2).to_dtype(dtype).unwrap());
        let logits = Var::from_tensor(&logits).unwrap();
        let iou = mask_iou(&logits, &truth).unwrap();
        assert_eq!((iou.dims(), iou.dtype(), iou.track_op()), (&[4, 1][..], dtype, false));
        for (found, expected) in flat(&iou).iter().zip([1.0 / 3.0, 0.0, 1.0, 1.0]) {
            assert!((found - expected).abs() < 1e-7, "{found}, not {expected}");
        }
    }
    assert!(mask_iou(&wave(1, 4, 0.0), &target()).is_err());
}

#[test]
fn the_iou_head_learns_the_mask_iou_without_a_gradient_to_the_mask() {
    let logits = Var::from_tensor(&masks(&[2., 2., -2., -2.], 2)).unwrap();
    let iou = Var::from_tensor(&Tensor::new(&[[0.9f64]], &Device::Cpu).unwrap()).unwrap();
    let prediction = MaskPrediction::new(logits.as_tensor().clone(), iou.as_tensor().clone());
    let config = LossConfig {
        dice: 0.0,
        bce: 0.0,
        iou: Some(IouLoss { target: IouTarget::Mask, ..IouLoss::paper() }),
        ..LossConfig::paper_points()
    };
    // No sampler has to say anything: whole box mode can have it too.
    let target = LossTarget { mask: masks(&[1., 0., 0., 0.], 2), iou: None };
    let value = config.build().unwrap().forward(&prediction, &target).unwrap();
    // By hand: IoU ½, so 10 · 0.4² and its derivative 10 · 2 · 0.4.
    assert!((scalar(&value.total) - 1.6).abs() < 1e-12);
    let grads = value.total.backward().unwrap();
    assert!((flat(grads.get(&iou).unwrap())[0] - 8.0).abs() < 1e-12);
    assert!(grads.get(&logits).is_none());
}
