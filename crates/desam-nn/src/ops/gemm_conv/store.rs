//! Where a tile's sums go.

use super::operands::{Spot, Target};
use pulp::Simd;
use std::mem::MaybeUninit;

/// Takes the sums of a tile.
pub(crate) trait Place {
    /// Rows that are wanted.
    fn rows(&self) -> usize;

    /// Writes a tile's rows, the first of which is row `first` of all.
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; V]; R],
        first: usize,
        spots: &[Spot],
    );
}

impl Place for Target<'_> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; V]; R],
        first: usize,
        spots: &[Spot],
    ) {
        let wanted = self.rows.saturating_sub(first).min(R);
        let farthest = spots.iter().fold(0, |far, spot| far.max(spot.to));
        let end = (first + R - 1) * self.stride + farthest + S::F32_LANES;
        let whole = spots.len() == V && spots.iter().all(|spot| spot.len == S::F32_LANES);
        if wanted == R && whole && end <= self.values.len() {
            // Without a loop that might end early the sums go from registers to where they belong.
            let mut places = [0; V];
            places.iter_mut().zip(spots).for_each(|(place, spot)| *place = spot.to);
            for (r, sums) in sums.iter().enumerate() {
                for (sum, place) in sums.iter().zip(places) {
                    let to = (first + r) * self.stride + place;
                    // SAFETY: a whole vector at the farthest row and spot lies inside the target.
                    #[allow(unsafe_code)]
                    unsafe {
                        let to = self.values.as_mut_ptr().add(to).cast::<S::f32s>();
                        let sum = match self.add {
                            true => simd.add_f32s(*sum, to.read_unaligned()),
                            false => *sum,
                        };
                        to.write_unaligned(sum);
                    }
                }
            }
            return;
        }
        for (r, sums) in sums.iter().enumerate().take(wanted) {
            let row = &mut self.values[(first + r) * self.stride..];
            for (sum, spot) in sums.iter().zip(spots) {
                let to = &mut row[spot.to..spot.to + spot.len];
                // Whole vectors are much faster than parts of one.
                if let [to] = S::as_mut_simd_f32s(to).0 {
                    *to = if self.add { simd.add_f32s(*sum, *to) } else { *sum };
                    continue;
                }
                let sum = match self.add {
                    true => simd.add_f32s(*sum, simd.partial_load_f32s(to)),
                    false => *sum,
                };
                simd.partial_store_f32s(to, sum);
            }
        }
    }
}

/// Rows that lie apart, all of one length, and may be new: they hold numbers only where `add` says so.
#[derive(Debug)]
pub(super) struct Parts<'a, 'b> {
    pub(super) rows: &'a mut [&'b mut [MaybeUninit<f32>]],
    /// Sums of earlier depths that are added first, rows of the same length without gaps; or nothing.
    pub(super) earlier: &'a [f32],
    /// Whether what is there is added as well.
    pub(super) add: bool,
}

impl Place for Parts<'_, '_> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows.len()
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        sums: [[S::f32s; V]; R],
        first: usize,
        spots: &[Spot],
    ) {
        for (r, sums) in sums.iter().enumerate() {
            // No loop that might end early, so that the sums stay in registers.
            let Some(row) = self.rows.get_mut(first + r) else {
                continue;
            };
            let begin = (first + r) * row.len();
            let earlier = self.earlier.get(begin..begin + row.len());
            for (sum, spot) in sums.iter().zip(spots) {
                let range = spot.to..spot.to + spot.len;
                let sum = match earlier {
                    Some(earlier) => simd.add_f32s(*sum, load(simd, &earlier[range.clone()])),
                    None => *sum,
                };
                let to = &mut row[range];
                let sum = match self.add {
                    true => {
                        // SAFETY: `add` says that the rows hold numbers.
                        #[allow(unsafe_code)]
                        let there = unsafe {
                            std::slice::from_raw_parts(to.as_ptr().cast::<f32>(), to.len())
                        };
                        simd.add_f32s(sum, load(simd, there))
                    }
                    false => sum,
                };
                write(simd, sum, to);
            }
        }
    }
}

/// A vector of them, zeros behind.
#[inline(always)]
fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    // Whole vectors are much faster than parts of one.
    match S::as_simd_f32s(from).0 {
        [whole] => *whole,
        _ => simd.partial_load_f32s(from),
    }
}

/// The first numbers of a vector, as many as there is room for.
#[inline(always)]
fn write<S: Simd>(simd: S, sum: S::f32s, to: &mut [MaybeUninit<f32>]) {
    if to.len() == S::F32_LANES {
        // SAFETY: there is room for a whole vector, which may lie anywhere.
        #[allow(unsafe_code)]
        unsafe {
            to.as_mut_ptr().cast::<S::f32s>().write_unaligned(sum);
        }
        return;
    }
    let mut numbers = [0.0; BEYOND];
    let len = to.len().min(BEYOND);
    simd.partial_store_f32s(&mut numbers[..len], sum);
    to.iter_mut().zip(numbers).for_each(|(to, number)| _ = to.write(number));
}

/// More than any machine's vector.
const BEYOND: usize = 16;
