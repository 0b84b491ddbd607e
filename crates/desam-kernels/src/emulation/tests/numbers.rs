//! Number types and tensor cores.

use super::{Probe, at};
use crate::accelerator::KernelArgument;
use candle_core::{CpuStorage, DType};
use half::{bf16, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// NaN equals NaN, whatever its bits; all else is compared by its bits.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn widened(kernel: &str, numbers: &CpuStorage, count: usize) -> Vec<f32> {
    let probe = Probe { grid: [count.div_ceil(256) as u32, 1, 1], ..Probe::new(kernel, 256) };
    probe.singles(&[at(numbers)], count, &[KernelArgument::U32(count as u32)])
}

fn narrowed(kernel: &str, numbers: &[f32], dtype: DType) -> Vec<f32> {
    let count = numbers.len();
    let probe = Probe { grid: [count.div_ceil(256) as u32, 1, 1], ..Probe::new(kernel, 256) };
    let x = CpuStorage::F32(numbers.to_vec());
    let y = probe.writes(&[at(&x)], count, dtype, &[KernelArgument::U32(count as u32)]).unwrap();
    y.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// All numbers of a type, the midpoint to the next of each, and the neighbours of the midpoint;
/// then any f32.
fn hard_to_round(of: impl Fn(u16) -> f32) -> Vec<f32> {
    let mut all: Vec<f32> = (0..=u16::MAX).map(&of).collect();
    for bits in 0..u16::MAX {
        let (from, to) = (f64::from(of(bits)), f64::from(of(bits + 1)));
        let middle = ((from + to) / 2.0) as f32;
        all.extend([middle.next_down(), middle, middle.next_up()]);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    all.extend((0..100_000).map(|_| f32::from_bits(rng.random())));
    all
}

#[test]
fn every_number_is_widened_and_rounded_as_by_half() {
    let all = || 0..=u16::MAX;
    let x = CpuStorage::BF16(all().map(bf16::from_bits).collect());
    for (bits, found) in all().zip(widened("probe_widen_bf16", &x, 1 << 16)) {
        assert!(same(found, bf16::from_bits(bits).to_f32()), "{bits:#x}: {found}");
    }
    let x = CpuStorage::F16(all().map(f16::from_bits).collect());
    for (bits, found) in all().zip(widened("probe_widen_f16", &x, 1 << 16)) {
        assert!(same(found, f16::from_bits(bits).to_f32()), "{bits:#x}: {found}");
    }
    let numbers = hard_to_round(|bits| bf16::from_bits(bits).to_f32());
    let found = narrowed("probe_narrow_bf16", &numbers, DType::BF16);
    for (x, found) in numbers.iter().zip(found) {
        assert!(same(found, bf16::from_f32(*x).to_f32()), "{x:e} ({:#x}): {found:e}", x.to_bits());
    }
    let numbers = hard_to_round(|bits| f16::from_bits(bits).to_f32());
    let found = narrowed("probe_narrow_f16", &numbers, DType::F16);
    for (x, found) in numbers.iter().zip(found) {
        assert!(same(found, f16::from_f32(*x).to_f32()), "{x:e} ({:#x}): {found:e}", x.to_bits());
    }
}

/// Whole numbers of at most eight bits, so that products and sums are exact in every order.
fn whole(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-128i16..=128)).map(f32::from).collect()
}

#[test]
fn mma_is_a_product() {
    let (a, b, d) = (whole(1, 256), whole(2, 128), whole(3, 128));
    let mut expected = d.clone();
    for (i, sum) in expected.iter_mut().enumerate() {
        let (row, column) = (i / 8, i % 8);
        *sum += (0..16).map(|k| a[row * 16 + k] * b[k * 8 + column]).sum::<f32>();
    }
    let types = [
        ("probe_mma_bf16", narrow_all(&a, true), narrow_all(&b, true)),
        ("probe_mma_f16", narrow_all(&a, false), narrow_all(&b, false)),
    ];
    for (kernel, a, b) in types {
        for from_shared in [0, 1] {
            // The kernel adds to what is there, so each order gets its own.
            let x = CpuStorage::F32(d.clone());
            let args = [at(&a), at(&b), at(&x), KernelArgument::U32(from_shared)];
            Probe::new(kernel, 32).run(&args).unwrap();
            let CpuStorage::F32(found) = x else { panic!("f32 stays f32") };
            assert_eq!(found, expected, "{kernel}, {from_shared}");
        }
    }
}

fn narrow_all(numbers: &[f32], brain: bool) -> CpuStorage {
    if brain {
        CpuStorage::BF16(numbers.iter().map(|&x| bf16::from_f32(x)).collect())
    } else {
        CpuStorage::F16(numbers.iter().map(|&x| f16::from_f32(x)).collect())
    }
}

#[test]
fn ldmatrix_gives_each_lane_its_numbers() {
    let x = CpuStorage::BF16((0..256).map(bf16::from_bits).collect());
    for transposed in [0, 1] {
        let probe = Probe::new("probe_ldmatrix", 32);
        let found =
            probe.writes(&[at(&x)], 128, DType::U32, &[KernelArgument::U32(transposed)]).unwrap();
        for (i, found) in found.to_vec1::<u32>().unwrap().into_iter().enumerate() {
            // PTX: thread l holds of row l / 4 the elements 2 (l % 4) and the next.
            let (lane, matrix) = (i as u32 / 4, i as u32 % 4);
            let number = |row: u32, column: u32| match transposed {
                0 => matrix * 64 + row * 8 + column,
                _ => matrix * 64 + column * 8 + row,
            };
            let (row, column) = (lane / 4, lane % 4 * 2);
            let expected = number(row, column) | number(row, column + 1) << 16;
            assert_eq!(found, expected, "lane {lane}, matrix {matrix}, transposed {transposed}");
        }
    }
}
