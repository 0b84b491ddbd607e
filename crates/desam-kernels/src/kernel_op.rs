//! Kernel ops as custom ops of candle, with gradients.

use super::accelerator::{Accelerator, Operand};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail,
};

/// An op of one to three inputs that is computed by kernels.
pub trait KernelOp: Send + Sync + 'static {
    /// Its name in candle's errors.
    const NAME: &'static str;

    /// Launches its kernels on contiguous inputs, whose offsets may differ from zero.
    ///
    /// # Errors
    /// When the inputs do not fit or a kernel does not start.
    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)>;

    /// Gradients of the inputs from that of the output: one for each input that is tracked.
    ///
    /// # Errors
    /// When the op has no gradient or a kernel does not start.
    fn backward(
        &self,
        inputs: &[&Tensor],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<Vec<Option<Tensor>>> {
        let _ = (output, grad);
        bail!("{}: {} inputs, none of which has a gradient", Self::NAME, inputs.len())
    }
}

/// Takes the gradient of an op's input before candle sees it, or returns it for candle to add up. A
/// caller that collects the gradients of variables itself saves candle's accumulation.
pub type StoreGradient = fn(input: &Tensor, grad: Option<Tensor>) -> Option<Tensor>;

/// Runs `op` on the device of its inputs, a GPU or its emulation. Records it for the backward pass if
/// an input is tracked; the gradients then pass through `store`.
///
/// # Errors
/// When the inputs do not fit, are on a device without kernels, or a kernel does not start.
pub fn apply<K: KernelOp>(op: K, inputs: &[&Tensor], store: StoreGradient) -> Result<Tensor> {
    if !inputs.iter().any(|t| t.track_op()) {
        return run_op(op, inputs);
    }
    let inputs = contiguous(inputs)?;
    let op = CustomOp { op, store };
    match inputs.as_slice() {
        [a] => a.apply_op1(op),
        [a, b] => a.apply_op2(b, op),
        [a, b, c] => a.apply_op3(b, c, op),
        other => bail!("{}: {} inputs", K::NAME, other.len()),
    }
}

/// Runs `op` on the device of its inputs and records no gradient.
///
/// # Errors
/// As [`apply`].
pub fn run_op<K: KernelOp>(op: K, inputs: &[&Tensor]) -> Result<Tensor> {
    let inputs = contiguous(inputs)?;
    let op = CustomOp { op, store: |_, grad| grad };
    match inputs.as_slice() {
        [a] => a.apply_op1_no_bwd(&op),
        [a, b] => a.apply_op2_no_bwd(b, &op),
        [a, b, c] => a.apply_op3_no_bwd(b, c, &op),
        other => bail!("{}: {} inputs", K::NAME, other.len()),
    }
}

fn contiguous(inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    inputs.iter().map(|t| t.contiguous()).collect()
}

/// A [`KernelOp`] as candle's `CustomOp1` to `CustomOp3`.
struct CustomOp<K> {
    op: K,
    store: StoreGradient,
}

type Stored<'a> = (&'a CpuStorage, &'a Layout);
#[cfg(feature = "cuda")]
type OnGpu<'a> = (&'a candle_core::CudaStorage, &'a Layout);

#[cfg(any(feature = "cuda", desam_emulation))]
fn operand<'a, S>(&(storage, layout): &(&'a S, &'a Layout)) -> Operand<'a, S> {
    Operand { storage, layout }
}

impl<K: KernelOp> CustomOp<K> {
    /// CPU storage means the emulation.
    fn emulate(&self, inputs: &[Stored<'_>]) -> Result<(CpuStorage, Shape)> {
        #[cfg(desam_emulation)]
        {
            let inputs = inputs.iter().map(operand).collect::<Vec<_>>();
            self.op.run(&super::emulation::Emulator, &inputs)
        }
        #[cfg(not(desam_emulation))]
        bail!("{}: kernels do not run on the CPU ({} inputs)", K::NAME, inputs.len())
    }

    #[cfg(feature = "cuda")]
    fn run_on_gpu(&self, inputs: &[OnGpu<'_>]) -> Result<(candle_core::CudaStorage, Shape)> {
        let Some((first, _)) = inputs.first() else { bail!("{}: no inputs", K::NAME) };
        let inputs = inputs.iter().map(operand).collect::<Vec<_>>();
        self.op.run(&super::cuda::Cuda::of(first), &inputs)
    }

    fn gradients<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let grads = self.op.backward(&inputs, output, &grad.contiguous()?)?;
        let grads = <[Option<Tensor>; N]>::try_from(grads).map_err(|g| {
            candle_core::Error::Msg(format!("{}: {} gradients for {N} inputs", K::NAME, g.len()))
        })?;
        let mut inputs = inputs.into_iter();
        Ok(grads.map(|grad| inputs.next().and_then(|input| (self.store)(input, grad))))
    }
}

impl<K: KernelOp> CustomOp1 for CustomOp<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, al: &Layout) -> Result<(CpuStorage, Shape)> {
        self.emulate(&[(a, al)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        a: &candle_core::CudaStorage,
        al: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.run_on_gpu(&[(a, al)])
    }

    fn bwd(&self, a: &Tensor, output: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [grad] = self.gradients([a], output, grad)?;
        Ok(grad)
    }
}

impl<K: KernelOp> CustomOp2 for CustomOp<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.emulate(&[(a, al), (b, bl)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        a: &candle_core::CudaStorage,
        al: &Layout,
        b: &candle_core::CudaStorage,
        bl: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.run_on_gpu(&[(a, al), (b, bl)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.gradients([a, b], output, grad)?;
        Ok((a, b))
    }
}

impl<K: KernelOp> CustomOp3 for CustomOp<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
        c: &CpuStorage,
        cl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.emulate(&[(a, al), (b, bl), (c, cl)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        a: &candle_core::CudaStorage,
        al: &Layout,
        b: &candle_core::CudaStorage,
        bl: &Layout,
        c: &candle_core::CudaStorage,
        cl: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        self.run_on_gpu(&[(a, al), (b, bl), (c, cl)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.gradients([a, b, c], output, grad)?;
        Ok((a, b, c))
    }
}
