//! Each mistake that the emulation finds.

use super::{Start, at};
use crate::accelerator::{Accelerator, Arg, Launch, Module};
use crate::emulation::Emulator;
use candle_core::{CpuStorage, DType};

fn numbers(count: usize) -> CpuStorage {
    CpuStorage::F32(vec![0.0; count])
}

#[test]
fn a_kernel_that_is_not_there() {
    Start::new("probe_nowhere", 32).fails(&[], "there is no such kernel");
    // A name that C cannot hold.
    assert!(Start::new("probe\0", 32).run(&[]).is_err());
}

#[test]
fn other_arguments_than_the_kernel_has() {
    let y = numbers(32);
    let start = Start::new("probe_declares", 32);
    start.run(&[at(&y)]).unwrap();
    start.fails(&[], "the kernel has another number of parameters");
    start.fails(&[at(&y), Arg::U32(1)], "the kernel has another number of parameters");
    start.fails(&[Arg::U32(1)], "a parameter has another size");
    start.fails(&[Arg::F32(1.0)], "a parameter has another size");
    Start::new("probe_many_copies", 32).fails(&[at(&y)], "a parameter has another size");
}

#[test]
fn blocks_and_grids_that_a_gpu_refuses() {
    let y = numbers(32);
    let start = Start::new("probe_declares", 32);
    Start { threads: 0, ..start }.fails(&[at(&y)], "the block is larger than the kernel's bound");
    Start { threads: 64, ..start }.fails(&[at(&y)], "the block is larger than the kernel's bound");
    Start { threads: 31, ..start }.fails(&[at(&y)], "the block is not made of whole warps");
    for grid in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] {
        Start { grid, ..start }.fails(&[at(&y)], "the grid is empty");
    }
    for grid in [[1, 65536, 1], [1, 1, 65536]] {
        Start { grid, ..start }.fails(&[at(&y)], "the grid is too large");
    }
}

#[test]
fn more_shared_memory_than_there_is() {
    // 48 KB may be declared; a block of sm_90 has 227 KB, of which 40 are declared here.
    let y = numbers(32);
    let start = Start::new("probe_declares", 32);
    Start { shared: 187 << 10, ..start }.run(&[at(&y)]).unwrap();
    Start { shared: (187 << 10) + 16, ..start }.fails(&[at(&y)], "more shared memory than a block");
    Start { shared: (227 << 10) + 1, ..start }.fails(&[at(&y)], "more shared memory than a block");
    let start = Start::new("probe_declares_too_much", 32);
    start.fails(&[at(&y)], "more shared memory is declared than a kernel may");
}

#[test]
fn barriers_that_not_all_reach() {
    let y = numbers(64);
    let apart = "threads wait at barriers that the others do not reach";
    Start::new("probe_divergent", 64).fails(&[at(&y)], apart);
    let gone = "a warp waits for a thread that is over";
    Start::new("probe_leave", 64).fails(&[Arg::U32(40), Arg::U32(1)], gone);
}

#[test]
fn a_missing_barrier() {
    let start = Start::new("probe_neighbour", 128);
    let found = start.singles(&[], 128, &[Arg::U32(1)]);
    assert!((0..128).all(|i| found[i] == ((i + 1) % 128) as f32));
    let error = start.writes(&[], (128, DType::F32), &[Arg::U32(0)]).unwrap_err().to_string();
    assert!(error.contains("depends on the order in which threads run"), "{error}");
}

#[test]
fn addresses_that_are_not_aligned() {
    let x = numbers(16);
    Start::new("probe_misaligned_ldmatrix", 32).fails(&[at(&x)], "a row is not aligned");
    let start = Start::new("probe_misaligned_copy", 32);
    let x = super::warps::at_aligned(&x);
    start.run(&[x, Arg::U32(4), Arg::U32(4)]).unwrap();
    start.fails(&[x, Arg::U32(1), Arg::U32(4)], "an address is not aligned");
    start.fails(&[x, Arg::U32(4), Arg::U32(2)], "an address is not aligned");
}

#[test]
fn more_than_the_emulation_holds() {
    let start = Start::new("probe_many_copies", 32);
    start.run(&[Arg::U32(256)]).unwrap();
    start.fails(&[Arg::U32(257)], "more copies under way than the emulation holds");
    let y = numbers(32);
    let start = Start::new("probe_shuffles_too_much", 32);
    start.fails(&[at(&y)], "a value is too large to be exchanged");
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
    let launch = |args: &[Arg]| {
        let (kernel, grid) = ("probe_divergent", [1, 2, 3]);
        Emulator.launch(&Launch { module, kernel, grid, threads: 64, shared: 8, args })
    };
    let y = numbers(64);
    let error = launch(&[at(&y)]).unwrap_err().to_string();
    for part in ["probe_divergent", "desam-probes", "[1, 2, 3]", "threads: 64", "shared: 8"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    // The same threads run again, as if nothing had happened.
    Start::new("probe_leave", 64).run(&[Arg::U32(64), Arg::U32(1)]).unwrap();
}
