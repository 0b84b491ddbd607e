//! Residual block with squeeze-and-excitation (SE), the building block of PIMM.

use crate::SqueezePlacement;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use desam_nn::layers::fan_in_uniform;
use desam_nn::ops::conv2d::{Conv2dConfig, conv2d};
use desam_nn::ops::instance_norm::{instance_norm, instance_norm_leaky};
use desam_nn::ops::pointwise::leaky_relu;
use desam_nn::ops::se_block::{self, SeBlockKernels, se_block};
use desam_nn::ops::squeeze;

/// LeakyReLU's slope and the instance norm's epsilon (facts of the official block).
const SLOPE: f64 = 0.01;
const EPS: f64 = 1e-5;

/// conv 3×3, instance norm, LeakyReLU, conv 3×3, instance norm, squeeze-and-excitation; plus the
/// shortcut, a 1×1 convolution and instance norm where channels differ, else the identity; LeakyReLU.
#[derive(Debug, Clone)]
pub struct SeResBlock {
    conv1: Tensor,
    conv2: Tensor,
    /// The shortcut's kernel. Always present, as in the official checkpoints; used where channels
    /// differ.
    conv3: Tensor,
    squeeze: Tensor,
    excite: Tensor,
    placement: SqueezePlacement,
}

/// First convolutions of both branches over one part of a concatenated input. Convolution is linear in
/// the input channels, so the parts' results add up to the convolution of the whole, and a part that
/// many prompts share is convolved once.
#[derive(Debug, Clone)]
pub struct SplitInput {
    /// Output of the main branch's 3×3 convolution, `[B, O, H, W]`.
    pub main: Tensor,
    /// Output of the shortcut's 1×1 convolution, `[B, O, H, W]`.
    pub shortcut: Tensor,
}

impl SplitInput {
    /// The sum, where `B` is the same or either is 1.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn add(&self, other: &Self) -> Result<Self> {
        Ok(Self {
            main: self.main.broadcast_add(&other.main)?,
            shortcut: self.shortcut.broadcast_add(&other.shortcut)?,
        })
    }
}

impl SeResBlock {
    /// `inputs → outputs` channels, parameters `conv1.conv`, `conv2.conv`, `conv3.conv`, `se.fc.0`
    /// and `se.fc.2`, none with a bias.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn new(
        inputs: usize,
        outputs: usize,
        placement: SqueezePlacement,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let kernel = |name: &str, from: usize, side: usize| {
            // PyTorch's default initialisation, which the official program does not change.
            let hint = fan_in_uniform(from * side * side);
            vb.pp(name).pp("conv").get_with_hints((outputs, from, side, side), "weight", hint)
        };
        // The SE's reduction ratio is 16.
        // Small embeddings give levels of fewer than 16 channels, which keep one hidden unit.
        let hidden = (outputs / 16).max(1);
        let fc = vb.pp("se").pp("fc");
        Ok(Self {
            conv1: kernel("conv1", inputs, 3)?,
            conv2: kernel("conv2", outputs, 3)?,
            conv3: kernel("conv3", inputs, 1)?,
            squeeze: fc.pp(0).get_with_hints(
                (hidden, outputs),
                "weight",
                fan_in_uniform(outputs),
            )?,
            excite: fc.pp(2).get_with_hints((outputs, hidden), "weight", fan_in_uniform(hidden))?,
            placement,
        })
    }

    /// `x [B, I, H, W]` → `[B, O, H, W]`.
    ///
    /// # Errors
    /// When channels differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_joined(&[x])
    }

    /// [`forward`](Self::forward) over the concatenation of `parts [B, .., H, W]` along the channels,
    /// which is not materialised where a fused kernel runs.
    ///
    /// # Errors
    /// When channels differ.
    pub fn forward_joined(&self, parts: &[&Tensor]) -> Result<Tensor> {
        let (outputs, inputs, _, _) = self.conv3.dims4()?;
        // The identity where channels match, though the checkpoint holds a kernel then, too.
        let shortcut = (inputs != outputs).then_some(&self.conv3);
        if self.placement == SqueezePlacement::Official {
            // The constant gate ½ is part of the fused op.
            let (conv1, conv2) = (&self.conv1, &self.conv2);
            return se_block(parts, SeBlockKernels { conv1, conv2, conv3: shortcut });
        }
        // A gate that takes effect is not fused; this placement is for experiments.
        let x = Tensor::cat(parts, 1)?;
        if shortcut.is_some() {
            return self.finish(&self.convolve_part(&x, 0)?);
        }
        let main = conv2d(&x, &self.conv1, Conv2dConfig::same(3))?;
        leaky_relu(&(self.gated(&main)? + x)?, SLOPE)
    }

    /// First convolutions of `x`, which is channels `first ..` of a concatenated input.
    ///
    /// # Errors
    /// When channels differ.
    pub fn convolve_part(&self, x: &Tensor, first: usize) -> Result<SplitInput> {
        let channels = x.dim(1)?;
        let slice = |kernel: &Tensor| -> Result<Tensor> {
            if (first, channels) == (0, kernel.dim(1)?) {
                return Ok(kernel.clone());
            }
            kernel.narrow(1, first, channels)
        };
        Ok(SplitInput {
            main: conv2d(x, &slice(&self.conv1)?, Conv2dConfig::same(3))?,
            shortcut: conv2d(x, &slice(&self.conv3)?, Conv2dConfig::same(1))?,
        })
    }

    /// Rest of the block, after the first convolutions, from the sum of all parts.
    ///
    /// # Errors
    /// When channels differ.
    pub fn finish(&self, input: &SplitInput) -> Result<Tensor> {
        match self.placement {
            SqueezePlacement::Official => se_block::tail(&input.main, &input.shortcut, &self.conv2),
            SqueezePlacement::BeforeNorm => {
                let shortcut = instance_norm(&input.shortcut, EPS)?;
                leaky_relu(&(self.gated(&input.main)? + shortcut)?, SLOPE)
            }
        }
    }

    /// Main branch from the first convolution's output up to the residual sum, with the SE before the
    /// last norm.
    fn gated(&self, main: &Tensor) -> Result<Tensor> {
        let x = instance_norm_leaky(main, EPS, SLOPE)?;
        let x = conv2d(&x, &self.conv2, Conv2dConfig::same(3))?;
        // Pooled before the norm: after it every mean is 0, which is the official placement's flaw.
        squeeze::scale(&instance_norm(&x, EPS)?, &self.gate(&x)?)
    }

    /// The SE gate `[B, O]`: global average pooling, two linear layers, sigmoid. In the parameters'
    /// type: so few values cost nothing in f32.
    fn gate(&self, x: &Tensor) -> Result<Tensor> {
        let pooled = squeeze::mean(x)?.to_dtype(self.squeeze.dtype())?;
        let hidden = pooled.matmul(&self.squeeze.t()?)?.relu()?;
        let logits = hidden.matmul(&self.excite.t()?)?;
        // The sigmoid through tanh: neither end overflows, and candle's own sigmoid, a custom op, is
        // not needed.
        logits.affine(0.5, 0.0)?.tanh()?.affine(0.5, 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use desam_nn::params::{LoadOptions, Tensors, load};

    fn block(inputs: usize, outputs: usize, placement: SqueezePlacement) -> SeResBlock {
        let build = |vb: VarBuilder<'_>| SeResBlock::new(inputs, outputs, placement, vb);
        load(Tensors::new(), &LoadOptions::trainable(5), build).unwrap().module
    }

    fn image(channels: usize, seed: f64) -> Tensor {
        let n = 2 * channels * 5 * 6;
        let t = Tensor::arange(0u32, n as u32, &Device::Cpu).unwrap();
        let t = t.to_dtype(DType::F32).unwrap().affine(0.37, seed).unwrap().sin().unwrap();
        t.reshape((2, channels, 5, 6)).unwrap()
    }

    #[test]
    fn the_parts_of_a_concatenated_input_add_up_to_the_whole() {
        let block = block(12, 8, SqueezePlacement::Official);
        let (a, b) = (image(8, 0.0), image(4, 1.0));
        let whole = block.forward(&Tensor::cat(&[&a, &b], 1).unwrap()).unwrap();
        let parts =
            block.convolve_part(&a, 0).unwrap().add(&block.convolve_part(&b, 8).unwrap()).unwrap();
        let diff = (whole - block.finish(&parts).unwrap()).unwrap().abs().unwrap();
        let worst: f32 = diff.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap();
        // Reassociated sums of 12·9 products of order one.
        assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn the_official_gate_is_one_half_and_the_other_is_not() {
        // 64 channels, so four hidden units: with one, its rectifier may well be shut.
        let x = image(64, 0.3);
        let [official, acting] = [SqueezePlacement::Official, SqueezePlacement::BeforeNorm]
            .map(|p| block(64, 64, p).forward(&x).unwrap().flatten_all().unwrap());
        let diff = (official - acting).unwrap().abs().unwrap();
        assert!(diff.max(0).unwrap().to_scalar::<f32>().unwrap() > 1e-3);
    }

    /// The block whose gate acts, on two images of type `dtype`, and the gradients of both and of all
    /// parameters, which stay f32.
    #[cfg(feature = "emulation")]
    fn trained(dtype: DType) -> Result<Vec<Tensor>> {
        let placement = SqueezePlacement::BeforeNorm;
        let build = |vb: VarBuilder<'_>| SeResBlock::new(32, 64, placement, vb);
        let loaded = load(Tensors::new(), &LoadOptions::trainable(5), build).unwrap();
        let variable = |t: Tensor| candle_core::Var::from_tensor(&t.to_dtype(dtype)?);
        let (a, b) = (variable(image(16, 0.3))?, variable(image(16, 2.0))?);
        let y = loaded.module.forward_joined(&[&a, &b])?;
        let grads = (&y * image(64, 1.0).to_dtype(dtype)?)?.sum_all()?.backward()?;
        let mut all = vec![y.detach()];
        for variable in loaded.vars.values().chain([&a, &b]) {
            let grad = grads.get(variable).unwrap();
            assert_eq!(grad.dtype(), variable.dtype());
            all.push(grad.clone());
        }
        Ok(all)
    }

    #[cfg(feature = "emulation")]
    #[test]
    fn kernels_gate_as_the_cpu_does() {
        let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        let expected = trained(DType::F32).unwrap();
        // Root mean squares: sums in another order in f32; in bf16 roundings of 2^-9, some of which
        // take a number across a rectifier's bend, whose gradient is then wrong by its whole size:
        // one in some hundreds, and one in a hundred would be a tenth of the whole.
        for (dtype, limit) in [(DType::F32, 1e-4), (DType::BF16, 0.1)] {
            let Some(found) = desam_nn::gpu::emulated(|| trained(dtype)).unwrap() else {
                println!("skipped: kernels are not emulated, there was no C++ compiler");
                return;
            };
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let found = found.to_dtype(DType::F32).unwrap();
                let error = (norm(&(found - expected).unwrap()) / norm(expected)).sqrt();
                println!("{dtype:?} {i}: {error:.1e}");
                assert!(error < limit, "{dtype:?} {i}: {error}");
            }
        }
    }
}
