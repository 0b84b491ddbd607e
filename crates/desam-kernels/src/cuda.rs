//! The CUDA backend: memory and launches through candle's device.

use super::accelerator::{Accelerator, KernelArgument, Launch};
use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, DevicePtr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaStorageSlice, cudarc};
use candle_core::{CudaDevice, CudaStorage, DType, Result, Shape, Storage, bail};

/// Shared memory of a block that needs no opt-in.
const SHARED_UNASKED: u32 = 48 * 1024;

/// The GPU that a tensor is on.
pub(crate) struct Cuda {
    device: CudaDevice,
}

impl Cuda {
    pub(crate) fn new(device: CudaDevice) -> Self {
        Self { device }
    }

    pub(crate) fn of(storage: &CudaStorage) -> Self {
        Self { device: storage.device.clone() }
    }
}

impl Accelerator for Cuda {
    type Storage = CudaStorage;

    fn allocate(&self, count: usize, dtype: DType) -> Result<CudaStorage> {
        // A driver without stream-ordered allocation refuses to allocate 0 bytes.
        let shape = Shape::from(count.max(1));
        // SAFETY: any bits are a valid value of these types, and `Accelerator::allocate` requires them
        // to be written before they are read.
        #[allow(unsafe_code)]
        unsafe {
            self.device.alloc_uninit(&shape, dtype)
        }
    }

    fn address(&self, storage: &CudaStorage, offset: usize) -> Result<KernelArgument> {
        let stream = self.device.cuda_stream();
        let of = |(begin, len, size): (u64, usize, usize)| {
            if offset > len {
                bail!("element {offset} of {len}");
            }
            Ok(KernelArgument::Pointer(begin + (offset * size) as u64))
        };
        // All work is on one stream, hence in order: the pointer's guard has nothing to wait for.
        fn begin<T>(
            slice: &CudaSlice<T>,
            stream: &cudarc::driver::CudaStream,
        ) -> (u64, usize, usize) {
            (slice.device_ptr(stream).0, slice.len(), size_of::<T>())
        }
        match &storage.slice {
            CudaStorageSlice::F32(s) => of(begin(s, &stream)),
            CudaStorageSlice::F64(s) => of(begin(s, &stream)),
            CudaStorageSlice::BF16(s) => of(begin(s, &stream)),
            CudaStorageSlice::F16(s) => of(begin(s, &stream)),
            CudaStorageSlice::U32(s) => of(begin(s, &stream)),
            CudaStorageSlice::U8(s) => of(begin(s, &stream)),
            _ => bail!("no kernel takes elements of this type"),
        }
    }

    fn of<'a>(&self, storage: &'a Storage) -> Result<&'a CudaStorage> {
        match storage {
            Storage::Cuda(storage) => Ok(storage),
            _ => bail!("a tensor is not on the GPU"),
        }
    }

    fn wrap(&self, storage: CudaStorage) -> Storage {
        Storage::Cuda(storage)
    }

    fn upload(&self, numbers: &[u32]) -> Result<CudaStorage> {
        self.device.storage_from_slice(numbers)
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let Launch { module, kernel, grid, threads, shared, args } = *launch;
        let function = self.device.get_or_load_custom_func(kernel, module.name, module.ptx)?;
        if shared > SHARED_UNASKED {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, shared.cast_signed()).w()?;
        }
        let mut builder = function.builder();
        for arg in args {
            match arg {
                KernelArgument::Pointer(v) => builder.arg(v),
                KernelArgument::U32(v) => builder.arg(v),
                KernelArgument::F32(v) => builder.arg(v),
            };
        }
        let config = LaunchConfig {
            grid_dim: (grid[0], grid[1], grid[2]),
            block_dim: (threads, 1, 1),
            shared_mem_bytes: shared,
        };
        // SAFETY: the emulation checks number and sizes of the arguments against the kernel's; the
        // contract of `Accelerator::launch` covers the rest.
        #[allow(unsafe_code)]
        unsafe {
            builder.launch(config).w()?;
        }
        Ok(())
    }
}
