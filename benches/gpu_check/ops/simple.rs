//! Norms, affine maps, pointwise functions, softmax, other orders of the same numbers.

use crate::case::Case;
use desam::candle::{Result, Tensor};
use desam::nn::ops::linear::{self, Activation, Affine, Epilogue};
use desam::nn::ops::{instance_norm, layer_norm, layout, pointwise, resize, softmax};

pub(super) fn cases(quick: bool) -> Vec<Case> {
    let mut all = vec![];
    norms(quick, &mut all);
    affine(quick, &mut all);
    pointwise(quick, &mut all);
    all
}

fn sizes(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

fn norms(quick: bool, all: &mut Vec<Case>) {
    let rows = |t: &[Tensor]| layer_norm::layer_norm(&t[0], &t[1], &t[2], 1e-6);
    let plain = |t: &[Tensor]| layer_norm::plain(&t[0], &t[1], &t[2], 1e-6);
    let planes = |t: &[Tensor]| layer_norm::layer_norm_2d(&t[0], &t[1], &t[2], 1e-6);
    let plain_2d = |t: &[Tensor]| layer_norm::plain_2d(&t[0], &t[1], &t[2], 1e-6);
    for shape in [&[2, 13, 769][..], &[3, 7, 1], &[1, 5, 33]] {
        let c = shape[2];
        let case = Case::new("layer norm", sizes(shape), rows).defined_by(plain);
        all.push(case.input(shape).single(&[c]).single(&[c]).backward());
    }
    for shape in [[1usize, 3, 5, 7], [3, 65, 23, 24]] {
        let c = shape[1];
        let case = Case::new("layer norm 2d", sizes(&shape), planes).defined_by(plain_2d);
        all.push(case.input(&shape).single(&[c]).single(&[c]).backward());
    }
    let leaky = |t: &[Tensor]| instance_norm::instance_norm_leaky(&t[0], 1e-5, 0.01);
    let plain_leaky = |t: &[Tensor]| instance_norm::plain(&t[0], 1e-5, 0.01);
    let plain_norm = |t: &[Tensor]| instance_norm::plain(&t[0], 1e-5, 1.0);
    for shape in [[1usize, 3, 5, 7], [2, 33, 37, 41]] {
        let case = Case::new("instance norm", sizes(&shape), |t| {
            instance_norm::instance_norm(&t[0], 1e-5)
        });
        all.push(case.defined_by(plain_norm).input(&shape).backward());
        let case = Case::new("instance norm, LeakyReLU", sizes(&shape), leaky);
        all.push(case.defined_by(plain_leaky).input(&shape).backward().rectified());
    }
    if quick {
        return;
    }
    for (shape, c) in
        [([1usize, 4096, 768], 768usize), ([2, 4096, 1280], 1280), ([8, 4096, 256], 256)]
    {
        let case = Case::new("layer norm", sizes(&shape), rows);
        all.push(case.input(&shape).single(&[c]).single(&[c]).backward());
    }
    let case = Case::new("layer norm 2d", "8×256×64×64", planes);
    all.push(case.input(&[8, 256, 64, 64]).single(&[256]).single(&[256]).backward());
    for shape in [[8usize, 256, 64, 64], [8, 128, 128, 128], [4, 64, 256, 256]] {
        let case = Case::new("instance norm, LeakyReLU", sizes(&shape), leaky);
        all.push(case.input(&shape).backward().rectified());
    }
}

fn affine(quick: bool, all: &mut Vec<Case>) {
    type Way = fn(&Tensor, Affine<'_>, Activation) -> Result<Tensor>;
    let fast: Way = |x, affine, activation| linear::linear(x, affine, activation.into());
    let of = |way: Way, activation| {
        move |t: &[Tensor]| way(&t[0], Affine { weight: &t[1], bias: t.get(2) }, activation)
    };
    let mut one = |rows: &[usize], inputs: usize, outputs: usize, activation| {
        let name = match activation {
            Activation::Gelu => "linear, GELU",
            Activation::Relu => "linear, ReLU",
            Activation::Identity => "linear",
        };
        let text = format!("{}: {inputs}→{outputs}", sizes(rows));
        let mut shape = rows.to_vec();
        shape.push(inputs);
        let case = Case::new(name, text, of(fast, activation));
        let small = rows.iter().product::<usize>() * inputs * outputs < 4_000_000;
        let case = if small { case.defined_by(of(linear::plain, activation)) } else { case };
        let case = case.input(&shape).master(&[outputs, inputs], inputs).single(&[outputs]);
        let case = if activation == Activation::Relu { case.rectified() } else { case };
        all.push(case.backward().roundings(2, 3));
    };
    one(&[3, 7], 100, 33, Activation::Identity);
    one(&[77], 64, 129, Activation::Gelu);
    one(&[5, 13], 31, 40, Activation::Relu);
    one(&[8, 7], 256, 128, Activation::Identity);
    if !quick {
        one(&[4096], 768, 2304, Activation::Identity);
        one(&[2, 4096], 1280, 3840, Activation::Identity);
        one(&[2, 4096], 1280, 5120, Activation::Gelu);
        one(&[2, 4096], 5120, 1280, Activation::Identity);
        one(&[81, 7], 256, 2048, Activation::Relu);
    }
    // The encoder's: its weights are of the type of the rest.
    for (rows, inputs, outputs) in [(77usize, 96usize, 65usize), (4096, 1280, 3840)] {
        if !quick || rows < 1000 {
            let case = Case::new(
                "linear, frozen",
                format!("{rows}: {inputs}→{outputs}"),
                of(fast, Activation::Identity),
            );
            let case = if rows < 1000 {
                case.defined_by(of(linear::plain, Activation::Identity))
            } else {
                case
            };
            let case = case.input(&[rows, inputs]).weight(&[outputs, inputs], inputs);
            all.push(case.single(&[outputs]).roundings(2, 0));
        }
    }
    for (rows, inputs, outputs) in [(57usize, 33usize, 65usize), (4096, 1280, 1280)] {
        if quick && rows > 1000 {
            continue;
        }
        let text = format!("{rows}: {inputs}→{outputs}");
        let case = Case::new("linear, added", text, |t| {
            let affine = Affine { weight: &t[1], bias: Some(&t[2]) };
            linear::linear(&t[0], affine, Epilogue::add(&t[3]))
        });
        let case = match rows {
            57 => case.defined_by(|t| {
                let affine = Affine { weight: &t[1], bias: Some(&t[2]) };
                linear::plain(&t[0], affine, Activation::Identity)?.broadcast_add(&t[3])
            }),
            _ => case,
        };
        let case = case.input(&[1, rows, inputs]).master(&[outputs, inputs], inputs);
        all.push(case.single(&[outputs]).input(&[1, rows, outputs]).backward().roundings(2, 2));
    }
}

fn pointwise(quick: bool, all: &mut Vec<Case>) {
    let shapes: &[&[usize]] = if quick { &[&[3, 1001]] } else { &[&[3, 1001], &[1024, 5120]] };
    for shape in shapes {
        let text = sizes(shape);
        let case = Case::new("GELU", &text, |t| pointwise::gelu(&t[0]));
        all.push(case.defined_by(|t| pointwise::plain_gelu(&t[0])).input(shape).backward());
        let case = Case::new("ReLU", &text, |t| pointwise::relu(&t[0]));
        all.push(case.defined_by(|t| t[0].relu()).input(shape).backward());
        let case = Case::new("LeakyReLU", &text, |t| pointwise::leaky_relu(&t[0], 0.01));
        let case = case.defined_by(|t| pointwise::plain_leaky_relu(&t[0], 0.01));
        all.push(case.input(shape).backward());
    }
    for shape in [&[2usize, 3, 5, 77][..], &[1, 8, 7, 4096], &[1, 8, 4096, 7]] {
        let case = Case::new("softmax", sizes(shape), |t| softmax::softmax(&t[0]));
        all.push(case.defined_by(|t| softmax::plain(&t[0])).input(shape).backward());
    }
    for shape in [[1usize, 5, 7, 3], [2, 64, 64, 768]] {
        if quick && shape[1] > 10 {
            continue;
        }
        let case = Case::new("channels first", sizes(&shape), |t| layout::channels_first(&t[0]));
        all.push(case.defined_by(|t| t[0].permute((0, 3, 1, 2))?.contiguous()).input(&shape));
    }
    let case = Case::new("patches", "2×3×70×50, 16", |t| layout::patches(&t[0], 16));
    all.push(case.input(&[2, 3, 70, 50]));
    for (shape, to) in [
        ([2usize, 3, 13, 7], (29usize, 31usize)),
        ([1, 1, 64, 64], (37, 90)),
        ([8, 1, 256, 256], (1024, 1024)),
    ] {
        if quick && shape[2] > 100 {
            continue;
        }
        let text = format!("{} to {}×{}", sizes(&shape), to.0, to.1);
        let case = Case::new("bilinear", text, move |t| resize::bilinear(&t[0], to));
        let case = case.defined_by(move |t| resize::plain(&t[0], to));
        all.push(case.input(&shape).backward());
    }
}
