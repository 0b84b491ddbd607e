//! Tests of the emulation: number formats, warps and copies as on a GPU, and the mistakes it finds.
//! The kernels are those of `probes.cu`.

mod failures;
mod numbers;
mod warps;

use super::{Emulator, emulated};
use crate::accelerator::{Accelerator, KernelArgument, Launch, Module};
use candle_core::{CpuStorage, DType, Device, Result, Tensor, bail};

/// A probe kernel and its launch configuration.
#[derive(Debug, Clone, Copy)]
struct Probe<'a> {
    kernel: &'a str,
    grid: [u32; 3],
    threads: u32,
    shared: u32,
}

impl<'a> Probe<'a> {
    /// One block.
    fn new(kernel: &'a str, threads: u32) -> Self {
        Self { kernel, grid: [1, 1, 1], threads, shared: 0 }
    }

    fn run(&self, args: &[KernelArgument]) -> Result<()> {
        let &Self { kernel, grid, threads, shared } = self;
        let module = Module { name: "desam-probes", ptx: "" };
        Emulator.launch(&Launch { module, kernel, grid, threads, shared, args })
    }

    /// The launch fails, and the error contains `why`.
    #[track_caller]
    fn fails(&self, args: &[KernelArgument], why: &str) {
        let error = match self.run(args) {
            Ok(()) => panic!("{} did not fail", self.kernel),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(why) && error.contains(self.kernel), "{error}");
    }

    /// Runs it with `args`, an output of `count` elements, then `more`, in both orders of threads, and
    /// returns the output.
    fn writes(
        &self,
        args: &[KernelArgument],
        count: usize,
        dtype: DType,
        more: &[KernelArgument],
    ) -> Result<Tensor> {
        let found = emulated(&|| {
            let y = Emulator.allocate(count, dtype)?;
            self.run(&[args, &[at(&y)], more].concat())?;
            let tensor = match y {
                CpuStorage::F32(y) => Tensor::from_vec(y, count, &Device::Cpu),
                CpuStorage::BF16(y) => Tensor::from_vec(y, count, &Device::Cpu),
                CpuStorage::F16(y) => Tensor::from_vec(y, count, &Device::Cpu),
                CpuStorage::U32(y) => Tensor::from_vec(y, count, &Device::Cpu),
                other => bail!("{:?}", candle_core::backend::BackendStorage::dtype(&other)),
            };
            Ok(vec![tensor?])
        })?;
        match <[Tensor; 1]>::try_from(found) {
            Ok([numbers]) => Ok(numbers),
            Err(other) => bail!("{} results", other.len()),
        }
    }

    /// The same, as f32.
    fn singles(&self, args: &[KernelArgument], count: usize, more: &[KernelArgument]) -> Vec<f32> {
        self.writes(args, count, DType::F32, more).unwrap().to_vec1().unwrap()
    }
}

/// Pointer to the first element.
fn at(storage: &CpuStorage) -> KernelArgument {
    Emulator.address(storage, 0).unwrap()
}
