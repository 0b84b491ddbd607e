//! Adam's step, gradient norms and exponential moving averages over all parameters in one launch.

use crate::{
    Accelerator, KernelArgument, Launch, Module, MultiTensorOp, blocks, device_ptr, device_ptr_mut,
    module,
};
use candle_core::op::BackpropOp;
use candle_core::{DType, Result, Shape, Tensor, bail};

const MODULE: Module = module!("adam", ADAM);
const THREADS: u32 = 256;
/// Elements per block.
const CHUNK: usize = 4096;

/// The table from which kernels read their pointers, one row per parameter.
struct PointerTable<S> {
    words: S,
    rows: usize,
    blocks: usize,
}

impl<S> PointerTable<S> {
    /// From pointers and the number of elements behind each; an empty tensor gets no row.
    fn new<A: Accelerator<Storage = S>, const N: usize>(
        on: &A,
        rows: impl IntoIterator<Item = ([KernelArgument; N], usize)>,
    ) -> Result<Self> {
        let (mut words, mut begun, mut blocks) = (Vec::new(), 0, 0);
        for (pointers, count) in rows.into_iter().filter(|(_, count)| *count > 0) {
            for number in [KernelArgument::size(blocks)?, KernelArgument::size(count)?] {
                let KernelArgument::U32(word) = number else { bail!("a size is no u32") };
                words.push(word);
            }
            for pointer in pointers {
                let KernelArgument::Pointer(address) = pointer else {
                    bail!("an address is no pointer")
                };
                words.extend([address as u32, (address >> 32) as u32]);
            }
            begun += 1;
            blocks += count.div_ceil(CHUNK);
        }
        Ok(Self { words: on.upload(&words)?, rows: begun, blocks })
    }

    /// Launches `kernel` on it, unless it is empty; `more` are the parameters behind table and rows.
    fn launch<A: Accelerator<Storage = S>>(
        &self,
        on: &A,
        kernel: &str,
        more: &[KernelArgument],
    ) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut args = vec![on.address(&self.words, 0)?, KernelArgument::size(self.rows)?];
        args.extend(more);
        let grid = blocks(self.blocks, 1)?;
        let (module, shared) = (MODULE, 0);
        on.launch(&Launch { module, kernel, grid, threads: THREADS, shared, args: &args })
    }
}

/// The tensors of one parameter's step, f32 and of one shape; contiguous, but for the gradient.
#[derive(Debug, Clone, Copy)]
pub struct StepTensors<'a> {
    /// Changed in place.
    pub parameter: &'a Tensor,
    /// Read.
    pub grad: &'a Tensor,
    /// Mean of the gradient, changed in place.
    pub first_moment: &'a Tensor,
    /// Mean of its square, changed in place.
    pub second_moment: &'a Tensor,
}

/// The scalars of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepScalars {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// The learning rate, divided by the first moment's bias correction.
    pub rate: f64,
    /// The root of the second moment's bias correction.
    pub correction: f64,
    /// Factor of the parameter before the update: 1 less the weight decay.
    pub kept: f64,
    /// Factor of the gradient (gradient clipping).
    pub scale: f64,
}

/// One step of Adam for all parameters.
#[derive(Debug)]
pub struct AdamStep<'a> {
    /// All parameters.
    pub parameters: Vec<StepTensors<'a>>,
    /// The same for all.
    pub scalars: StepScalars,
}

impl MultiTensorOp for AdamStep<'_> {
    type Output = ();

    fn run<A: Accelerator>(self, on: &A) -> Result<()> {
        let grads = self.parameters.iter().map(|p| p.grad.contiguous());
        let grads = grads.collect::<Result<Vec<_>>>()?;
        let rows = self.parameters.iter().zip(&grads).map(|(tensors, grad)| {
            let pointers = [
                device_ptr_mut(tensors.parameter)?,
                device_ptr(on, grad)?,
                device_ptr_mut(tensors.first_moment)?,
                device_ptr_mut(tensors.second_moment)?,
            ];
            Ok((pointers, tensors.parameter.elem_count()))
        });
        let table = PointerTable::new(on, rows.collect::<Result<Vec<_>>>()?)?;
        let StepScalars { beta1, beta2, epsilon, rate, correction, kept, scale } = self.scalars;
        let factors =
            [beta1, beta2, 1.0 - beta1, 1.0 - beta2, 1.0 / correction, epsilon, rate, kept, scale];
        table.launch(on, "adam_step", &factors.map(|f| KernelArgument::F32(f as f32)))
    }
}

/// Sum of the squares of all numbers of all tensors, f32, added up in f64 in a fixed order.
#[derive(Debug)]
pub struct SquareSum<'a>(pub &'a [&'a Tensor]);

impl MultiTensorOp for SquareSum<'_> {
    type Output = f64;

    fn run<A: Accelerator>(self, on: &A) -> Result<f64> {
        let tensors = self.0.iter().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
        let rows = tensors.iter().map(|t| Ok(([device_ptr(on, t)?], t.elem_count())));
        let table = PointerTable::new(on, rows.collect::<Result<Vec<_>>>()?)?;
        if table.rows == 0 {
            return Ok(0.0);
        }
        let sums = on.allocate(table.blocks, DType::F64)?;
        let partial = on.address(&sums, 0)?;
        table.launch(on, "square_sum", &[partial])?;
        let total = on.allocate(1, DType::F64)?;
        on.launch(&Launch {
            module: MODULE,
            kernel: "square_sum_total",
            grid: [1, 1, 1],
            threads: THREADS,
            shared: 0,
            args: &[partial, KernelArgument::size(table.blocks)?, on.address(&total, 0)?],
        })?;
        let (storage, shape) = (on.wrap(total), Shape::from(()));
        Tensor::from_storage(storage, shape, BackpropOp::none(), false).to_scalar()
    }
}

/// An exponential moving average and the value it follows, f32, contiguous, of one shape.
#[derive(Debug, Clone, Copy)]
pub struct Average<'a> {
    /// Changed in place.
    pub mean: &'a Tensor,
    /// Read.
    pub value: &'a Tensor,
}

/// Moves each average towards its value: `mean + (value - mean) · rest`.
#[derive(Debug)]
pub struct MovingAverage<'a> {
    /// All averages.
    pub averages: Vec<Average<'a>>,
    /// Share of the distance that an average moves.
    pub rest: f64,
}

impl MultiTensorOp for MovingAverage<'_> {
    type Output = ();

    fn run<A: Accelerator>(self, on: &A) -> Result<()> {
        let rows = self.averages.iter().map(|Average { mean, value }| {
            Ok(([device_ptr_mut(mean)?, device_ptr(on, value)?], mean.elem_count()))
        });
        let table = PointerTable::new(on, rows.collect::<Result<Vec<_>>>()?)?;
        table.launch(on, "running_mean", &[KernelArgument::F32(self.rest as f32)])
    }
}
