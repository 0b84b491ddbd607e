use super::*;
use crate::ops::gradcheck::{max_diff, random};

pub(super) fn step(step: u32) -> AdamStep {
    AdamStep { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, rate: 1e-3, step, decay: 0.0, scale: 1.0 }
}

/// The same with decay and a scaled gradient.
pub(super) fn tuned(number: u32) -> AdamStep {
    AdamStep { decay: 0.3, scale: 1.0 / f64::from(number + 1), ..step(number) }
}

type StepFn<'a> = &'a dyn Fn(u32, &Var, &Tensor, &mut Moments) -> Result<()>;

/// Five steps with changing gradients: parameter and moments.
fn run(start: &Tensor, grads: impl Fn(u32) -> Tensor, apply: StepFn<'_>) -> [Tensor; 3] {
    let var = Var::from_tensor(start).unwrap();
    let mut moments = Moments::zeros(&var).unwrap();
    for i in 1..6 {
        apply(i, &var, &grads(i), &mut moments).unwrap();
    }
    [var.into_inner(), moments.first, moments.second]
}

#[test]
fn one_walk_is_the_elementary_ops_bit_for_bit() {
    for dtype in [DType::F32, DType::F64] {
        for shape in [&[1usize][..], &[0, 3], &[7, 5], &[3, 8192], &[2, 3, 5, 1001]] {
            let start = random(1, shape).to_dtype(dtype).unwrap();
            let grads = |i: u32| {
                let g = random(u64::from(i) + 1, shape).to_dtype(dtype).unwrap();
                (g * 10f64.powi(-(i as i32))).unwrap()
            };
            for constants in [step, tuned] {
                let ours = run(&start, grads, &|i, v, g, m| constants(i).apply(v, g, m));
                let plain = run(&start, grads, &|i, v, g, m| constants(i).plain(v, g, m));
                for (a, b) in ours.iter().zip(&plain) {
                    assert_eq!(max_diff(a, b), 0.0, "{dtype:?} {shape:?}");
                }
            }
        }
    }
}

#[test]
fn takes_a_transposed_gradient_and_refuses_another_shape() {
    let start = random(1, &[4, 6]);
    let transposed = |i: u32| random(u64::from(i), &[6, 4]).t().unwrap();
    let plain = |i: u32| transposed(i).contiguous().unwrap();
    let a = run(&start, transposed, &|i, v, g, m| step(i).apply(v, g, m));
    let b = run(&start, plain, &|i, v, g, m| step(i).plain(v, g, m));
    assert!(a.iter().zip(&b).all(|(a, b)| max_diff(a, b) == 0.0));
    let var = Var::from_tensor(&start).unwrap();
    let mut moments = Moments::zeros(&var).unwrap();
    assert!(step(1).apply(&var, &random(1, &[6, 4]), &mut moments).is_err());
    assert_eq!(max_diff(&moments.first, &var.zeros_like().unwrap()), 0.0);
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let start = random(1, &[70_001]).to_dtype(DType::F32).unwrap();
    let grads = |i: u32| random(u64::from(i), &[70_001]).to_dtype(DType::F32).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let all = pool.install(|| run(&start, grads, &|i, v, g, m| tuned(i).apply(v, g, m)));
        all.map(|t| t.to_vec1::<f32>().unwrap())
    };
    let one = on(1);
    assert!(one == on(2) && one == on(7));
}

#[test]
fn kernels_and_the_cpu_refuse_other_shapes_before_anything_is_changed() {
    let run = || {
        let vars = [2usize, 3].map(|n| Var::ones(n, DType::F32, &candle_core::Device::Cpu));
        let vars = vars.into_iter().collect::<Result<Vec<_>>>()?;
        let grad = vars[0].as_tensor().ones_like()?;
        let mut moments = [Moments::zeros(&vars[0])?, Moments::zeros(&vars[1])?];
        let [a, b] = &mut moments;
        let mut parameters = [
            Parameter { var: &vars[0], grad: &grad, moments: a },
            Parameter { var: &vars[1], grad: &grad, moments: b },
        ];
        assert!(step(1).apply_all(&mut parameters).is_err());
        let mut mean = grad.copy()?;
        let value = vars[1].as_tensor();
        assert!(follow_all(&mut [MovingAverage { mean: &mut mean, value }], 0.5).is_err());
        Ok(vec![vars[0].as_tensor().copy()?, moments[0].first.clone(), mean])
    };
    let on_cpu: Result<Vec<Tensor>> = run();
    let found = [on_cpu.unwrap()].into_iter();
    #[cfg(feature = "emulation")]
    let found = found.chain(crate::gpu::emulated(run).unwrap());
    for all in found {
        assert_eq!(all[0].to_vec1::<f32>().unwrap(), [1.0, 1.0]);
        assert_eq!(all[1].to_vec1::<f32>().unwrap(), [0.0, 0.0]);
        assert_eq!(all[2].to_vec1::<f32>().unwrap(), [1.0, 1.0]);
    }
}

#[test]
fn nothing_at_all_is_no_error() {
    assert_eq!(square_sum_all(&[]).unwrap(), 0.0);
    step(1).apply_all(&mut []).unwrap();
    follow_all(&mut [], 0.5).unwrap();
}
