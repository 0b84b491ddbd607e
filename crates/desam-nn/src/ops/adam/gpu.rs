//! All parameters in one launch.

use super::{AdamStep, Following, Parameter};
use crate::gpu::{Accelerator, Arg, Launch, Module, Work, address, blocks, module, writable};
use candle_core::op::BackpropOp;
use candle_core::{DType, Result, Shape, Tensor, bail};

const MODULE: Module = module!("adam", ADAM);
const THREADS: u32 = 256;
/// Numbers of a block.
const CHUNK: usize = 4096;

/// The table that kernels find their numbers in: a row a parameter.
struct Table<S> {
    words: S,
    rows: usize,
    blocks: usize,
}

impl<S> Table<S> {
    /// From pointers and how many numbers each points to; what has none gets no row.
    fn new<A: Accelerator<Storage = S>, const N: usize>(
        on: &A,
        rows: impl IntoIterator<Item = ([Arg; N], usize)>,
    ) -> Result<Self> {
        let (mut words, mut begun, mut blocks) = (Vec::new(), 0, 0);
        for (pointers, count) in rows.into_iter().filter(|(_, count)| *count > 0) {
            for number in [Arg::size(blocks)?, Arg::size(count)?] {
                let Arg::U32(word) = number else { bail!("a size is no u32") };
                words.push(word);
            }
            for pointer in pointers {
                let Arg::Pointer(place) = pointer else { bail!("a place is no pointer") };
                words.extend([place as u32, (place >> 32) as u32]);
            }
            begun += 1;
            blocks += count.div_ceil(CHUNK);
        }
        Ok(Self { words: on.upload(&words)?, rows: begun, blocks })
    }

    /// Starts `kernel` on it, unless it is empty; `more` are the parameters behind table and rows.
    fn launch<A: Accelerator<Storage = S>>(
        &self,
        on: &A,
        kernel: &str,
        more: &[Arg],
    ) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut args = vec![on.address(&self.words, 0)?, Arg::size(self.rows)?];
        args.extend(more);
        let grid = blocks(self.blocks, 1)?;
        let (module, shared) = (MODULE, 0);
        on.launch(&Launch { module, kernel, grid, threads: THREADS, shared, args: &args })
    }
}

/// [`AdamStep::apply_all`]; all f32 without gaps.
pub(super) struct Step<'a, 'p> {
    pub(super) step: &'a AdamStep,
    pub(super) parameters: &'a [Parameter<'p>],
}

impl Work for Step<'_, '_> {
    type Out = ();

    fn on<A: Accelerator>(self, on: &A) -> Result<()> {
        let grads = self.parameters.iter().map(|p| p.grad.contiguous());
        let grads = grads.collect::<Result<Vec<_>>>()?;
        let rows = self.parameters.iter().zip(&grads).map(|(parameter, grad)| {
            let Parameter { var, moments, .. } = parameter;
            let pointers = [
                writable(var.as_tensor())?,
                address(on, grad)?,
                writable(&moments.first)?,
                writable(&moments.second)?,
            ];
            Ok((pointers, var.elem_count()))
        });
        let table = Table::new(on, rows.collect::<Result<Vec<_>>>()?)?;
        let AdamStep { beta1, beta2, epsilon, scale, .. } = *self.step;
        let [rate, correction] = self.step.corrections();
        let factors = [
            beta1,
            beta2,
            1.0 - beta1,
            1.0 - beta2,
            1.0 / correction,
            epsilon,
            rate,
            self.step.kept(),
            scale,
        ];
        table.launch(on, "adam_step", &factors.map(|f| Arg::F32(f as f32)))
    }
}

/// [`super::square_sum_all`]; all f32.
pub(super) struct SquareSum<'a>(pub(super) &'a [&'a Tensor]);

impl Work for SquareSum<'_> {
    type Out = f64;

    fn on<A: Accelerator>(self, on: &A) -> Result<f64> {
        let tensors = self.0.iter().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
        let rows = tensors.iter().map(|t| Ok(([address(on, t)?], t.elem_count())));
        let table = Table::new(on, rows.collect::<Result<Vec<_>>>()?)?;
        if table.rows == 0 {
            return Ok(0.0);
        }
        let sums = on.allocate(table.blocks, DType::F64)?;
        let place = on.address(&sums, 0)?;
        table.launch(on, "square_sum", &[place])?;
        let total = on.allocate(1, DType::F64)?;
        on.launch(&Launch {
            module: MODULE,
            kernel: "square_sum_total",
            grid: [1, 1, 1],
            threads: THREADS,
            shared: 0,
            args: &[place, Arg::size(table.blocks)?, on.address(&total, 0)?],
        })?;
        let (storage, shape) = (on.wrap(total), Shape::from(()));
        Tensor::from_storage(storage, shape, BackpropOp::none(), false).to_scalar()
    }
}

/// [`super::follow_all`]; all f32 without gaps.
pub(super) struct Follow<'a, 'p> {
    pub(super) means: &'a [Following<'p>],
    pub(super) rest: f64,
}

impl Work for Follow<'_, '_> {
    type Out = ();

    fn on<A: Accelerator>(self, on: &A) -> Result<()> {
        let rows = self.means.iter().map(|Following { mean, value }| {
            Ok(([writable(mean)?, address(on, value)?], mean.elem_count()))
        });
        let table = Table::new(on, rows.collect::<Result<Vec<_>>>()?)?;
        table.launch(on, "running_mean", &[Arg::F32(self.rest as f32)])
    }
}
