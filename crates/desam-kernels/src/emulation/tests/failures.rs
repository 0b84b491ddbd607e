//! Each mistake that the emulation finds.

use super::{Probe, at};
use crate::accelerator::{Accelerator, KernelArgument, Launch, Module};
use crate::emulation::Emulator;
use candle_core::{CpuStorage, DType};

fn numbers(count: usize) -> CpuStorage {
    CpuStorage::F32(vec![0.0; count])
}

#[test]
fn a_kernel_that_is_not_there() {
    Probe::new("probe_nowhere", 32).fails(&[], "there is no such kernel");
    // A name that C cannot hold.
    assert!(Probe::new("probe\0", 32).run(&[]).is_err());
}

#[test]
fn other_arguments_than_the_kernel_has() {
    let y = numbers(32);
    let probe = Probe::new("probe_declares", 32);
    probe.run(&[at(&y)]).unwrap();
    probe.fails(&[], "the kernel has another number of parameters");
    probe.fails(&[at(&y), KernelArgument::U32(1)], "the kernel has another number of parameters");
    probe.fails(&[KernelArgument::U32(1)], "a parameter has another size");
    probe.fails(&[KernelArgument::F32(1.0)], "a parameter has another size");
    Probe::new("probe_many_copies", 32).fails(&[at(&y)], "a parameter has another size");
}

#[test]
fn blocks_and_grids_that_a_gpu_refuses() {
    let y = numbers(32);
    let probe = Probe::new("probe_declares", 32);
    Probe { threads: 0, ..probe }.fails(&[at(&y)], "the block is larger than the kernel's bound");
    Probe { threads: 64, ..probe }.fails(&[at(&y)], "the block is larger than the kernel's bound");
    Probe { threads: 31, ..probe }.fails(&[at(&y)], "the block is not made of whole warps");
    for grid in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] {
        Probe { grid, ..probe }.fails(&[at(&y)], "the grid is empty");
    }
    for grid in [[1, 65536, 1], [1, 1, 65536]] {
        Probe { grid, ..probe }.fails(&[at(&y)], "the grid is too large");
    }
}

#[test]
fn more_shared_memory_than_there_is() {
    // 48 KB may be declared; a block of sm_90 has 227 KB, of which 40 are declared here.
    let y = numbers(32);
    let probe = Probe::new("probe_declares", 32);
    Probe { shared: 187 << 10, ..probe }.run(&[at(&y)]).unwrap();
    Probe { shared: (187 << 10) + 16, ..probe }.fails(&[at(&y)], "more shared memory than a block");
    Probe { shared: (227 << 10) + 1, ..probe }.fails(&[at(&y)], "more shared memory than a block");
    let probe = Probe::new("probe_declares_too_much", 32);
    probe.fails(&[at(&y)], "more shared memory is declared than a kernel may");
}

#[test]
fn barriers_that_not_all_reach() {
    let y = numbers(64);
    let apart = "threads wait at barriers that the others do not reach";
    Probe::new("probe_divergent", 64).fails(&[at(&y)], apart);
    let gone = "a warp waits for a thread that is over";
    Probe::new("probe_leave", 64).fails(&[KernelArgument::U32(40), KernelArgument::U32(1)], gone);
}

#[test]
fn a_missing_barrier() {
    let probe = Probe::new("probe_neighbour", 128);
    let found = probe.singles(&[], 128, &[KernelArgument::U32(1)]);
    assert!((0..128).all(|i| found[i] == ((i + 1) % 128) as f32));
    let error =
        probe.writes(&[], 128, DType::F32, &[KernelArgument::U32(0)]).unwrap_err().to_string();
    assert!(error.contains("depends on the order in which threads run"), "{error}");
}

#[test]
fn addresses_that_are_not_aligned() {
    let x = numbers(16);
    Probe::new("probe_misaligned_ldmatrix", 32).fails(&[at(&x)], "a row is not aligned");
    let probe = Probe::new("probe_misaligned_copy", 32);
    let x = super::warps::at_aligned(&x);
    probe.run(&[x, KernelArgument::U32(4), KernelArgument::U32(4)]).unwrap();
    probe.fails(&[x, KernelArgument::U32(1), KernelArgument::U32(4)], "an address is not aligned");
    probe.fails(&[x, KernelArgument::U32(4), KernelArgument::U32(2)], "an address is not aligned");
}

#[test]
fn more_than_the_emulation_holds() {
    let probe = Probe::new("probe_many_copies", 32);
    probe.run(&[KernelArgument::U32(256)]).unwrap();
    probe.fails(&[KernelArgument::U32(257)], "more copies in flight than the emulation holds");
    let y = numbers(32);
    let probe = Probe::new("probe_shuffles_too_much", 32);
    probe.fails(&[at(&y)], "a value is too large to be exchanged");
}

#[test]
fn tensors_that_no_kernel_takes() {
    assert!(Emulator.allocate(1, DType::I64).is_err());
    assert!(Emulator.address(&CpuStorage::I64(vec![1]), 0).is_err());
    assert!(Emulator.address(&numbers(3), 4).is_err());
    Emulator.address(&numbers(3), 3).unwrap();
}

#[test]
fn what_is_wrong_is_told_with_the_launch_and_nothing_stays_wrong() {
    let module = Module { name: "desam-probes", ptx: "" };
    let launch = |args: &[KernelArgument]| {
        let (kernel, grid) = ("probe_divergent", [1, 2, 3]);
        Emulator.launch(&Launch { module, kernel, grid, threads: 64, shared: 8, args })
    };
    let y = numbers(64);
    let error = launch(&[at(&y)]).unwrap_err().to_string();
    for part in ["probe_divergent", "desam-probes", "[1, 2, 3]", "threads: 64", "shared: 8"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    // The same threads run again, as if nothing had happened.
    Probe::new("probe_leave", 64).run(&[KernelArgument::U32(64), KernelArgument::U32(1)]).unwrap();
}
