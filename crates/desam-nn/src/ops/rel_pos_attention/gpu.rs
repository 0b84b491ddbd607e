//! Attention by kernels.

use super::{RelPosAttention, WindowedSizes, sizes};
use candle_core::{Result, Tensor};
use desam_kernels::ops::rel_pos_attention::{RelPosInputs, RelPosSizes};

/// `None` where no kernel takes the sizes. Nothing is tracked.
pub(super) fn attention(qkv: &Tensor, attention: RelPosAttention<'_>) -> Result<Option<Tensor>> {
    let RelPosAttention { bias, positions, heads } = attention;
    let sizes = sizes(qkv.dims(), bias.dims(), positions.dims(), heads)?;
    let inputs = RelPosInputs { qkv, bias, positions };
    desam_kernels::ops::rel_pos_attention::attention(inputs, sizes.into())
}

impl From<WindowedSizes> for RelPosSizes {
    fn from(sizes: WindowedSizes) -> Self {
        let WindowedSizes { images, grid, side, heads, depth } = sizes;
        Self { images, grid, side, heads, depth }
    }
}
