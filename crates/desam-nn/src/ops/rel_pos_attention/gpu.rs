//! Attention by kernels.

use super::{RelPosAttention, Sizes, sizes};
use crate::gpu::{
    Accelerator, Arg, KernelOp, Launch, Module, Operand, apply, blocks, module, suffix,
};
use candle_core::{DType, Result, Shape, Tensor, bail};

const TENSOR_CORES: Module = module!("rel_pos_attention", REL_POS_ATTENTION);
const SINGLE: Module = module!("rel_pos_attention_single", REL_POS_ATTENTION_SINGLE);

/// Keys of a tile, and its rows and columns (`squares.cuh`).
const KEYS: usize = 64;
const KEY_ROWS: usize = 4;
const KEY_COLUMNS: usize = 16;
/// Queries that a block of the f32 kernel takes.
const QUERIES: usize = 64;
/// Shared memory with which two blocks fit a multiprocessor of sm_90, and one that of sm_80.
const SHARED_OF_TWO: usize = 113 * 1024;
/// What a block of sm_80 may have.
const SHARED_OF_ONE: usize = 163 * 1024;
/// Kernels count an image's numbers in 32 bits.
const IMAGE: usize = u32::MAX as usize;

/// Attention where tensors are on a device with kernels, in the type of `qkv`; bias and positions may
/// have another. In f32 where no kernel takes the type (see [`tensor_cores`]), `None` where none takes
/// the sizes (a depth beyond 128, a side of some hundreds).
pub(super) fn attention(qkv: &Tensor, given: RelPosAttention<'_>) -> Result<Option<Tensor>> {
    let RelPosAttention { bias, positions, heads } = given;
    let sizes = sizes(qkv.dims(), bias.dims(), positions.dims(), heads)?;
    for dtype in [qkv.dtype(), DType::F32] {
        if let Some(plan) = Plan::new(sizes, dtype)? {
            let (qkv_there, positions) = (aligned(qkv, dtype)?, aligned(positions, dtype)?);
            let bias = bias.to_dtype(DType::F32)?;
            let y = apply(Attention { plan, sizes }, &[&qkv_there, &bias, &positions])?;
            return Ok(Some(y.to_dtype(qkv.dtype())?));
        }
    }
    Ok(None)
}

/// As this type, and so that 8 numbers from a multiple of 8 on lie at a multiple of 16 bytes.
fn aligned(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let x = x.to_dtype(dtype)?.contiguous()?;
    if x.layout().start_offset() % 8 == 0 { Ok(x) } else { x.force_contiguous() }
}

/// `(qkv, bias, positions) → y`, without a gradient: `qkv`, positions and `y` of one type, the bias in
/// f32.
struct Attention {
    plan: Plan,
    sizes: Sizes,
}

/// The kernel that is taken, and how it is started.
#[derive(Debug)]
pub(super) struct Plan {
    module: Module,
    kernel: String,
    /// Queries and threads of a block.
    pub(super) queries: usize,
    threads: u32,
    /// Bytes of shared memory.
    pub(super) shared: usize,
}

impl Plan {
    /// For sizes and the type of `qkv`.
    pub(super) fn new(sizes: Sizes, dtype: DType) -> Result<Option<Self>> {
        let image = sizes.grid * sizes.grid * 3 * sizes.width();
        let table = 2 * sizes.side * sizes.depth;
        if image.max(table) > IMAGE {
            return Ok(None);
        }
        Ok(match dtype {
            DType::F32 => single(sizes),
            _ => tensor_cores(sizes, suffix(dtype)?),
        })
    }
}

/// Terms of a query in shared memory: what it makes of key rows and columns, in bytes.
fn terms(side: usize) -> usize {
    let rows = side.next_multiple_of(KEY_ROWS) | KEY_ROWS;
    4 * (rows + side.next_multiple_of(KEY_COLUMNS) + 8)
}

/// bf16 and f16, depths that are a multiple of 8 up to 80: a thread a query.
fn tensor_cores(sizes: Sizes, suffix: &str) -> Option<Plan> {
    let (width, name) = match sizes.depth {
        64 => (64, "64"),
        80 => (80, "80"),
        depth if depth % 8 != 0 || depth > 80 => return None,
        depth if depth <= 32 => (32, "to_32"),
        _ => (80, "to_80"),
    };
    let shared = |queries| 4 * KEYS * width * 2 + queries * terms(sizes.side);
    let queries = [128, 64, 32].into_iter().find(|&q| shared(q) <= SHARED_OF_TWO)?;
    Some(Plan {
        module: TENSOR_CORES,
        kernel: format!("rel_pos_attention_{suffix}_{name}"),
        queries,
        threads: queries as u32,
        shared: shared(queries),
    })
}

/// f32: any depth up to 128.
fn single(sizes: Sizes) -> Option<Plan> {
    let width = [32, 64, 80, 128].into_iter().find(|&width| sizes.depth <= width)?;
    let numbers = (QUERIES + KEYS) * (width + 4) + KEYS * width + QUERIES * (KEYS + 4);
    let shared = 4 * numbers + QUERIES * terms(sizes.side);
    (shared <= SHARED_OF_ONE).then(|| Plan {
        module: SINGLE,
        kernel: format!("rel_pos_attention_f32_to_{width}"),
        queries: QUERIES,
        threads: 256,
        shared,
    })
}

impl KernelOp for Attention {
    const NAME: &'static str = "desam-rel-pos-attention";

    fn run<A: Accelerator>(
        &self,
        on: &A,
        inputs: &[Operand<'_, A::Storage>],
    ) -> Result<(A::Storage, Shape)> {
        let [qkv, bias, positions] = inputs else { bail!("attention: {} inputs", inputs.len()) };
        let plan = &self.plan;
        let Sizes { images, grid, side, heads, depth } = self.sizes;
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
                    Arg::size(grid)?,
                    Arg::size(side)?,
                    Arg::size(heads)?,
                    Arg::size(depth)?,
                    Arg::size(tiles)?,
                ],
            })?;
        }
        Ok((y, Shape::from((images, grid, grid, self.sizes.width()))))
    }
}
