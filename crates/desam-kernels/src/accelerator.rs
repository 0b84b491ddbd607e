//! What starts a kernel needs to know of a device.

use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result, Storage, bail};

/// A device that runs kernels: a GPU, or the emulation of one.
pub trait Accelerator {
    /// Numbers in its memory.
    type Storage: BackendStorage;

    /// Room for `count` numbers, which may hold anything. A kernel must write all of them.
    fn allocate(&self, count: usize, dtype: DType) -> Result<Self::Storage>;

    /// Where the number `offset` of `storage` lies, to be handed to a kernel.
    fn address(&self, storage: &Self::Storage, offset: usize) -> Result<Arg>;

    /// A tensor's storage as this device's.
    fn of<'a>(&self, storage: &'a Storage) -> Result<&'a Self::Storage>;

    /// A storage of this device as a tensor's.
    fn wrap(&self, storage: Self::Storage) -> Storage;

    /// `numbers` copied to the device.
    fn upload(&self, numbers: &[u32]) -> Result<Self::Storage>;

    /// Starts a kernel. It must stay inside the storages that its arguments point into, and those
    /// must live until it was started; work on one device is done in the order of its start.
    fn launch(&self, launch: &Launch<'_>) -> Result<()>;
}

/// A file of kernels: its PTX, and the name it is loaded by.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Of the file, without its ending.
    pub name: &'static str,
    /// For a GPU; empty without the feature `cuda`.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    pub ptx: &'static str,
}

/// An argument of a kernel, as wide as its parameter.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// A pointer into the device's memory.
    Pointer(u64),
    /// `uint32_t`
    U32(u32),
    /// `float`
    F32(f32),
}

impl Arg {
    /// No memory, for a parameter that may be null.
    pub const NULL: Self = Self::Pointer(0);

    /// A size; kernels count in 32 bits.
    pub fn size(size: usize) -> Result<Self> {
        match u32::try_from(size) {
            Ok(size) => Ok(Self::U32(size)),
            Err(_) => bail!("a tensor of {size} numbers along one of its sides is too large"),
        }
    }
}

/// A kernel with all that it is started with.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Where it is.
    pub module: Module,
    /// Its name.
    pub kernel: &'a str,
    /// Blocks along x, y and z; y and z at most 65535.
    pub grid: [u32; 3],
    /// Threads of a block: whole warps.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// In the order of its parameters.
    pub args: &'a [Arg],
}

/// An input of an op.
#[derive(Debug)]
pub struct Operand<'a, S> {
    /// Its numbers, from the layout's offset on.
    pub storage: &'a S,
    /// Contiguous: [`super::apply`] sees to it.
    pub layout: &'a Layout,
}

impl<S: BackendStorage> Operand<'_, S> {
    /// Its sizes.
    pub fn dims(&self) -> &[usize] {
        self.layout.dims()
    }

    /// How many numbers it has.
    pub fn count(&self) -> usize {
        self.layout.shape().elem_count()
    }

    /// Their type.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// Where they begin.
    pub fn address<A: Accelerator<Storage = S>>(&self, on: &A) -> Result<Arg> {
        on.address(self.storage, self.layout.start_offset())
    }
}

/// What a kernel's name ends with for a type.
pub fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        DType::F16 => Ok("f16"),
        other => bail!("no kernel takes numbers of type {other:?}"),
    }
}

/// `work` cut into blocks of `each`, along x.
pub fn blocks(work: usize, each: usize) -> Result<[u32; 3]> {
    match u32::try_from(work.div_ceil(each)) {
        Ok(blocks) if blocks < 1 << 31 => Ok([blocks, 1, 1]),
        _ => bail!("{work} pieces of work are more than a GPU takes at once"),
    }
}
