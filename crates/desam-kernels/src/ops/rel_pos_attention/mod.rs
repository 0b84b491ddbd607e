//! Window attention with decomposed relative positions, tile by tile (flash attention).

use crate::{
    Accelerator, KernelArgument, KernelOp, Launch, Module, Operand, blocks, module, run_op, suffix,
};
use candle_core::{DType, Result, Shape, Tensor, bail};

const TENSOR_CORES: Module = module!("rel_pos_attention", REL_POS_ATTENTION);
const SINGLE: Module = module!("rel_pos_attention_single", REL_POS_ATTENTION_SINGLE);

/// Keys of a tile, and its rows and columns (`window.cuh`).
const KEYS: usize = 64;
const KEY_ROWS: usize = 4;
const KEY_COLUMNS: usize = 16;
/// Bytes of a tile's row by its channels (`tiles.cuh`).
const ROW_OF_32: usize = 64 + 16;
const ROW_OF_64: usize = 128 + 16;
const ROW_OF_80: usize = 160;
/// Queries per block of the f32 kernel.
const QUERIES: usize = 64;
/// Shared memory per block with which two blocks fit on a multiprocessor of sm_90, and one on sm_80.
const SHARED_OF_TWO: usize = 113 * 1024;
/// Maximum of shared memory per block on sm_80.
const SHARED_OF_ONE: usize = 163 * 1024;
/// Kernels index tokens, and an image's elements, in 32 bits.
const COUNT: usize = u32::MAX as usize;

/// Sizes of an attention over a grid of tokens, cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelPosSizes {
    /// Images.
    pub images: usize,
    /// Side of the grid.
    pub grid: usize,
    /// Side of a window; windows may reach beyond the grid.
    pub side: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub depth: usize,
}

impl RelPosSizes {
    /// Channels of all heads.
    fn width(&self) -> usize {
        self.heads * self.depth
    }

    /// Windows along one side of the grid.
    fn along(&self) -> usize {
        self.grid.div_ceil(self.side)
    }
}

/// The inputs of an attention, as `desam_nn::ops::rel_pos_attention` describes them.
#[derive(Debug, Clone, Copy)]
pub struct RelPosInputs<'a> {
    /// Queries, keys and values, `[B, G, G, 3C]`, without their bias.
    pub qkv: &'a Tensor,
    /// `[3C]`
    pub bias: &'a Tensor,
    /// Relative positions, `[2, 2S - 1, D]`.
    pub positions: &'a Tensor,
}

/// Attention without a gradient, in the type of `qkv`; bias and positions may have another. In f32
/// where no kernel takes the depth in that type (see `tensor_cores`); `None` where none takes the
/// sizes (a depth beyond 128, a side of some hundreds).
///
/// # Errors
/// When a tensor operation fails or a kernel does not start.
pub fn attention(inputs: RelPosInputs<'_>, sizes: RelPosSizes) -> Result<Option<Tensor>> {
    let RelPosInputs { qkv, bias, positions } = inputs;
    for dtype in [qkv.dtype(), DType::F32] {
        if let Some(plan) = RelPosPlan::new(sizes, dtype)? {
            let (qkv_there, positions) = (aligned(qkv, dtype)?, aligned(positions, dtype)?);
            let bias = bias.to_dtype(DType::F32)?;
            let y = run_op(RelPosAttention { plan, sizes }, &[&qkv_there, &bias, &positions])?;
            return Ok(Some(y.to_dtype(qkv.dtype())?));
        }
    }
    Ok(None)
}

/// Cast to `dtype`, and aligned so that 8 elements from a multiple of 8 on can be loaded as 16 bytes.
fn aligned(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let x = x.to_dtype(dtype)?.contiguous()?;
    if x.layout().start_offset() % 8 == 0 { Ok(x) } else { x.force_contiguous() }
}

/// `(qkv, bias, positions) → y`, without a gradient: `qkv`, positions and `y` of one type, the bias
/// in f32.
#[derive(Debug)]
pub struct RelPosAttention {
    /// The kernel.
    pub plan: RelPosPlan,
    /// Of the inputs.
    pub sizes: RelPosSizes,
}

/// The kernel that is taken, and its launch configuration.
#[derive(Debug)]
pub struct RelPosPlan {
    module: Module,
    kernel: String,
    /// Queries of a block.
    pub queries: usize,
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory.
    pub shared: usize,
}

impl RelPosPlan {
    /// For sizes and the type of `qkv`; `None` where no kernel takes them.
    ///
    /// # Errors
    /// When no kernel takes the type.
    pub fn new(sizes: RelPosSizes, dtype: DType) -> Result<Option<Self>> {
        let tokens = sizes.grid * sizes.grid;
        let table = 2 * sizes.side * sizes.depth;
        if (tokens * 3 * sizes.width()).max(sizes.images * tokens).max(table) > COUNT {
            return Ok(None);
        }
        Ok(match dtype {
            DType::F32 => single(sizes),
            _ => tensor_cores(sizes, suffix(dtype)?),
        })
    }
}

/// Bytes of shared memory for the relative-position terms of a query, one per key row and column.
fn terms(side: usize) -> usize {
    let rows = side.next_multiple_of(KEY_ROWS) | KEY_ROWS;
    4 * (rows + side.next_multiple_of(KEY_COLUMNS) + 8)
}

/// bf16 and f16, depths that are a multiple of 8 up to 80: one thread per query.
fn tensor_cores(sizes: RelPosSizes, suffix: &str) -> Option<RelPosPlan> {
    let (row, name) = match sizes.depth {
        64 => (ROW_OF_64, "64"),
        80 => (ROW_OF_80, "80"),
        depth if depth % 8 != 0 || depth > 80 => return None,
        depth if depth <= 32 => (ROW_OF_32, "to_32"),
        _ => (ROW_OF_80, "to_80"),
    };
    let shared = |queries| 4 * KEYS * row + queries * terms(sizes.side);
    let queries = [128, 64, 32].into_iter().find(|&q| shared(q) <= SHARED_OF_TWO)?;
    Some(RelPosPlan {
        module: TENSOR_CORES,
        kernel: format!("rel_pos_attention_{suffix}_{name}"),
        queries,
        threads: queries as u32,
        shared: shared(queries),
    })
}

/// f32: any depth up to 128.
fn single(sizes: RelPosSizes) -> Option<RelPosPlan> {
    let width = [32, 64, 80, 128].into_iter().find(|&width| sizes.depth <= width)?;
    let numbers = (QUERIES + KEYS) * (width + 4) + KEYS * width + QUERIES * (KEYS + 4);
    let shared = 4 * numbers + QUERIES * terms(sizes.side);
    (shared <= SHARED_OF_ONE).then(|| RelPosPlan {
        module: SINGLE,
        kernel: format!("rel_pos_attention_f32_to_{width}"),
        queries: QUERIES,
        threads: 256,
        shared,
    })
}

impl KernelOp for RelPosAttention {
    const NAME: &'static str = "desam-rel-pos-attention";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [qkv, bias, positions] = inputs else { bail!("attention: {} inputs", inputs.len()) };
        let plan = &self.plan;
        let RelPosSizes { images, grid, side, heads, depth } = self.sizes;
        let y = on.allocate(images * grid * grid * self.sizes.width(), qkv.dtype())?;
        let tiles = side.min(grid).pow(2).div_ceil(plan.queries);
        let work = images * self.sizes.along().pow(2) * heads * tiles;
        if work > 0 {
            on.launch(&Launch {
                module: plan.module,
                kernel: &plan.kernel,
                grid: blocks(work, 1)?,
                threads: plan.threads,
                shared: plan.shared as u32,
                args: &[
                    qkv.address(on)?,
                    bias.address(on)?,
                    positions.address(on)?,
                    on.address(&y, 0)?,
                    KernelArgument::size(grid)?,
                    KernelArgument::size(side)?,
                    KernelArgument::size(heads)?,
                    KernelArgument::size(depth)?,
                    KernelArgument::size(tiles)?,
                ],
            })?;
        }
        Ok((y, Shape::from((images, grid, grid, self.sizes.width()))))
    }
}
