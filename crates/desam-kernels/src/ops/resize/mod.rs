//! Bilinear interpolation, forward and backward.

use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, TypedKernel, blocks, module,
    run_op,
};
use candle_core::{Result, Shape, Tensor, bail};

const MODULE: Module = module!("resize", RESIZE);
const THREADS: usize = 256;

/// Planes, one per image and channel, and their sides `(height, width)` before and after.
#[derive(Debug, Clone, Copy)]
struct Planes {
    count: usize,
    from: (usize, usize),
    to: (usize, usize),
}

/// `x [B, C, H, W] → y [B, C, height, width]`, bilinear; no side is zero.
#[derive(Debug)]
pub struct Bilinear {
    /// `(height, width)`
    pub size: (usize, usize),
}

impl KernelOp for Bilinear {
    const NAME: &'static str = "desam-bilinear";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [x] = inputs else { bail!("bilinear: {} inputs", inputs.len()) };
        let (b, c, h, w) = x.layout.shape().dims4()?;
        let planes = Planes { count: b * c, from: (h, w), to: self.size };
        let shape = Shape::from((b, c, self.size.0, self.size.1));
        let y = on.allocate(shape.elem_count(), x.dtype())?;
        let run = [x.address(on)?, on.address(&y, 0)?];
        launch(on, TypedKernel { name: "resize", dtype: x.dtype() }, run, &planes, planes.to)?;
        Ok((y, shape))
    }

    fn backward(
        &self,
        inputs: &[&Tensor],
        _output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let [x] = inputs else { bail!("bilinear: {} inputs", inputs.len()) };
        let (_, _, h, w) = x.dims4()?;
        Ok(vec![Some(run_op(BilinearBackward { from: (h, w) }, &[&grad.detach()])?)])
    }
}

/// `∂y → ∂x`.
struct BilinearBackward {
    from: (usize, usize),
}

impl KernelOp for BilinearBackward {
    const NAME: &'static str = "desam-bilinear-gradient";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [grad] = inputs else { bail!("bilinear: {} inputs", inputs.len()) };
        let (b, c, height, width) = grad.layout.shape().dims4()?;
        let shape = Shape::from((b, c, self.from.0, self.from.1));
        let planes = Planes { count: b * c, from: self.from, to: (height, width) };
        let dx = on.allocate(shape.elem_count(), grad.dtype())?;
        let run = [grad.address(on)?, on.address(&dx, 0)?];
        launch(
            on,
            TypedKernel { name: "resize_gradient", dtype: grad.dtype() },
            run,
            &planes,
            planes.from,
        )?;
        Ok((dx, shape))
    }
}

/// Launches one thread per element written, in planes with sides `written`.
fn launch<A: Accelerator>(
    on: &A,
    kernel: TypedKernel<'_>,
    run: [KernelArgument; 2],
    planes: &Planes,
    written: (usize, usize),
) -> Result<()> {
    let Planes { count, from, to } = *planes;
    if count == 0 {
        return Ok(());
    }
    let each = (written.0 * written.1).div_ceil(THREADS);
    let mut args = run.to_vec();
    for size in [from.0, from.1, to.0, to.1, each] {
        args.push(KernelArgument::size(size)?);
    }
    on.launch(&Launch {
        module: MODULE,
        kernel: &kernel.full_name()?,
        grid: blocks(count * each, 1)?,
        threads: THREADS as u32,
        shared: 0,
        args: &args,
    })
}
