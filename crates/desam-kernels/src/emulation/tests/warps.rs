//! Warps, blocks, and memory that they share.

use super::{Probe, at};
use crate::accelerator::KernelArgument;
use candle_core::CpuStorage;

fn count_up(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

#[test]
fn lanes_get_each_others_numbers_within_their_warp() {
    let threads = 96;
    let numbers = count_up(threads);
    let x = CpuStorage::F32(numbers.clone());
    let found = Probe::new("probe_shuffles", threads as u32).singles(&[at(&x)], 5 * threads, &[]);
    for i in 0..threads {
        let (warp, lane) = (i / 32 * 32, i % 32);
        // A lane that asks beyond the warp's end keeps its own.
        let down = if lane + 5 < 32 { lane + 5 } else { lane };
        let all = &numbers[warp..warp + 32];
        let expected = [
            numbers[warp + (lane + 3) % 32],
            numbers[warp + (lane ^ 3)],
            numbers[warp + down],
            all.iter().sum(),
            numbers[warp + 31],
        ];
        let found: Vec<f32> = (0..5).map(|k| found[k * threads + i]).collect();
        assert_eq!(found, expected, "thread {i}");
    }
}

#[test]
fn blocks_are_summed_twice_in_a_row() {
    for threads in [32, 64, 352, 1024] {
        let x = CpuStorage::F32(count_up(3 * threads));
        let probe = Probe { grid: [3, 1, 1], ..Probe::new("probe_block_sum", threads as u32) };
        let found = probe.singles(&[at(&x)], 6 * threads, &[]);
        for (block, found) in found.chunks(2 * threads).enumerate() {
            // Sums of whole numbers below 2^24 are exact.
            let sum: usize = (block * threads..(block + 1) * threads).sum();
            assert!(found[..threads].iter().all(|&x| x == sum as f32), "{threads}, {block}");
            let sum = 2 * sum + threads;
            assert!(found[threads..].iter().all(|&x| x == sum as f32), "{threads}, {block}");
        }
    }
}

#[test]
fn copies_arrive_when_they_are_waited_for() {
    let threads = 64;
    let x = CpuStorage::F32(count_up(4 * threads + 4));
    let room = Probe { shared: 32 * threads as u32, ..Probe::new("probe_copies", threads as u32) };
    let found = room.singles(&[at_aligned(&x)], 6 * threads, &[]);
    let first = aligned(&x) as f32;
    for (thread, seen) in found.chunks(6).enumerate() {
        let copied = first + (4 * thread + 3) as f32;
        assert!(seen[0].is_nan() && seen[1].is_nan(), "before any wait: {seen:?}");
        assert!(seen[2] == copied && seen[3].is_nan(), "after the first: {seen:?}");
        assert!(seen[4] == copied && seen[5] == 0.0, "after both: {seen:?}");
    }
}

/// Index of the first f32 that is aligned to 16 bytes.
fn aligned(numbers: &CpuStorage) -> usize {
    let KernelArgument::Pointer(begin) = at(numbers) else { panic!("a pointer") };
    (begin.next_multiple_of(16) - begin) as usize / 4
}

pub(super) fn at_aligned(numbers: &CpuStorage) -> KernelArgument {
    use crate::accelerator::Accelerator;
    crate::emulation::Emulator.address(numbers, aligned(numbers)).unwrap()
}

#[test]
fn shared_memory_starts_as_nothing() {
    let probe = Probe { shared: 128, ..Probe::new("probe_unwritten", 32) };
    assert!(probe.singles(&[], 64, &[]).iter().all(|x| x.is_nan()));
}

#[test]
fn threads_that_are_over_are_not_waited_for() {
    // On a GPU too a barrier of the block counts the threads that are still there, and a whole warp
    // may be over.
    Probe::new("probe_leave", 128).run(&[KernelArgument::U32(64), KernelArgument::U32(0)]).unwrap();
    Probe::new("probe_leave", 128).run(&[KernelArgument::U32(64), KernelArgument::U32(1)]).unwrap();
    Probe::new("probe_leave", 128).run(&[KernelArgument::U32(50), KernelArgument::U32(0)]).unwrap();
}
