//! The residual block as candle ops: of one input, and of two concatenated along their channels.

use super::backward::{BlockInput, Gradients, NeededGradients, Saved, gradients};
use super::branches::OutputGradient;
use super::forward::{NormedMap, Shortcut, gated_sum};
use super::kernels::Kernels;
use crate::ops::conv2d::cpu::nchw;
use crate::ops::gemm_conv::{ConcatChannels, ImageDims, ImageSource, NchwView};
use crate::ops::matmul::{Stored, dense};
use crate::ops::vector::f32s;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::Mutex;

/// Forward and backward pass of a block, and the activations saved between them.
#[derive(Debug)]
pub(super) struct Block {
    outputs: usize,
    /// Whether the shortcut is convolved.
    shortcut: bool,
    /// Whether activations are saved for a backward pass.
    keep: bool,
    saved: Mutex<Option<Saved>>,
}

/// The block's input: one tensor, or two concatenated.
enum ConvInput<'a> {
    Single(NchwView<'a>),
    Concat(ConcatChannels<'a>),
}

impl<'a> ConvInput<'a> {
    fn source(&self) -> &dyn ImageSource {
        match self {
            Self::Single(x) => x,
            Self::Concat(x) => x,
        }
    }

    fn kernels<'b>(&self, values: &'b [f32], outputs: usize) -> Kernels<'b> {
        let inputs = match self {
            Self::Single(x) => [x.planes.channels, 0],
            Self::Concat(x) => [x.first.planes.channels, x.second.planes.channels],
        };
        Kernels { values, outputs, inputs }
    }

    /// The values of an identity shortcut; of two inputs the shortcut is always convolved.
    fn identity(&self) -> &'a [f32] {
        match self {
            Self::Single(x) => x.values,
            Self::Concat(_) => &[],
        }
    }
}

impl Block {
    pub(super) fn new(outputs: usize, shortcut: bool, keep: bool) -> Self {
        Self { outputs, shortcut, keep, saved: Mutex::new(None) }
    }

    fn forward(&self, input: &ConvInput<'_>, kernels: &[f32]) -> Result<(Vec<f32>, Saved)> {
        let kernels = input.kernels(kernels, self.outputs);
        let first = NormedMap::convolve(input.source(), &kernels.conv1());
        let second = NormedMap::convolve(&first.rectified(), &kernels.conv2());
        let convolved = || NormedMap::convolve(input.source(), &kernels.conv3());
        let third = self.shortcut.then(convolved);
        let out = match &third {
            Some(map) => gated_sum(&second, Shortcut::Map(map))?,
            None => gated_sum(&second, Shortcut::Input(input.identity()))?,
        };
        Ok((out, Saved { first, second: second.moments, third }))
    }

    fn run(&self, input: &ConvInput<'_>, kernels: Stored<'_>) -> Result<(CpuStorage, Shape)> {
        let planes = input.source().planes();
        let (out, saved) = self.forward(input, dense(kernels)?)?;
        if let (true, Ok(mut kept)) = (self.keep, self.saved.lock()) {
            *kept = Some(saved);
        }
        let shape = Shape::from((planes.images, self.outputs, planes.height, planes.width));
        Ok((CpuStorage::F32(out), shape))
    }

    /// The saved activations; a second backward pass over one graph recomputes them.
    fn saved(&self, input: &ConvInput<'_>, kernels: &[f32]) -> Result<Saved> {
        match self.saved.lock().ok().and_then(|mut saved| saved.take()) {
            Some(saved) => Ok(saved),
            None => Ok(self.forward(input, kernels)?.1),
        }
    }

    /// Gradients of `inputs` and of the kernels.
    fn backward(
        &self,
        inputs: &[&Tensor],
        kernels: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Vec<Option<Tensor>>, Option<Tensor>)> {
        let needed = NeededGradients {
            inputs: inputs.iter().map(|x| x.track_op()).collect(),
            kernels: kernels.track_op(),
        };
        let grad = grad.contiguous()?;
        let stored = inputs.iter().map(|x| x.storage_and_layout()).collect::<Vec<_>>();
        let ((kernel_storage, kernel_layout), (output_storage, output_layout)) =
            (kernels.storage_and_layout(), output.storage_and_layout());
        let (grad_storage, grad_layout) = grad.storage_and_layout();
        let parts = stored.iter().zip(inputs).map(|((storage, layout), x)| {
            let (images, channels, height, width) = x.dims4()?;
            let planes = ImageDims { images, channels, height, width };
            Ok(NchwView { values: f32s(storage, layout)?, planes })
        });
        let input = match parts.collect::<Result<Vec<_>>>()?.as_slice() {
            [x] => ConvInput::Single(*x),
            [first, second] => ConvInput::Concat(ConcatChannels { first: *first, second: *second }),
            other => bail!("residual block: {} inputs", other.len()),
        };
        let values = f32s(&kernel_storage, kernel_layout)?;
        let output = OutputGradient {
            output: f32s(&output_storage, output_layout)?,
            grad: f32s(&grad_storage, grad_layout)?,
        };
        let saved = self.saved(&input, values)?;
        let packed = input.kernels(values, self.outputs);
        let block_input = BlockInput { source: input.source(), identity: input.identity() };
        let Gradients { inputs: of_inputs, kernels: of_kernels } =
            gradients(block_input, &packed, saved, output, &needed)?;
        let tensor = |values: Option<Vec<f32>>, like: &Tensor| {
            values.map(|v| Tensor::from_vec(v, like.dims(), &Device::Cpu)).transpose()
        };
        let of_inputs = of_inputs.into_iter().zip(inputs).map(|(v, x)| tensor(v, x));
        Ok((of_inputs.collect::<Result<_>>()?, tensor(of_kernels, kernels)?))
    }
}

/// The op `(x, kernels) → y`.
pub(super) struct Single(pub(super) Block);

impl CustomOp2 for Single {
    fn name(&self) -> &'static str {
        "desam-se-block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        kernels: &CpuStorage,
        kl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.0.run(&ConvInput::Single(nchw((x, xl))?), (kernels, kl))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernels: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut inputs, kernels) = self.0.backward(&[x], kernels, y, grad)?;
        Ok((inputs.pop().flatten(), kernels))
    }
}

/// The op `(a, b, kernels) → y`, `a` and `b` concatenated.
pub(super) struct Concat(pub(super) Block);

impl CustomOp3 for Concat {
    fn name(&self) -> &'static str {
        "desam-se-block-of-two"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
        kernels: &CpuStorage,
        kl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let input = ConcatChannels { first: nchw((a, al))?, second: nchw((b, bl))? };
        self.0.run(&ConvInput::Concat(input), (kernels, kl))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        kernels: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (mut inputs, kernels) = self.0.backward(&[a, b], kernels, y, grad)?;
        let b = inputs.pop().flatten();
        Ok((inputs.pop().flatten(), b, kernels))
    }
}
