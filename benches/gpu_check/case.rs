//! One op on inputs of given sizes: what the device gives against what the CPU gives.

use crate::Result;
use crate::distance::apart;
use crate::gauge::TargetDevice;
use desam::candle::{self, DType, Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// An op of tensors.
type Op = Box<dyn Fn(&[Tensor]) -> candle::Result<Tensor>>;

/// What the device's results are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    /// The op's definition in f64 on the CPU.
    Definition,
    /// The op itself in f32 on the CPU, where the definition would take minutes. The suite
    /// holds it to the definition.
    Processor,
}

#[derive(Debug, Clone)]
struct Input {
    shape: Vec<usize>,
    size: f64,
    /// Whether it is f32 whatever the type of the rest: parameters that learn, norms.
    single: bool,
}

/// One op on inputs of given sizes.
pub(crate) struct Case {
    op: &'static str,
    sizes: String,
    inputs: Vec<Input>,
    run: Op,
    against: (Against, Op),
    backward: bool,
    /// Roundings to the narrow type on the way to the result, and to a gradient.
    roundings: [u32; 2],
    rectified: bool,
}

/// What came of a case.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Checked {
    pub(crate) op: String,
    pub(crate) sizes: String,
    pub(crate) dtype: String,
    pub(crate) what: &'static str,
    /// How far the results are apart.
    pub(crate) error: f64,
    pub(crate) limit: f64,
    /// What is wrong other than numbers.
    pub(crate) failure: Option<String>,
}

impl Checked {
    pub(crate) fn passed(&self) -> bool {
        self.failure.is_none() && self.error <= self.limit
    }
}

/// The largest difference relative to the largest number, or to 1 where all are smaller: as the suite
/// compares paths of the CPU, and with the same limit.
const SINGLE: f64 = 2e-5;
/// Where a rectifier turns on the other side of zero a gradient is another one; such numbers are few,
/// so what counts is ‖a − b‖ / ‖b‖. The limits are those of benches/compare for gradients in f32, and
/// a tenth in narrow types, whose rounding moves one number in some hundred across zero.
const RECTIFIED: [f64; 2] = [1e-3, 0.1];

impl Case {
    /// What it is a case of.
    pub(crate) fn op(&self) -> &'static str {
        self.op
    }

    /// An op that is also its own definition, until [`Case::defined_by`] names another.
    pub(crate) fn new(
        op: &'static str,
        sizes: impl Into<String>,
        run: impl Fn(&[Tensor]) -> candle::Result<Tensor> + Clone + 'static,
    ) -> Self {
        Self {
            op,
            sizes: sizes.into(),
            inputs: vec![],
            against: (Against::Processor, Box::new(run.clone())),
            run: Box::new(run),
            backward: false,
            roundings: [1, 2],
            rectified: false,
        }
    }

    /// What defines the result, in f64.
    pub(crate) fn defined_by(
        self,
        plain: impl Fn(&[Tensor]) -> candle::Result<Tensor> + 'static,
    ) -> Self {
        Self { against: (Against::Definition, Box::new(plain)), ..self }
    }

    /// A tensor of the type that is checked.
    pub(crate) fn input(self, shape: &[usize]) -> Self {
        self.sized(shape, 1.0, false)
    }

    /// A parameter that sums over `fan_in` inputs, of the type that is checked.
    pub(crate) fn weight(self, shape: &[usize], fan_in: usize) -> Self {
        self.sized(shape, 1.7 / (fan_in as f64).sqrt(), false)
    }

    /// The same, always in f32: the master of a weight.
    pub(crate) fn master(self, shape: &[usize], fan_in: usize) -> Self {
        self.sized(shape, 1.7 / (fan_in as f64).sqrt(), true)
    }

    /// A norm's parameters, or a bias: always in f32.
    pub(crate) fn single(self, shape: &[usize]) -> Self {
        self.sized(shape, 1.0, true)
    }

    fn sized(mut self, shape: &[usize], size: f64, single: bool) -> Self {
        self.inputs.push(Input { shape: shape.to_vec(), size, single });
        self
    }

    /// Gradients of all inputs too.
    pub(crate) fn backward(self) -> Self {
        Self { backward: true, ..self }
    }

    /// How many roundings to the narrow type lie on the way, to the result and to a gradient.
    pub(crate) fn roundings(self, forward: u32, backward: u32) -> Self {
        Self { roundings: [forward, backward], ..self }
    }

    /// There are rectifiers inside.
    pub(crate) fn rectified(self) -> Self {
        Self { rectified: true, ..self }
    }

    /// On `device`, with inputs of type `dtype`: the result, and the gradients.
    pub(crate) fn check(&self, dtype: DType, target: &TargetDevice) -> Vec<Checked> {
        if dtype != DType::F32 && self.inputs.iter().all(|i| i.single) {
            return vec![];
        }
        let row = |what, error, limit, failure| Checked {
            op: self.op.to_owned(),
            sizes: self.sizes.clone(),
            dtype: dtype.as_str().to_owned(),
            what,
            error,
            limit,
            failure,
        };
        match self.errors(dtype, target) {
            Ok([forward, backward]) => {
                let [a, b] = self.limits(dtype);
                let mut rows = vec![row("result", forward, a, None)];
                if self.backward {
                    rows.push(row("gradients", backward, b, None));
                }
                rows
            }
            Err(why) => vec![row("result", f64::INFINITY, 0.0, Some(first_line(&*why)))],
        }
    }

    fn limits(&self, dtype: DType) -> [f64; 2] {
        // A rounding is at most half a step: 2^-9 of a number in bf16, 2^-12 in f16. Twice that,
        // since the largest number may be the sum of some that were rounded.
        let step = match dtype {
            DType::BF16 => 1.0 / 256.0,
            DType::F16 => 1.0 / 2048.0,
            _ => 0.0,
        };
        let single = match self.against.0 {
            Against::Definition => SINGLE,
            // Both sides may be off.
            Against::Processor => 2.0 * SINGLE,
        };
        let mut limits = self.roundings.map(|n| single + f64::from(n) * step);
        if self.rectified {
            limits[1] = RECTIFIED[usize::from(dtype != DType::F32)];
        }
        limits
    }

    /// Of the result and of all gradients, each in the measure of its limit.
    fn errors(&self, dtype: DType, target: &TargetDevice) -> Result<[f64; 2]> {
        let of = |i: &Input| if i.single { DType::F32 } else { dtype };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let inputs = self.inputs.iter().map(|i| random(&mut rng, i)?.to_dtype(of(i)));
        let inputs = inputs.collect::<candle::Result<Vec<_>>>()?;
        let there = inputs.iter().map(|t| t.to_device(&target.device));
        let there = there.collect::<candle::Result<Vec<_>>>()?;
        let found = target.run(|| results(&self.run, &there, self.backward))?;
        let exact = match self.against.0 {
            Against::Definition => DType::F64,
            Against::Processor => DType::F32,
        };
        let here = inputs.iter().map(|t| t.to_dtype(exact)).collect::<candle::Result<Vec<_>>>()?;
        let expected = results(&self.against.1, &here, self.backward)?;
        let mut errors = [0.0f64; 2];
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            if found.dims() != expected.dims() {
                let (a, b) = (found.dims(), expected.dims());
                return Err(format!("result {i} has the shape {a:?}, expected {b:?}").into());
            }
            if i > 0 && found.dtype() != inputs[i - 1].dtype() {
                return Err(format!("gradient {i} is {:?}", found.dtype()).into());
            }
            let distance = i > 0 && self.rectified;
            let error = apart(found, expected, distance)?;
            // NaN does not agree.
            let worst = &mut errors[usize::from(i > 0)];
            *worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
        Ok(errors)
    }
}

/// What is wrong; a trace of calls may follow it.
pub(crate) fn first_line(why: &dyn std::error::Error) -> String {
    why.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Uniform numbers around 0.
fn random(rng: &mut ChaCha8Rng, input: &Input) -> candle::Result<Tensor> {
    let count = input.shape.iter().product();
    let size = input.size as f32;
    let values: Vec<f32> = (0..count).map(|_| rng.random_range(-size..size)).collect();
    Tensor::from_vec(values, input.shape.as_slice(), &Device::Cpu)
}

/// The value, and the gradients of its sum weighted by fixed random numbers.
fn results(op: &Op, inputs: &[Tensor], backward: bool) -> Result<Vec<Tensor>> {
    if !backward {
        return Ok(vec![op(inputs)?]);
    }
    let vars = inputs.iter().map(Var::from_tensor).collect::<candle::Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = op(&tensors)?;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let weights = Input { shape: y.dims().to_vec(), size: 1.0, single: false };
    // The same numbers in every type.
    let weights = random(&mut rng, &weights)?.to_dtype(DType::BF16)?;
    let weights = weights.to_dtype(y.dtype())?.to_device(y.device())?;
    let gradients = (&y * weights)?.sum_all()?.backward()?;
    let mut all = vec![y.detach()];
    for (i, tensor) in tensors.iter().enumerate() {
        let gradient = gradients.get(tensor).ok_or(format!("input {i} gets no gradient"))?;
        all.push(gradient.clone());
    }
    Ok(all)
}
