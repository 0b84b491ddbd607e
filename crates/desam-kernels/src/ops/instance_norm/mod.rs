//! Instance norm with LeakyReLU, forward and backward, and the reductions over planes that other ops
//! share.

use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, TypedKernel, blocks, module,
    run_op,
};
use candle_core::op::BackpropOp;
use candle_core::{DType, Result, Shape, Tensor, bail};
use std::sync::Mutex;

const MODULE: Module = module!("instance_norm", INSTANCE_NORM);

/// As in `planes.cuh`: threads of a block, elements of a chunk, the maximum number of parts.
const THREADS: u32 = 256;
const CHUNK: usize = 4096;
const MAX_PARTS: usize = 32;

/// Partition of the planes of a tensor `[B, C, H, W]` into parts, one thread block each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaneParts {
    /// `B · C`
    planes: usize,
    /// `H · W`
    pixels: usize,
    /// Per plane.
    parts: usize,
    /// Per part.
    chunks: usize,
}

impl PlaneParts {
    /// For a tensor of these sizes.
    pub(crate) fn of(dims: &[usize]) -> Result<Self> {
        let [images, channels, height, width] = *dims else { bail!("no planes in {dims:?}") };
        let (planes, pixels) = (images * channels, height * width);
        if pixels >= 1 << 31 {
            bail!("a plane of {pixels} pixels is more than kernels count");
        }
        let chunks = pixels.div_ceil(CHUNK).div_ceil(MAX_PARTS).max(1);
        Ok(Self { planes, pixels, parts: pixels.div_ceil(chunks * CHUNK), chunks })
    }

    /// The number of sums, `each` per part.
    pub(crate) fn numbers(&self, each: usize) -> usize {
        self.planes * self.parts * each
    }

    /// Memory for `each` sums per part, f32.
    pub(crate) fn sums<A: Accelerator>(&self, on: &A, each: usize) -> Result<A::Storage> {
        on.allocate(self.numbers(each), DType::F32)
    }

    /// Launches a kernel whose last parameters are the partition, unless the tensor is empty.
    pub(crate) fn launch<A: Accelerator>(
        &self,
        on: &A,
        module: Module,
        kernel: TypedKernel<'_>,
        args: &[KernelArgument],
    ) -> Result<()> {
        if self.planes == 0 || self.pixels == 0 {
            return Ok(());
        }
        let parts = [self.pixels, self.parts, self.chunks].map(KernelArgument::size);
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        on.launch(&Launch {
            module,
            kernel: &kernel.full_name()?,
            grid: blocks(self.planes * self.parts, 1)?,
            threads: THREADS,
            shared: 0,
            args: &[args, &parts].concat(),
        })
    }
}

/// Mean and sum of squared deviations of every part of `x`'s planes.
pub(crate) fn moments<A: Accelerator>(on: &A, x: &Operand<'_, A::Storage>) -> Result<A::Storage> {
    let parts = PlaneParts::of(x.dims())?;
    let sums = parts.sums(on, 2)?;
    let args = [x.address(on)?, on.address(&sums, 0)?];
    parts.launch(
        on,
        MODULE,
        TypedKernel { name: "instance_norm_moments", dtype: x.dtype() },
        &args,
    )?;
    Ok(sums)
}

/// Parameters of an instance norm and the LeakyReLU behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormLeakyRelu {
    /// Added to the variance.
    pub(crate) eps: f64,
    /// Of the LeakyReLU below zero; above 0, and 1 without a rectifier.
    pub(crate) slope: f32,
}

impl NormLeakyRelu {
    /// Writes `x` behind norm and rectifier to `y`, which may be its own storage.
    pub(crate) fn forward<A: Accelerator>(
        &self,
        on: &A,
        x: &Operand<'_, A::Storage>,
        moments: &A::Storage,
        y: &A::Storage,
    ) -> Result<()> {
        let args = [
            x.address(on)?,
            on.address(moments, 0)?,
            on.address(y, 0)?,
            KernelArgument::F32(self.eps as f32),
            KernelArgument::F32(self.slope),
        ];
        PlaneParts::of(x.dims())?.launch(
            on,
            MODULE,
            TypedKernel { name: "instance_norm_apply", dtype: x.dtype() },
            &args,
        )
    }

    /// Writes `∂x` to `dx`, which may be `grad`'s own storage, from the output `y` and `grad = ∂y`.
    pub(crate) fn backward<A: Accelerator>(
        &self,
        on: &A,
        [y, grad]: [&Operand<'_, A::Storage>; 2],
        moments: &A::Storage,
        dx: &A::Storage,
    ) -> Result<()> {
        let (parts, dtype) = (PlaneParts::of(y.dims())?, y.dtype());
        let sums = parts.sums(on, 2)?;
        let (y, grad, sums) = (y.address(on)?, grad.address(on)?, on.address(&sums, 0)?);
        let (eps, slope) = (KernelArgument::F32(self.eps as f32), KernelArgument::F32(self.slope));
        parts.launch(
            on,
            MODULE,
            TypedKernel { name: "instance_norm_open", dtype },
            &[y, grad, sums, slope],
        )?;
        let (moments, dx) = (on.address(moments, 0)?, on.address(dx, 0)?);
        let args = [y, grad, moments, sums, dx, eps, slope];
        parts.launch(on, MODULE, TypedKernel { name: "instance_norm_close", dtype }, &args)
    }
}

/// A storage as an untracked tensor, to be kept between kernels.
pub(crate) fn tensor<A: Accelerator>(
    on: &A,
    storage: A::Storage,
    shape: impl Into<Shape>,
) -> Tensor {
    Tensor::from_storage(on.wrap(storage), shape, BackpropOp::none(), false)
}

/// Instance norm and LeakyReLU, `x [B, C, H, W] → y`.
#[derive(Debug)]
pub struct InstanceNorm {
    rectified: NormLeakyRelu,
    /// Saved by the forward pass for the backward pass.
    moments: Mutex<Option<Tensor>>,
}

impl InstanceNorm {
    /// `slope` above 0; 1 is no rectifier.
    pub fn new(eps: f64, slope: f32) -> Self {
        Self { rectified: NormLeakyRelu { eps, slope }, moments: Mutex::new(None) }
    }
}

impl KernelOp for InstanceNorm {
    const NAME: &'static str = "desam-instance-norm";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x] = inputs else { bail!("instance norm: {} inputs", inputs.len()) };
        let (sums, y) = (moments(on, x)?, on.allocate(x.count(), x.dtype())?);
        self.rectified.forward(on, x, &sums, &y)?;
        if let Ok(mut kept) = self.moments.lock() {
            let count = PlaneParts::of(x.dims())?.numbers(2);
            *kept = Some(tensor(on, sums, count));
        }
        Ok((y, x.layout.shape().clone()))
    }

    fn backward(
        &self,
        _inputs: &[&Tensor],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let kept = self.moments.lock().ok().and_then(|moments| moments.clone());
        let Some(moments) = kept else { bail!("instance norm: backward before forward") };
        let grad = grad.to_dtype(output.dtype())?.detach();
        let op = InstanceNormBackward(self.rectified);
        Ok(vec![Some(run_op(op, &[&output.detach(), &grad, &moments])?)])
    }
}

/// `(y, ∂y, moments) → ∂x`.
struct InstanceNormBackward(NormLeakyRelu);

impl KernelOp for InstanceNormBackward {
    const NAME: &'static str = "desam-instance-norm-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [y, grad, moments] = inputs else { bail!("instance norm: {} inputs", inputs.len()) };
        let dx = on.allocate(y.count(), y.dtype())?;
        self.0.backward(on, [y, grad], moments.storage, &dx)?;
        Ok((dx, y.layout.shape().clone()))
    }
}
