//! An op made of kernels as an op of candle's.

use super::accelerator::{Accelerator, Operand};
use crate::gradients::store_leaf_gradient;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail,
};

/// An op that is done by kernels, of one to three inputs.
pub(crate) trait KernelOp: Send + Sync + 'static {
    /// Its name in candle's errors.
    const NAME: &'static str;

    /// Starts its kernels on inputs without gaps, whose offsets may differ from zero.
    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)>;

    /// Gradients of the inputs from that of the output: one for each input that is tracked.
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

/// Does `op` where its inputs are: on a GPU, or in the emulation. With a gradient if one is tracked.
pub(crate) fn apply<K: KernelOp>(op: K, inputs: &[&Tensor]) -> Result<Tensor> {
    let contiguous = inputs.iter().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
    let tracked = inputs.iter().any(|t| t.track_op());
    let op = Launched(op);
    match (contiguous.as_slice(), tracked) {
        ([a], true) => a.apply_op1(op),
        ([a], false) => a.apply_op1_no_bwd(&op),
        ([a, b], true) => a.apply_op2(b, op),
        ([a, b], false) => a.apply_op2_no_bwd(b, &op),
        ([a, b, c], true) => a.apply_op3(b, c, op),
        ([a, b, c], false) => a.apply_op3_no_bwd(b, c, &op),
        (other, _) => bail!("{}: {} inputs", K::NAME, other.len()),
    }
}

struct Launched<K>(K);

type Stored<'a> = (&'a CpuStorage, &'a Layout);
#[cfg(feature = "cuda")]
type OnGpu<'a> = (&'a candle_core::CudaStorage, &'a Layout);

#[cfg(any(feature = "cuda", desam_emulation))]
fn operand<'a, S>(&(storage, layout): &(&'a S, &'a Layout)) -> Operand<'a, S> {
    Operand { storage, layout }
}

impl<K: KernelOp> Launched<K> {
    /// Memory of the CPU means the emulation.
    fn emulate(&self, inputs: &[Stored<'_>]) -> Result<(CpuStorage, Shape)> {
        #[cfg(desam_emulation)]
        {
            let inputs = inputs.iter().map(operand).collect::<Vec<_>>();
            self.0.run(&super::emulation::Emulator, &inputs)
        }
        #[cfg(not(desam_emulation))]
        bail!("{}: kernels do not run on the CPU ({} inputs)", K::NAME, inputs.len())
    }

    #[cfg(feature = "cuda")]
    fn run_on_gpu(&self, inputs: &[OnGpu<'_>]) -> Result<(candle_core::CudaStorage, Shape)> {
        let Some((first, _)) = inputs.first() else { bail!("{}: no inputs", K::NAME) };
        let inputs = inputs.iter().map(operand).collect::<Vec<_>>();
        self.0.run(&super::cuda::Cuda::of(first), &inputs)
    }

    fn back<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let grads = self.0.backward(&inputs, output, &grad.contiguous()?)?;
        let grads = <[Option<Tensor>; N]>::try_from(grads).map_err(|g| {
            candle_core::Error::Msg(format!("{}: {} gradients for {N} inputs", K::NAME, g.len()))
        })?;
        let mut inputs = inputs.into_iter();
        Ok(grads.map(|grad| inputs.next().and_then(|input| store_leaf_gradient(input, grad))))
    }
}

impl<K: KernelOp> CustomOp1 for Launched<K> {
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
        let [grad] = self.back([a], output, grad)?;
        Ok(grad)
    }
}

impl<K: KernelOp> CustomOp2 for Launched<K> {
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
        let [a, b] = self.back([a, b], output, grad)?;
        Ok((a, b))
    }
}

impl<K: KernelOp> CustomOp3 for Launched<K> {
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
        let [a, b, c] = self.back([a, b, c], output, grad)?;
        Ok((a, b, c))
    }
}
