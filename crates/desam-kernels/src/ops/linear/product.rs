//! The matrix product and its gradients.

use crate::{Accelerator, Cast, Operand, blocks};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result, Shape, Tensor, bail};

/// Rows and columns per block of the epilogue kernel.
const TILE: [usize; 2] = [32, 128];

/// Sizes of the matrix product.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearSizes {
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl LinearSizes {
    pub(super) fn new(x: &[usize], outputs: usize) -> Self {
        let inputs = x.last().copied().unwrap_or(0);
        Self { rows: x.iter().product::<usize>() / inputs.max(1), inputs, outputs }
    }

    /// `x · weightᵀ`, of the type of `x`.
    pub(super) fn product<A: Accelerator>(
        self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        weight: &Operand<'_, A::Storage>,
    ) -> Result<A::Storage> {
        let Self { rows, inputs, outputs } = self;
        if rows * outputs == 0 {
            return on.allocate(0, x.dtype());
        }
        if inputs == 0 {
            bail!("linear: a map of no inputs");
        }
        let cast = Cast::to(weight, x.dtype())?;
        let weight = cast.operand(weight);
        let x_layout = Layout::contiguous_with_offset((rows, inputs), x.layout.start_offset());
        let begin = weight.layout.start_offset();
        let transposed = Layout::new(Shape::from((inputs, outputs)), vec![1, inputs], begin);
        x.storage.matmul(weight.storage, (1, rows, outputs, inputs), &x_layout, &transposed)
    }

    pub(super) fn grid(self) -> Result<[u32; 3]> {
        blocks(self.rows.div_ceil(TILE[0]) * self.outputs.div_ceil(TILE[1]), 1)
    }

    /// Gradients of `x` and of the weight, where they are wanted.
    pub(super) fn gradients(
        self,
        [x, weight]: [&Tensor; 2],
        grad: &Tensor,
        [of_x, of_weight]: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let Self { rows, inputs, outputs } = self;
        let g = grad.to_dtype(x.dtype())?.reshape((rows, outputs))?;
        let (x_alone, weight_alone) = (x.detach(), weight.detach());
        let dx = of_x.then(|| {
            let weight = weight_alone.to_dtype(x.dtype())?.reshape((outputs, inputs))?;
            g.matmul(&weight)?.reshape(x.shape())
        });
        // Summed in f32 and rounded once to the type of x, as PyTorch's autocast does.
        let dweight = of_weight.then(|| {
            let dweight = g.t()?.matmul(&x_alone.reshape((rows, inputs))?)?;
            dweight.to_dtype(weight.dtype())
        });
        Ok([dx.transpose()?, dweight.transpose()?])
    }
}

/// Shape of the result: that of `x` with another last side.
pub(super) fn result_shape(x: &[usize], outputs: usize) -> Shape {
    let mut dims = x.to_vec();
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    Shape::from(dims)
}

/// Biases in a type that there are kernels for: their own, or f32.
pub(super) fn bias_type(bias: DType, x: DType) -> DType {
    if bias == x { x } else { DType::F32 }
}
