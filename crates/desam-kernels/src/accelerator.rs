//! Device abstraction of the launch code: memory, pointers, kernel launches.

use candle_core::backend::BackendStorage;
use candle_core::{DType, Layout, Result, Storage, bail};

/// A device that runs kernels: a GPU, or the emulation of one.
pub trait Accelerator {
    /// A buffer in its memory.
    type Storage: BackendStorage;

    /// Uninitialised memory for `count` elements. A kernel must write all of them before they are read.
    ///
    /// # Errors
    /// When there is no memory left, or no kernel writes `dtype`.
    fn allocate(&self, count: usize, dtype: DType) -> Result<Self::Storage>;

    /// Pointer to the element `offset` of `storage`, as a kernel argument.
    ///
    /// # Errors
    /// When the offset is beyond the end, or no kernel takes the type.
    fn address(&self, storage: &Self::Storage, offset: usize) -> Result<KernelArgument>;

    /// A tensor's storage as one of this device.
    ///
    /// # Errors
    /// When it is on another device.
    fn of<'a>(&self, storage: &'a Storage) -> Result<&'a Self::Storage>;

    /// A storage of this device as a tensor's storage.
    fn wrap(&self, storage: Self::Storage) -> Storage;

    /// Copies `numbers` to the device.
    ///
    /// # Errors
    /// When the copy fails.
    fn upload(&self, numbers: &[u32]) -> Result<Self::Storage>;

    /// Launches a kernel. It must stay inside the storages that its arguments point into, and those
    /// must live until the launch returns; kernels on one device run in launch order.
    ///
    /// # Errors
    /// When the kernel does not start; the emulation also reports what goes wrong inside it.
    fn launch(&self, launch: &Launch<'_>) -> Result<()>;
}

/// A kernel file: its PTX, and the name it is loaded by.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Of the file, without its extension.
    pub name: &'static str,
    /// Empty without the feature `cuda`.
    pub ptx: &'static str,
}

/// An argument of a kernel, as wide as its parameter.
#[derive(Debug, Clone, Copy)]
pub enum KernelArgument {
    /// A pointer into the device's memory.
    Pointer(u64),
    /// `uint32_t`
    U32(u32),
    /// `float`
    F32(f32),
}

impl KernelArgument {
    /// The null pointer, for an optional parameter.
    pub const NULL: Self = Self::Pointer(0);

    /// A size; kernels index in 32 bits.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn size(size: usize) -> Result<Self> {
        match u32::try_from(size) {
            Ok(size) => Ok(Self::U32(size)),
            Err(_) => bail!("a tensor side of {size} elements is too large"),
        }
    }
}

/// A kernel and its launch configuration.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The file it is in.
    pub module: Module,
    /// Its name.
    pub kernel: &'a str,
    /// Blocks along x, y and z; y and z at most 65535.
    pub grid: [u32; 3],
    /// Threads per block: whole warps.
    pub threads: u32,
    /// Bytes of dynamic shared memory per block.
    pub shared: u32,
    /// In the order of its parameters.
    pub args: &'a [KernelArgument],
}

/// An input of an op.
#[derive(Debug)]
pub struct Operand<'a, S> {
    /// Holds its elements, from the layout's offset on.
    pub storage: &'a S,
    /// Contiguous: [`super::apply`] ensures it.
    pub layout: &'a Layout,
}

impl<S: BackendStorage> Operand<'_, S> {
    /// Its sizes.
    pub fn dims(&self) -> &[usize] {
        self.layout.dims()
    }

    /// The number of its elements.
    pub fn count(&self) -> usize {
        self.layout.shape().elem_count()
    }

    /// Their type.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// Pointer to the first element.
    ///
    /// # Errors
    /// As [`Accelerator::address`].
    pub fn address<A: Accelerator<Storage = S>>(&self, on: &A) -> Result<KernelArgument> {
        on.address(self.storage, self.layout.start_offset())
    }
}

/// One instance of a kernel that is compiled for several element types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypedKernel<'a> {
    /// Without the suffix of the type.
    pub(crate) name: &'a str,
    /// Element type.
    pub(crate) dtype: DType,
}

impl TypedKernel<'_> {
    /// With the suffix of the type.
    pub(crate) fn full_name(&self) -> Result<String> {
        Ok(format!("{}_{}", self.name, suffix(self.dtype)?))
    }
}

/// Suffix of a kernel's name for an element type.
///
/// # Errors
/// When no kernel takes the type.
pub fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        DType::F16 => Ok("f16"),
        other => bail!("no kernel takes elements of type {other:?}"),
    }
}

/// Grid that covers `work` with blocks of `each`, along x.
///
/// # Errors
/// When there are more blocks than a grid may have.
pub fn blocks(work: usize, each: usize) -> Result<[u32; 3]> {
    match u32::try_from(work.div_ceil(each)) {
        Ok(blocks) if blocks < 1 << 31 => Ok([blocks, 1, 1]),
        _ => bail!("{work} work items are more than a grid takes"),
    }
}
