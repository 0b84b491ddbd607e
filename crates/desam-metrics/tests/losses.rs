//! Losses against the official program's values and gradients, against arithmetic, and against
//! finite differences.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests, outside `#[test]`

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{number, reference};
use desam_core::{Loss, LossTarget, LossValue, MaskPrediction};
use desam_metrics::loss::{
    DiceReduction, IouLossKind, LossConfig, MaskSlices, batch_soft_dice, bce_with_logits, l1, mse,
    soft_dice, view_consistency,
};

const SMOOTHING: f64 = 1e-5;

fn scalar(t: &Tensor) -> f64 {
    t.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * expected.abs().max(1e-12), "{what}: {found}, not {expected}");
}

fn term(value: &LossValue, name: &str) -> f64 {
    let found = value.terms.iter().find(|t| t.name == name);
    scalar(&found.unwrap_or_else(|| panic!("no term {name}")).value)
}

/// Every gradient entry within `tolerance` of the largest, and small ones within it of themselves
/// or of f32's resolution at the scale of the largest.
fn close_gradients(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (flat(found), flat(expected));
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        let allowed = tolerance * e.abs() + 1e-6 * largest;
        assert!((f - e).abs() <= allowed, "{what}[{i}]: {f}, not {e} (largest {largest})");
    }
}

#[test]
fn the_official_values_and_gradients() {
    let Some((tensors, cases)) = reference("losses") else {
        return;
    };
    for case in &cases {
        let id = case["case"].as_u64().unwrap();
        let get = |name: &str| tensors[&format!("{id}.{name}")].clone();
        let logits = Var::from_tensor(&get("logits")).unwrap();
        let iou = Var::from_tensor(&get("iou")).unwrap();
        let prediction = MaskPrediction::new(logits.as_tensor().clone(), iou.as_tensor().clone());
        let target = LossTarget { mask: get("target"), iou: Some(get("iou_target")) };
        let run =
            |config: LossConfig| config.build().unwrap().forward(&prediction, &target).unwrap();

        let points = run(LossConfig::paper_points());
        let boxed = run(LossConfig::paper_box());
        let official = run(LossConfig::official_points());
        for (value, name) in
            [(&points, "dice"), (&points, "bce"), (&points, "mse"), (&official, "l1")]
        {
            close(term(value, name), number(case, name), 1e-5, &format!("case {id} {name}"));
        }
        let total = scalar(&points.total);
        close(total, number(case, "paper_points"), 1e-5, &format!("case {id} Eq. 1"));
        let total = scalar(&boxed.total);
        close(total, number(case, "paper_box"), 1e-5, &format!("case {id} Eq. 2"));
        // The official program's own totals are sums of the reference's parts.
        let expected = number(case, "dice") + number(case, "l1");
        close(scalar(&official.total), expected, 1e-5, &format!("case {id} official points"));
        let total = scalar(&run(LossConfig::official_box()).total);
        close(total, number(case, "dice"), 1e-5, &format!("case {id} official box"));

        let grads = points.total.backward().unwrap();
        let d_logits = grads.get(&logits).unwrap();
        close_gradients(d_logits, &get("grad_logits"), 1e-4, &format!("case {id} grad_logits"));
        let d_iou = grads.get(&iou).unwrap();
        close_gradients(d_iou, &get("grad_iou"), 1e-5, &format!("case {id} grad_iou"));
    }
}

/// Logits of ordinary size, one at 0 exactly, and some far out, with both targets.
fn gradcheck_input() -> (Tensor, Tensor) {
    let n = 2 * 5 * 4;
    let mut logits: Vec<f64> = (0..n).map(|i| ((i * 37 % 19) as f64 - 9.0) * 0.4).collect();
    let mut target: Vec<f64> = (0..n).map(|i| f64::from(i * 7 % 3 == 0)).collect();
    for (i, (x, t)) in
        [(0.0, 1.0), (0.0, 0.0), (30.0, 0.0), (-30.0, 1.0), (30.0, 1.0)].into_iter().enumerate()
    {
        (logits[3 * i], target[3 * i]) = (x, t);
    }
    let shape = (2, 1, 5, 4);
    let device = Device::Cpu;
    let logits = Tensor::from_vec(logits, shape, &device).unwrap();
    (logits, Tensor::from_vec(target, shape, &device).unwrap())
}

/// Central differences of `f` at `x`, in f64: the error is of the order of `h²` = 1e-10.
fn check_gradient(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let h = 1e-5;
    let var = Var::from_tensor(x).unwrap();
    let grads = f(var.as_tensor()).unwrap().backward().unwrap();
    let found = flat(grads.get(&var).unwrap());
    let values = flat(x);
    for (i, found) in found.iter().enumerate() {
        let moved = |by: f64| {
            let mut v = values.clone();
            v[i] += by;
            scalar(&f(&Tensor::from_vec(v, x.dims(), &Device::Cpu).unwrap()).unwrap())
        };
        let expected = (moved(h) - moved(-h)) / (2.0 * h);
        assert!((found - expected).abs() < 1e-8, "entry {i}: {found}, not {expected}");
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (logits, target) = gradcheck_input();
    check_gradient(&logits, |x| soft_dice(x, &target, SMOOTHING));
    check_gradient(&logits, |x| bce_with_logits(x, &target));
    let empty = target.zeros_like().unwrap();
    check_gradient(&logits, |x| soft_dice(x, &empty, SMOOTHING));
    check_gradient(&logits, |x| batch_soft_dice(x, &target, SMOOTHING));
    let iou = Tensor::new(&[[0.2f64], [1.7], [-0.4]], &Device::Cpu).unwrap();
    let wanted = Tensor::new(&[[1.0f64], [0.0], [0.0]], &Device::Cpu).unwrap();
    check_gradient(&iou, |x| mse(x, &wanted));
    check_gradient(&iou, |x| l1(x, &wanted));
}

#[test]
fn huge_logits_give_the_limits_in_both_types() {
    for dtype in [DType::F32, DType::F64] {
        // Arithmetic: wrong by 1e4 costs 1e4, right costs 0; the gradient is σ − t over 4 pixels.
        let logits = Tensor::new(&[[[[1e4f64, -1e4], [1e4, -1e4]]]], &Device::Cpu).unwrap();
        let target = Tensor::new(&[[[[1f64, 0.], [0., 1.]]]], &Device::Cpu).unwrap();
        let logits = Var::from_tensor(&logits.to_dtype(dtype).unwrap()).unwrap();
        let target = target.to_dtype(dtype).unwrap();
        let value = bce_with_logits(&logits, &target).unwrap();
        close(scalar(&value), 5e3, 1e-6, "cross-entropy");
        let grads = value.backward().unwrap();
        assert_eq!(flat(grads.get(&logits).unwrap()), [0.0, 0.0, 0.25, -0.25]);
        // p = t on two of four pixels: Dice = 2·1 / (2 + 2).
        let value = soft_dice(&logits, &target, SMOOTHING).unwrap();
        close(scalar(&value), 0.5, 1e-5, "dice");
        let grads = value.backward().unwrap();
        assert!(flat(grads.get(&logits).unwrap()).iter().all(|g| *g == 0.0));
    }
}

#[test]
fn dice_is_averaged_over_masks_not_pixels() {
    // Arithmetic: a perfect mask (loss 0) and a wholly wrong one (loss 1) average to a half,
    // though the first has four times the foreground.
    let logits =
        Tensor::new(&[[[[90f32, 90.], [90., 90.]]], [[[90., -90.], [-90., -90.]]]], &Device::Cpu);
    let target = Tensor::new(&[[[[1f32, 1.], [1., 1.]]], [[[0., 1.], [0., 0.]]]], &Device::Cpu);
    let value = soft_dice(&logits.unwrap(), &target.unwrap(), SMOOTHING).unwrap();
    close(scalar(&value), 0.5, 1e-5, "dice");
}

#[test]
fn dice_of_a_batch_sums_over_its_masks() {
    // Arithmetic: 4 of 4 pixels right, then 1 pixel found where there is nothing: overlap 4, sizes 5
    // and 4, so a loss of 1 - 8 / 9; averaged over masks it would be (0 + 1) / 2.
    let logits =
        Tensor::new(&[[[[90f32, 90.], [90., 90.]]], [[[90., -90.], [-90., -90.]]]], &Device::Cpu);
    let target = Tensor::new(&[[[[1f32, 1.], [1., 1.]]], [[[0., 0.], [0., 0.]]]], &Device::Cpu);
    let (logits, target) = (logits.unwrap(), target.unwrap());
    let value = batch_soft_dice(&logits, &target, SMOOTHING).unwrap();
    close(scalar(&value), 1.0 - 8.0 / 9.0, 1e-5, "dice");
    let config =
        LossConfig { dice_reduction: DiceReduction::Batch, bce: 0.0, ..LossConfig::paper_box() };
    let prediction = MaskPrediction { iou: logits.mean((2, 3)).unwrap(), coarser: vec![], logits };
    let target = LossTarget { mask: target, iou: None };
    let loss = config.build().unwrap().forward(&prediction, &target).unwrap();
    close(scalar(&loss.total), 1.0 - 8.0 / 9.0, 1e-5, "loss");
}

#[test]
fn an_empty_target_is_perfect_only_for_an_empty_prediction() {
    let empty = Tensor::zeros((1, 1, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let loss = |logit: f64| {
        let logits = (&empty + logit).unwrap();
        scalar(&soft_dice(&logits, &empty, SMOOTHING).unwrap())
    };
    // Arithmetic: 1 − s / (16 σ(x)² + s), s = 1e-5; σ(−90)² is 0 in f32, σ(90) is 1.
    assert!(loss(-90.0).abs() < 1e-6);
    close(loss(90.0), 1.0 - 1e-5 / (16.0 + 1e-5), 1e-6, "full prediction");
}

#[test]
fn l1_has_a_zero_gradient_at_the_target() {
    let iou = Var::new(&[[1f32], [0.25]], &Device::Cpu).unwrap();
    let target = Tensor::new(&[[1f32], [1.0]], &Device::Cpu).unwrap();
    let value = l1(&iou, &target).unwrap();
    close(scalar(&value), 0.375, 1e-6, "l1");
    let grads = value.backward().unwrap();
    // PyTorch's sign(0) = 0; the other entry is sign(−0.75) / 2.
    assert_eq!(flat(grads.get(&iou).unwrap()), [0.0, -0.5]);
}

#[test]
fn terms_are_named_weighted_and_omitted_at_weight_zero() {
    let (logits, mask) = gradcheck_input();
    let iou = Tensor::new(&[[0.5f64], [0.5]], &Device::Cpu).unwrap();
    let target = LossTarget { mask, iou: Some(iou.ones_like().unwrap()) };
    let prediction = MaskPrediction::new(logits, iou);
    let names = |config: LossConfig| {
        let value = config.build().unwrap().forward(&prediction, &target).unwrap();
        let sum: f64 = value.terms.iter().map(|t| t.weight * scalar(&t.value)).sum();
        close(scalar(&value.total), sum, 1e-12, "total");
        value.terms.iter().map(|t| (t.name, t.weight)).collect::<Vec<_>>()
    };
    assert_eq!(
        names(LossConfig::paper_points()),
        [("dice", 1.0), ("bce", 1.0), (IouLossKind::Mse.name(), 10.0)]
    );
    assert_eq!(names(LossConfig::paper_box()), [("dice", 1.0), ("bce", 1.0)]);
    assert_eq!(names(LossConfig::official_points()), [("dice", 1.0), ("l1", 1.0)]);
    assert_eq!(names(LossConfig::official_box()), [("dice", 1.0)]);
}

#[test]
fn half_precision_is_compared_in_f32() {
    let (logits, target) = gradcheck_input();
    let half = logits.to_dtype(DType::F16).unwrap();
    let exact = half.to_dtype(DType::F64).unwrap();
    let var = Var::from_tensor(&half).unwrap();
    let value = bce_with_logits(&var, &target.to_dtype(DType::F16).unwrap()).unwrap();
    assert_eq!(value.dtype(), DType::F32);
    let expected = scalar(&bce_with_logits(&exact, &target).unwrap());
    close(scalar(&value), expected, 1e-6, "bce");
    let grads = value.backward().unwrap();
    assert_eq!(grads.get(&var).unwrap().dtype(), DType::F16);
}

#[test]
fn shapes_and_types_that_differ_are_refused_with_a_reason() {
    let device = Device::Cpu;
    let logits = Tensor::zeros((2, 1, 4, 4), DType::F32, &device).unwrap();
    let iou = Tensor::zeros((2, 1), DType::F32, &device).unwrap();
    let forward = |logits: &Tensor, mask: Tensor, target_iou: Option<Tensor>| {
        let prediction = MaskPrediction::new(logits.clone(), iou.clone());
        let loss = LossConfig::paper_points().build().unwrap();
        let found = loss.forward(&prediction, &LossTarget { mask, iou: target_iou });
        found.map(|_| ()).unwrap_err().to_string()
    };
    let good = || Some(iou.clone());
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &device).unwrap();
    for (mask, iou_target, says) in [
        (zeros(&[2, 1, 4, 5], DType::F32), good(), "[2, 1, 4, 5]"),
        (zeros(&[1, 1, 4, 4], DType::F32), good(), "[1, 1, 4, 4]"),
        (zeros(&[2, 1, 4, 4], DType::F64), good(), "F64"),
        (zeros(&[2, 1, 4, 4], DType::F32), None, "whole box mode"),
        (zeros(&[2, 1, 4, 4], DType::F32), Some(zeros(&[2], DType::F32)), "[2, 1]"),
    ] {
        let message = forward(&logits, mask, iou_target);
        assert!(message.contains(says), "{message}");
    }
    let flat = zeros(&[2, 16], DType::F32);
    assert!(forward(&flat, flat.clone(), good()).contains("[N, L, M, M]"));
    let none = zeros(&[0, 1, 4, 4], DType::F32);
    assert!(forward(&none, none.clone(), good()).contains("nothing to compare"));
    // Whole box mode asks for no IoU target.
    let prediction = MaskPrediction::new(logits.clone(), iou.clone());
    let target = LossTarget { mask: logits.clone(), iou: None };
    LossConfig::paper_box().build().unwrap().forward(&prediction, &target).unwrap();
}

/// Not a test of speed; run with `--ignored --nocapture` for the time of one training step's loss.
#[test]
#[ignore = "prints a timing"]
fn time_of_a_batch_of_eight() {
    let device = Device::Cpu;
    let logits: Vec<f32> = (0..8 * 256 * 256).map(|i| (i as f32 * 0.37).sin() * 8.0).collect();
    let logits =
        Var::from_tensor(&Tensor::from_vec(logits, (8, 1, 256, 256), &device).unwrap()).unwrap();
    let iou = Var::zeros((8, 1), DType::F32, &device).unwrap();
    let mask = logits.ge(0f32).unwrap().to_dtype(DType::F32).unwrap();
    let target = LossTarget { mask, iou: Some(iou.as_tensor().ones_like().unwrap()) };
    let prediction = MaskPrediction::new(logits.as_tensor().clone(), iou.as_tensor().clone());
    let loss = LossConfig::paper_points().build().unwrap();
    for _ in 0..5 {
        let start = std::time::Instant::now();
        let value = loss.forward(&prediction, &target).unwrap();
        let forward = start.elapsed();
        value.total.backward().unwrap();
        println!("forward {forward:?}, with backward {:?}", start.elapsed());
    }
}

#[test]
fn consistency_between_views_is_that_of_csdg() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/dg/csdg.safetensors");
    if !path.is_file() {
        println!("skipped: no reference vectors at {}", path.display());
        return;
    }
    let tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    // Two classes there: the logit of foreground is the difference, and the mean over classes as well
    // halves the loss. Three views.
    let two = &tensors["loss.logits"];
    let logits = (two.narrow(1, 1, 1).unwrap() - two.narrow(1, 0, 1).unwrap()).unwrap();
    let logits = Var::from_tensor(&logits).unwrap();
    let loss = view_consistency(&logits, 3).unwrap();
    let expected = scalar(&tensors["loss.consistency"]);
    close(scalar(&loss) / 2.0, expected, 1e-5, "consistency");
    let grads = loss.backward().unwrap();
    let found = (grads.get(&logits).unwrap() / 2.0).unwrap();
    let expected = tensors["loss.grad_consistency_target_detached"].narrow(1, 1, 1).unwrap();
    close_gradients(&found, &expected, 1e-4, "gradient of the consistency");
}

#[test]
fn consistency_is_zero_where_views_agree_and_finite_where_they_are_sure() {
    let tensor = |values: &[f32]| {
        Tensor::from_vec(values.to_vec(), (values.len() / 2, 1, 1, 2), &Device::Cpu).unwrap()
    };
    let same = view_consistency(&tensor(&[3.0, -200.0, 3.0, -200.0]), 2).unwrap();
    assert!(scalar(&same).abs() < 1e-6);
    // By hand: logits of 200 and −200 have the mean probability 1/2, whose cross-entropy with each is
    // 100; less the entropy ln 2.
    let opposed = view_consistency(&tensor(&[200.0, 200.0, -200.0, -200.0]), 2).unwrap();
    close(scalar(&opposed), 100.0 - std::f64::consts::LN_2, 1e-6, "opposed");
    for views in [0, 1, 3] {
        assert!(view_consistency(&tensor(&[0.0; 8]), views).is_err());
    }
    let logits = Var::from_tensor(&tensor(&[0.3, -1.0, 1.2, 0.1])).unwrap();
    let grads = view_consistency(&logits, 2).unwrap().backward().unwrap();
    let found = flat(grads.get(&logits).unwrap());
    // The mean probability is a constant to the gradient: σ(x) − p̄, over four numbers.
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let p: Vec<f64> = [0.3, -1.0, 1.2, 0.1].map(sigmoid).to_vec();
    for (n, g) in found.iter().enumerate() {
        let mean = 0.5 * (p[n] + p[(n + 2) % 4]);
        assert!((g - (p[n] - mean) / 4.0).abs() < 1e-7, "{n}: {g}");
    }
}

#[test]
fn masks_of_empty_slices_can_be_left_to_the_predicted_iou() {
    // Two slices of two pixels, the second without foreground.
    let tensor = |values: &[f32], shape: (usize, usize, usize, usize)| {
        Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
    };
    // Strided, as decoders leave them.
    let columns = Var::from_tensor(&tensor(&[0.5, 2.0, -1.0, 3.0], (1, 1, 2, 2))).unwrap();
    let logits = columns.as_tensor().transpose(0, 3).unwrap().transpose(2, 3).unwrap();
    let mask = tensor(&[1.0, 0.0, 0.0, 0.0], (2, 1, 1, 2));
    let iou = Var::from_tensor(&Tensor::new(&[[0.7f32], [0.6]], &Device::Cpu).unwrap()).unwrap();
    let target_iou = Tensor::new(&[[1.0f32], [0.0]], &Device::Cpu).unwrap();
    let labelled = LossConfig { mask_slices: MaskSlices::Labelled, ..LossConfig::paper_points() };
    let value = |config: LossConfig, slices: usize| {
        let first = |t: &Tensor| t.narrow(0, 0, slices).unwrap();
        let prediction = MaskPrediction::new(first(&logits), first(iou.as_tensor()));
        let target = LossTarget { mask: first(&mask), iou: Some(first(&target_iou)) };
        config.build().unwrap().forward(&prediction, &target).unwrap()
    };
    // The mask terms are those of the first slice alone; the IoU term is over both.
    let (both, first) = (value(labelled, 2), value(LossConfig::paper_points(), 1));
    for name in ["dice", "bce"] {
        assert_eq!(term(&both, name), term(&first, name), "{name}");
    }
    // By hand: (0.3² + 0.6²) / 2.
    close(term(&both, "mse"), 0.225, 1e-6, "mse");
    let grads = both.total.backward().unwrap();
    let gradient = flat(grads.get(&columns).unwrap());
    assert!(gradient[0] != 0.0 && gradient[2] != 0.0, "{gradient:?}");
    assert!(gradient[1] == 0.0 && gradient[3] == 0.0, "{gradient:?}");
    assert!(flat(grads.get(&iou).unwrap()).iter().all(|g| *g != 0.0));

    // Empty slices alone: nothing for the mask, and without an IoU term a loss of 0.
    let empty = LossTarget { mask: tensor(&[0.0; 4], (2, 1, 1, 2)), iou: Some(target_iou.clone()) };
    let prediction = MaskPrediction::new(logits.clone(), iou.as_tensor().clone());
    let forward =
        |config: LossConfig| config.build().unwrap().forward(&prediction, &empty).unwrap();
    assert_eq!(forward(labelled).terms.len(), 1);
    let nothing = LossConfig { iou: None, ..labelled };
    assert!(forward(nothing).terms.is_empty() && scalar(&forward(nothing).total) == 0.0);
}

#[test]
fn the_loss_of_several_classes_is_the_mean_of_theirs() {
    let plane = |seed: f64| -> Tensor {
        let t = Tensor::arange(0u32, 32, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        t.affine(0.9, seed).unwrap().sin().unwrap().reshape((2, 1, 4, 4)).unwrap()
    };
    let mask = |seed: f64| plane(seed).gt(0.0).unwrap().to_dtype(DType::F64).unwrap();
    let iou = |a: f64, b: f64| Tensor::new(&[[a], [b]], &Device::Cpu).unwrap();
    for dice_reduction in [DiceReduction::Mask, DiceReduction::Batch] {
        let loss = LossConfig { dice_reduction, ..LossConfig::paper_points() }.build().unwrap();
        let value = |logits: &Tensor, predicted: &Tensor, mask: &Tensor, iou: &Tensor| {
            let target = LossTarget { mask: mask.clone(), iou: Some(iou.clone()) };
            let prediction = MaskPrediction::new(logits.clone(), predicted.clone());
            scalar(&loss.forward(&prediction, &target).unwrap().total)
        };
        let first = (plane(1.0), iou(0.2, 0.7), mask(0.3), iou(0.0, 1.0));
        let second = (plane(2.0), iou(0.9, 0.1), mask(2.5), iou(1.0, 0.0));
        let join = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 1).unwrap();
        let both = value(
            &join(&first.0, &second.0),
            &join(&first.1, &second.1),
            &join(&first.2, &second.2),
            &join(&first.3, &second.3),
        );
        let of = |(a, b, c, d): &(Tensor, Tensor, Tensor, Tensor)| value(a, b, c, d);
        close(both, 0.5 * (of(&first) + of(&second)), 1e-12, "mean of two classes");
    }
}
