//! Emulation of a GPU on the CPU, thread by thread: slow, for tests only.

#[cfg(test)]
mod tests;

use super::accelerator::{Accelerator, KernelArgument, Launch};
use candle_core::{CpuStorage, DType, Result, Storage, Tensor, bail};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};

thread_local! {
    static ON: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Whether CPU tensors of this thread are treated as GPU tensors.
pub(crate) fn is_on() -> bool {
    ON.get().is_some()
}

/// Runs `work` with kernels in place of the CPU's own paths, twice: with the threads of a block in
/// ascending, then in descending order, which must give the same bits.
///
/// # Errors
/// Errors of `work`; and when the bits differ.
pub(crate) fn emulated(work: &dyn Fn() -> Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let run = |backwards| {
        let _scope = Scope(ON.replace(Some(backwards)));
        work()
    };
    let (forwards, backwards) = (run(false)?, run(true)?);
    for (a, b) in forwards.iter().zip(&backwards) {
        if bits(a)? != bits(b)? {
            bail!("a result depends on the order in which threads run: a barrier is missing");
        }
    }
    Ok(forwards)
}

fn bits(tensor: &Tensor) -> Result<Vec<u64>> {
    let numbers = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(numbers.into_iter().map(f64::to_bits).collect())
}

/// Restores the outer state on drop.
struct Scope(Option<bool>);

impl Drop for Scope {
    fn drop(&mut self) {
        ON.set(self.0);
    }
}

/// The emulated GPU.
pub(crate) struct Emulator;

// SAFETY: emulation.cpp defines it with these parameters.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn desam_emulate(
        name: *const c_char,
        grid: *const u32,
        threads: *const u32,
        shared: u32,
        arguments: *const *const c_void,
        sizes: *const usize,
        count: usize,
        backwards: bool,
    ) -> *const c_char;
}

impl Accelerator for Emulator {
    type Storage = CpuStorage;

    /// Filled with NaN (integers: all bits set), so that elements no kernel writes are noticed.
    fn allocate(&self, count: usize, dtype: DType) -> Result<CpuStorage> {
        Ok(match dtype {
            DType::F32 => CpuStorage::F32(vec![f32::NAN; count]),
            DType::F64 => CpuStorage::F64(vec![f64::NAN; count]),
            DType::BF16 => CpuStorage::BF16(vec![half::bf16::NAN; count]),
            DType::F16 => CpuStorage::F16(vec![half::f16::NAN; count]),
            DType::U32 => CpuStorage::U32(vec![u32::MAX; count]),
            DType::U8 => CpuStorage::U8(vec![u8::MAX; count]),
            other => bail!("no kernel writes elements of type {other:?}"),
        })
    }

    fn address(&self, storage: &CpuStorage, offset: usize) -> Result<KernelArgument> {
        fn of<T>(numbers: &[T], offset: usize) -> Result<KernelArgument> {
            match numbers.get(offset..) {
                Some(from) => Ok(KernelArgument::Pointer(from.as_ptr() as u64)),
                None => bail!("element {offset} of {}", numbers.len()),
            }
        }
        match storage {
            CpuStorage::F32(v) => of(v, offset),
            CpuStorage::F64(v) => of(v, offset),
            CpuStorage::BF16(v) => of(v, offset),
            CpuStorage::F16(v) => of(v, offset),
            CpuStorage::U32(v) => of(v, offset),
            CpuStorage::U8(v) => of(v, offset),
            _ => bail!("no kernel takes elements of this type"),
        }
    }

    fn of<'a>(&self, storage: &'a Storage) -> Result<&'a CpuStorage> {
        match storage {
            Storage::Cpu(storage) => Ok(storage),
            _ => bail!("a tensor is not on the CPU"),
        }
    }

    fn wrap(&self, storage: CpuStorage) -> Storage {
        Storage::Cpu(storage)
    }

    fn upload(&self, numbers: &[u32]) -> Result<CpuStorage> {
        Ok(CpuStorage::U32(numbers.to_vec()))
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let name = CString::new(launch.kernel).map_err(candle_core::Error::wrap)?;
        let of = |arg: &KernelArgument| -> (*const c_void, usize) {
            match arg {
                KernelArgument::Pointer(v) => (std::ptr::from_ref(v).cast(), 8),
                KernelArgument::U32(v) => (std::ptr::from_ref(v).cast(), 4),
                KernelArgument::F32(v) => (std::ptr::from_ref(v).cast(), 4),
            }
        };
        let (values, sizes): (Vec<_>, Vec<_>) = launch.args.iter().map(of).unzip();
        let threads = [launch.threads, 1, 1];
        let backwards = ON.get().unwrap_or(false);
        // SAFETY: the arrays have the lengths that are given. The contract of `Accelerator::launch`
        // covers what the arguments point to.
        #[allow(unsafe_code)]
        let failure = unsafe {
            desam_emulate(
                name.as_ptr(),
                launch.grid.as_ptr(),
                threads.as_ptr(),
                launch.shared,
                values.as_ptr(),
                sizes.as_ptr(),
                values.len(),
                backwards,
            )
        };
        if failure.is_null() {
            return Ok(());
        }
        // SAFETY: a string that ends with a zero and stays valid until this thread's next call.
        #[allow(unsafe_code)]
        let why = unsafe { CStr::from_ptr(failure) }.to_string_lossy();
        bail!("kernel {} of {}: {why} ({launch:?})", launch.kernel, launch.module.name)
    }
}
