//! The forward pass of the block.

use super::SeBlockConstants;
use super::residual::{Shortcut, add_residual};
use super::sizes::{Maps, SeBlockSizes, SeBlockWeights};
use crate::ops::conv2d::Conv2dSizes;
use crate::ops::instance_norm::moments;
use crate::{Accelerator, KernelOp, Operand};
use candle_core::{Result, Shape, Storage, bail};

/// A feature map, and the moments of the norm that reads or read it.
#[derive(Debug)]
pub(super) struct FeatureMap<S> {
    pub(super) values: S,
    pub(super) moments: S,
}

impl<S> FeatureMap<S> {
    fn kept<A: Accelerator<Storage = S>>(self, on: &A) -> FeatureMap<Storage> {
        FeatureMap { values: on.wrap(self.values), moments: on.wrap(self.moments) }
    }
}

/// Activations saved for the backward pass. Of the second convolution the moments suffice: its output
/// follows from the block's.
#[derive(Debug)]
pub(super) struct Saved {
    /// OutputAndGrad the norm and the rectifier, which is what both the second convolution's kernel and the
    /// norm's gradient read.
    pub(super) first: FeatureMap<Storage>,
    pub(super) second_moments: Storage,
    /// The shortcut's convolution, before its norm.
    pub(super) third: Option<FeatureMap<Storage>>,
}

/// The block's output, and the saved activations if `keep` says so.
pub(super) fn forward<A: Accelerator>(
    on: &A,
    sizes: &SeBlockSizes,
    x: &Operand<'_, A::Storage>,
    kernels: &SeBlockWeights<'_, A::Storage>,
    keep: bool,
) -> Result<(A::Storage, Option<Saved>)> {
    let maps = sizes.maps();

    let values = sizes.first().forward(on, x, &kernels.first())?;
    let sums = moments(on, &maps.of(&values))?;
    sizes.constants.first_norm().forward(on, &maps.of(&values), &sums, &values)?;
    let second = sizes.second().forward(on, &maps.of(&values), &kernels.second())?;
    let first = keep.then_some(FeatureMap { values, moments: sums });
    let second_moments = moments(on, &maps.of(&second))?;

    let third = if sizes.convolved {
        let values = sizes.third().forward(on, x, &kernels.third())?;
        let moments = moments(on, &maps.of(&values))?;
        Some(FeatureMap { values, moments })
    } else {
        None
    };
    let convolved = third.as_ref().map(|third| (maps.of(&third.values), &third.moments));
    let shortcut = match &convolved {
        Some((values, moments)) => Shortcut { values, moments: Some(*moments) },
        None => Shortcut { values: x, moments: None },
    };
    add_residual(on, &maps.of(&second), &second_moments, &shortcut, sizes.constants)?;
    let saved = first.map(|first| Saved {
        first: first.kept(on),
        second_moments: on.wrap(second_moments),
        third: third.map(|third| third.kept(on)),
    });
    Ok((second, saved))
}

/// `(main, shortcut, conv2) → y`, from the outputs of the first convolutions, nothing tracked.
#[derive(Debug)]
pub struct SeBlockTail(pub SeBlockConstants);

impl KernelOp for SeBlockTail {
    const NAME: &'static str = "desam-se-block-finish";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [main, shortcut, conv2] = inputs else {
            bail!("residual block: {} inputs", inputs.len())
        };
        let [images, channels, height, width] = *main.dims() else {
            bail!("residual block: maps of {:?}", main.dims())
        };
        if shortcut.dims() != main.dims() || shortcut.dtype() != main.dtype() {
            bail!("residual block: maps of {:?} and {:?}", main.dims(), shortcut.dims());
        }
        let maps = Maps::like(main);
        let first = on.allocate(main.count(), main.dtype())?;
        self.0.first_norm().forward(on, main, &moments(on, main)?, &first)?;
        let (inputs, outputs) = (channels, channels);
        let square = Conv2dSizes { images, inputs, outputs, height, width, side: 3 };
        let y = square.forward(on, &maps.of(&first), conv2)?;
        drop(first);
        let (gated, shortcut_moments) = (moments(on, &maps.of(&y))?, moments(on, shortcut)?);
        let shortcut = Shortcut { values: shortcut, moments: Some(&shortcut_moments) };
        add_residual(on, &maps.of(&y), &gated, &shortcut, self.0)?;
        Ok((y, maps.shape().clone()))
    }
}
