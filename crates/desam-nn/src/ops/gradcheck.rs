//! Gradient check against central finite differences in f64, and comparisons of fast and plain paths,
//! for the tests of every op.

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Uniform numbers in [-1, 1), f64.
pub(crate) fn random(seed: u64, shape: &[usize]) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Largest difference of two tensors of any float type.
pub(crate) fn max_diff(a: &Tensor, b: &Tensor) -> f64 {
    if a.elem_count() == 0 {
        return 0.0;
    }
    let d = (a.to_dtype(DType::F64).unwrap() - b.to_dtype(DType::F64).unwrap()).unwrap();
    d.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// Gradient check of `sum(f(inputs) · fixed random weights)` with respect to every input. In f64, since
/// in f32 the differences would drown in rounding. Central differences with step 1e-5 in f64 are good to about 1e-9 here; the bound is 1e-6.
pub(crate) fn check(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let weights = random(99, f(&tensors).unwrap().dims());
    let objective = |ts: &[Tensor]| (f(ts).unwrap() * &weights).unwrap().sum_all().unwrap();
    let grads = objective(&tensors).backward().unwrap();
    for (index, input) in inputs.iter().enumerate() {
        let analytic: Vec<f64> = match grads.get(&tensors[index]) {
            Some(g) => g.flatten_all().unwrap().to_vec1().unwrap(),
            None => panic!("input {index} received no gradient"),
        };
        let values: Vec<f64> = input.flatten_all().unwrap().to_vec1().unwrap();
        for element in 0..values.len() {
            let shifted = |step: f64| {
                let mut v = values.clone();
                v[element] += step;
                let mut ts: Vec<Tensor> = inputs.to_vec();
                ts[index] = Tensor::from_vec(v, input.dims(), &Device::Cpu).unwrap();
                objective(&ts).to_scalar::<f64>().unwrap()
            };
            let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!(
                (analytic[element] - numeric).abs() < 1e-6,
                "input {index}, element {element}: {} against {numeric}",
                analytic[element]
            );
        }
    }
}

/// Values and gradients of `f` for f32 inputs; the gradient is that of `sum(f · random weights)`.
fn f32_results(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
    let single = |t: &Tensor| Var::from_tensor(&t.to_dtype(DType::F32).unwrap()).unwrap();
    results(inputs.iter().map(single).collect(), f, DType::F32)
}

/// The random weights are rounded to `dtype`, the type of the faster of two that are compared, so that
/// both get the same gradient to work with.
fn results(vars: Vec<Var>, f: impl Fn(&[Tensor]) -> Result<Tensor>, dtype: DType) -> Vec<Tensor> {
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let weights = random(98, y.dims()).to_dtype(dtype).unwrap();
    let weights = weights.to_dtype(y.dtype()).unwrap();
    let grads = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let mut all = vec![y.detach()];
    all.extend(tensors.iter().map(|t| grads.get(t).expect("no gradient").clone()));
    all
}

/// Compares the fast f32 path with the plain one in f64, values and gradients: within 2e-5 of the
/// largest number, or of 1 where all are smaller. f64 is the reference: it is exact next to f32.
pub(crate) fn compare(
    inputs: &[Tensor],
    fast: impl Fn(&[Tensor]) -> Result<Tensor>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let single: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect();
    let found = f32_results(inputs, &fast);
    let double = |t: &Tensor| {
        let rounded = t.to_dtype(DType::F32).unwrap().to_dtype(DType::F64).unwrap();
        Var::from_tensor(&rounded).unwrap()
    };
    let expected = results(inputs.iter().map(double).collect(), plain, DType::F32);
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.dims(), expected.dims(), "result {i}");
        let size = max_diff(expected, &expected.zeros_like().unwrap()).max(1.0);
        let error = max_diff(found, expected) / size;
        assert!(error < 2e-5, "result {i} of {:?}: {error}", inputs[0].dims());
    }
    // Without gradient tracking the values have the same bits.
    assert_eq!(max_diff(&fast(&single).unwrap(), &found[0]), 0.0);
}

/// The kernels, emulated, against the plain path in f64: values for inputs of type `dtype`, and the
/// gradients too where `gradients` says so, within `limit` of the largest number there is, or of 1
/// where all are smaller. Inputs are rounded to `dtype` for both.
#[cfg(feature = "emulation")]
pub(crate) fn compare_kernels(
    inputs: &[Tensor],
    kernels: impl Fn(&[Tensor]) -> Result<Tensor>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor>,
    (dtype, limit, gradients): (DType, f64, bool),
) {
    let rounded: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(dtype).unwrap()).collect();
    let found = crate::gpu::emulated(|| match gradients {
        true => {
            let vars = rounded.iter().map(Var::from_tensor).collect::<Result<_>>()?;
            Ok(results(vars, &kernels, dtype))
        }
        false => Ok(vec![kernels(&rounded)?]),
    });
    let Some(found) = found.unwrap() else {
        println!("skipped: kernels are not emulated, there was no C++ compiler");
        return;
    };
    let double = |t: &Tensor| Var::from_tensor(&t.to_dtype(DType::F64).unwrap()).unwrap();
    let expected = match gradients {
        true => results(rounded.iter().map(double).collect(), plain, dtype),
        false => {
            let double: Vec<Tensor> =
                rounded.iter().map(|t| double(t).as_tensor().clone()).collect();
            vec![plain(&double).unwrap()]
        }
    };
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found.dims(), expected.dims(), "result {i}");
        let size = max_diff(expected, &expected.zeros_like().unwrap()).max(1.0);
        let error = max_diff(found, expected) / size;
        assert!(error < limit, "{dtype:?} result {i} of {:?}: {error}", inputs[0].dims());
    }
}

/// Values and gradients have the same bits for 1, 2 and 7 threads.
pub(crate) fn same_bits(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor> + Sync + Send) {
    let bits = |threads: usize| -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let all = pool.install(|| f32_results(inputs, &f));
        let values = all.iter().map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        values.flatten().map(f32::to_bits).collect()
    };
    let one = bits(1);
    assert!(one == bits(2) && one == bits(7));
}
