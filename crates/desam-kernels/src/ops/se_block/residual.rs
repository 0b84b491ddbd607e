//! The residual sum at the end of the block, and its gradients.

use super::SeBlockConstants;
use crate::ops::instance_norm::PlaneParts;
use crate::{Accelerator, KernelArgument, Module, Operand, TypedKernel, module};
use candle_core::Result;
use candle_core::backend::BackendStorage;

const MODULE: Module = module!("se_block", SE_BLOCK);

/// The shortcut, which is added to the gated branch.
pub(super) struct Shortcut<'a, S> {
    /// A convolution's output, or the block's input.
    pub(super) values: &'a Operand<'a, S>,
    /// Of the convolution's norm; the input has none.
    pub(super) moments: Option<&'a S>,
}

impl<S> Shortcut<'_, S> {
    fn moments<A: Accelerator<Storage = S>>(&self, on: &A) -> Result<KernelArgument> {
        self.moments.map_or(Ok(KernelArgument::NULL), |moments| on.address(moments, 0))
    }
}

/// The block's output and its gradient.
pub(super) type OutputAndGrad<'a, S> = [&'a Operand<'a, S>; 2];

/// `leaky(gate · norm(main) + shortcut)`, written over `main`.
pub(super) fn add_residual<A: Accelerator>(
    on: &A,
    main: &Operand<'_, A::Storage>,
    moments: &A::Storage,
    shortcut: &Shortcut<'_, A::Storage>,
    constants: SeBlockConstants,
) -> Result<()> {
    let address = main.address(on)?;
    let mut args = vec![address, on.address(moments, 0)?, shortcut.values.address(on)?];
    args.extend([shortcut.moments(on)?, address]);
    args.extend(constants.args());
    PlaneParts::of(main.dims())?.launch(
        on,
        MODULE,
        TypedKernel { name: "se_block_add_residual", dtype: main.dtype() },
        &args,
    )
}

/// The gradients before both norms: the gated branch's in new memory; the shortcut's, if it has a norm,
/// written over the input of that norm.
pub(super) fn branch_gradients<A: Accelerator>(
    on: &A,
    [y, grad]: OutputAndGrad<'_, A::Storage>,
    moments: &A::Storage,
    shortcut: &Shortcut<'_, A::Storage>,
    constants: SeBlockConstants,
) -> Result<A::Storage> {
    let (parts, dtype) = (PlaneParts::of(y.dims())?, y.dtype());
    let sums = parts.sums(on, 3)?;
    let sums = on.address(&sums, 0)?;
    let other = shortcut.values.address(on)?;
    let read = [y.address(on)?, grad.address(on)?, other];

    let args = [&read[..], &[shortcut.moments(on)?, sums], &constants.args()].concat();
    parts.launch(on, MODULE, TypedKernel { name: "se_block_open", dtype }, &args)?;

    let main = on.allocate(y.count(), dtype)?;
    let in_place = if shortcut.moments.is_some() { other } else { KernelArgument::NULL };
    let between = [on.address(moments, 0)?, shortcut.moments(on)?, sums];
    let written = [on.address(&main, 0)?, in_place];
    let args = [&read[..], &between, &written, &constants.args()].concat();
    parts.launch(on, MODULE, TypedKernel { name: "se_block_close", dtype }, &args)?;
    Ok(main)
}

/// Adds the gradient of the sum to `dx`, where the shortcut is the input itself.
pub(super) fn add_output_gradient<A: Accelerator>(
    on: &A,
    [y, grad]: OutputAndGrad<'_, A::Storage>,
    dx: &A::Storage,
    constants: SeBlockConstants,
) -> Result<()> {
    let args = [
        y.address(on)?,
        grad.address(on)?,
        on.address(dx, 0)?,
        KernelArgument::F32(constants.slope),
    ];
    PlaneParts::of(y.dims())?.launch(
        on,
        MODULE,
        TypedKernel { name: "se_block_add_open", dtype: y.dtype() },
        &args,
    )
}

/// The sum of the input gradients of both convolutions, `[B, C, H, W]`, split behind channel
/// `before`; a part that is not wanted is null.
pub(super) fn sum_input_gradients<A: Accelerator>(
    on: &A,
    [a, b]: [&A::Storage; 2],
    [first, second]: [KernelArgument; 2],
    before: usize,
    dims: [usize; 4],
) -> Result<()> {
    let mut args = vec![on.address(a, 0)?, on.address(b, 0)?, first, second];
    args.extend([KernelArgument::size(before)?, KernelArgument::size(dims[1])?]);
    PlaneParts::of(&dims)?.launch(
        on,
        MODULE,
        TypedKernel { name: "se_block_add", dtype: a.dtype() },
        &args,
    )
}
