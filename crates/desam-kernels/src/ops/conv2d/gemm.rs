//! 1×1 convolution as matrix products (GEMM). cuBLAS computes the products with the weight; the weight
//! gradient is accumulated over all images in f32 by a kernel of this crate.

use super::split_k::SplitK;
use crate::{Accelerator, Cast, KernelArgument, Launch, Module, Operand, blocks, module, suffix};
use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result, Shape};

const MODULE: Module = module!("conv_pixels", CONV_PIXELS);
/// Rows and columns of a block's product, pixels per pipeline stage, stages in shared memory.
const SIDE: usize = 128;
const PIXELS: usize = 64;
const STAGES: usize = 3;

/// `weight [outputs, inputs]` on `x [images, inputs, pixels]`; no size is zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gemm {
    pub(crate) images: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) pixels: usize,
}

impl Gemm {
    /// `[images, outputs, pixels]` of `x`'s type.
    ///
    /// # Errors
    /// When the product fails.
    pub(crate) fn forward<S: BackendStorage>(
        &self,
        x: &Operand<'_, S>,
        weight: &Operand<'_, S>,
    ) -> Result<S> {
        self.multiply([weight, x], [self.outputs, self.inputs], [self.inputs, 1])
    }

    /// `[images, inputs, pixels]` of `grad`'s type.
    ///
    /// # Errors
    /// When the product fails.
    pub(crate) fn input_gradient<S: BackendStorage>(
        &self,
        grad: &Operand<'_, S>,
        weight: &Operand<'_, S>,
    ) -> Result<S> {
        self.multiply([weight, grad], [self.inputs, self.outputs], [1, self.inputs])
    }

    /// The weight, with `strides` between its rows and its columns, times each image.
    fn multiply<S: BackendStorage>(
        &self,
        [weight, x]: [&Operand<'_, S>; 2],
        [m, k]: [usize; 2],
        strides: [usize; 2],
    ) -> Result<S> {
        let Self { images, pixels, .. } = *self;
        let cast = Cast::to(weight, x.dtype())?;
        let weight = cast.operand(weight);
        // A stride of 0: the same weight for every image.
        let strides = vec![0, strides[0], strides[1]];
        let left = Layout::new(Shape::from((images, m, k)), strides, weight.layout.start_offset());
        let from = x.layout.start_offset();
        let right = Layout::contiguous_with_offset((images, k, pixels), from);
        weight.storage.matmul(x.storage, (images, m, pixels, k), &left, &right)
    }

    /// `[outputs, inputs]` of type `dtype` from `grad [images, outputs, pixels]` and `x`.
    ///
    /// # Errors
    /// When a kernel does not start.
    pub(crate) fn weight_gradient<A: Accelerator>(
        &self,
        on: &A,
        [grad, x]: [&Operand<'_, A::Storage>; 2],
        dtype: DType,
    ) -> Result<A::Storage> {
        if x.dtype() == DType::F32 {
            return self.image_by_image(on, [grad, x], dtype);
        }
        let Self { images, inputs, outputs, pixels } = *self;
        let steps = images * pixels.div_ceil(PIXELS);
        let sums = SplitK::whole([outputs, inputs, 1], [SIDE, SIDE]).cut(steps);
        let partial = sums.allocate(on)?;
        let whole = |at: usize| at.is_multiple_of(8);
        let offsets = [grad.layout.start_offset(), x.layout.start_offset()];
        let aligned = whole(pixels) && offsets.into_iter().all(whole);
        on.launch(&Launch {
            module: MODULE,
            kernel: &format!("conv_pixels_{}", suffix(x.dtype())?),
            grid: blocks(sums.tiles() * sums.splits, 1)?,
            threads: 128,
            shared: (STAGES * 2 * SIDE * PIXELS * 2) as u32,
            args: &[
                grad.address(on)?,
                x.address(on)?,
                on.address(&partial, 0)?,
                KernelArgument::size(outputs)?,
                KernelArgument::size(inputs)?,
                KernelArgument::size(pixels)?,
                KernelArgument::U32(u32::from(aligned)),
                KernelArgument::size(steps)?,
                KernelArgument::size(sums.splits)?,
            ],
        })?;
        sums.add(on, &partial, dtype)
    }

    /// In f32: cuBLAS products of each image, then added up.
    fn image_by_image<A: Accelerator>(
        &self,
        on: &A,
        [grad, x]: [&Operand<'_, A::Storage>; 2],
        dtype: DType,
    ) -> Result<A::Storage> {
        let Self { images, inputs, outputs, pixels } = *self;
        let from = grad.layout.start_offset();
        let left = Layout::contiguous_with_offset((images, outputs, pixels), from);
        let strides = vec![inputs * pixels, 1, pixels];
        let shape = Shape::from((images, pixels, inputs));
        let right = Layout::new(shape, strides, x.layout.start_offset());
        let sizes = (images, outputs, inputs, pixels);
        let each = grad.storage.matmul(x.storage, sizes, &left, &right)?;
        let sums = SplitK::whole([outputs, inputs, 1], [1, 1]);
        SplitK { splits: images, ..sums }.add(on, &each, dtype)
    }
}
