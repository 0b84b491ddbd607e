//! Output buffers without a separate zeroing pass, and slices of tensors.

use crate::ops::matmul::{Real, dense};
use candle_core::{Layout, Result, Storage, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// The f32 slice of a contiguous tensor on the CPU, from `Tensor::storage_and_layout`.
pub(crate) fn f32s<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => dense((storage, layout)),
        _ => bail!("expected a tensor on the CPU"),
    }
}

/// Builds a vector of `len` numbers in parallel chunks of `chunk` (the last may be shorter): `f` gets
/// each chunk's index and the chunk, zeroed. A chunk is zeroed just before it is computed, when it
/// enters the cache anyway; zeroing everything first would be one more pass over memory.
pub(crate) fn build<T: Real>(
    len: usize,
    chunk: usize,
    f: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let mut out = Vec::with_capacity(len);
    let chunks = spare(&mut out, len).par_chunks_mut(chunk.max(1)).enumerate();
    chunks.try_for_each(|(index, chunk)| f(index, zeroed(chunk)))?;
    // SAFETY: every chunk, and so each of the `len` numbers, has been zeroed at least.
    #[allow(unsafe_code)]
    unsafe {
        out.set_len(len);
    }
    Ok(out)
}

/// Builds two vectors together, in parallel parts: `parts` says how many numbers of each a part has, and
/// `f` gets the part's index and its two slices, zeroed.
///
/// # Errors
/// When `f` fails.
pub(crate) fn build_pair<T: Real>(
    parts: &[[usize; 2]],
    f: impl Fn(usize, [&mut [T]; 2]) -> Result<()> + Sync,
) -> Result<[Vec<T>; 2]> {
    let len = |which: usize| parts.iter().map(|p| p[which]).sum::<usize>();
    let (mut a, mut b) = (Vec::with_capacity(len(0)), Vec::with_capacity(len(1)));
    let (mut rest_a, mut rest_b) = (spare(&mut a, len(0)), spare(&mut b, len(1)));
    let mut pieces = Vec::with_capacity(parts.len());
    for [of_a, of_b] in parts {
        pieces.push((cut(&mut rest_a, *of_a), cut(&mut rest_b, *of_b)));
    }
    let pieces = pieces.into_par_iter().enumerate();
    pieces.try_for_each(|(index, (a, b))| f(index, [zeroed(a), zeroed(b)]))?;
    // SAFETY: the pieces cover both, and each has been zeroed at least.
    #[allow(unsafe_code)]
    unsafe {
        a.set_len(len(0));
        b.set_len(len(1));
    }
    Ok([a, b])
}

/// A vector of small pieces, several of which one task computes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pieces {
    /// Numbers in all.
    pub(crate) len: usize,
    /// Numbers of a piece.
    pub(crate) piece: usize,
}

/// Builds a vector by `tasks` parallel tasks, piece `i` by task `task_of(i)`: `f` gets each task's index
/// and its pieces in rising order, zeroed.
pub(crate) fn build_pieces<T: Real>(
    Pieces { len, piece }: Pieces,
    tasks: usize,
    task_of: impl Fn(usize) -> usize,
    f: impl Fn(usize, &mut [&mut [T]]) + Sync,
) -> Vec<T> {
    let mut out = Vec::with_capacity(len);
    let mut of_tasks: Vec<Vec<&mut [MaybeUninit<T>]>> = (0..tasks).map(|_| Vec::new()).collect();
    for (index, piece) in spare(&mut out, len).chunks_mut(piece.max(1)).enumerate() {
        of_tasks[task_of(index)].push(piece);
    }
    of_tasks.into_par_iter().enumerate().for_each(|(task, pieces)| {
        let mut pieces: Vec<&mut [T]> = pieces.into_iter().map(zeroed).collect();
        f(task, &mut pieces);
    });
    // SAFETY: every piece belongs to one task, which has zeroed it at least.
    #[allow(unsafe_code)]
    unsafe {
        out.set_len(len);
    }
    out
}

/// Splits the first `len` numbers off `rest`.
fn cut<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (piece, left) = std::mem::take(rest).split_at_mut(len);
    *rest = left;
    piece
}

/// Splits `total` into parts of at most `most`, as (start, length).
pub(crate) fn parts(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..total).step_by(most.max(1)).map(move |start| (start, most.max(1).min(total - start)))
}

/// Sum of blocks of `len` numbers, in their order: a reduction whose bits do not depend on the threads.
pub(crate) fn ordered_sum(blocks: &[f32], len: usize) -> Vec<f32> {
    let mut total = vec![0f32; len];
    for block in blocks.chunks_exact(len.max(1)) {
        total.iter_mut().zip(block).for_each(|(t, v)| *t += v);
    }
    total
}

fn spare<T>(out: &mut Vec<T>, len: usize) -> &mut [MaybeUninit<T>] {
    &mut out.spare_capacity_mut()[..len]
}

fn zeroed<T: Real>(chunk: &mut [MaybeUninit<T>]) -> &mut [T] {
    chunk.fill(MaybeUninit::new(T::ZERO));
    // SAFETY: all of it has just been written; `MaybeUninit<T>` has the layout of `T`.
    #[allow(unsafe_code)]
    unsafe {
        &mut *(std::ptr::from_mut(chunk) as *mut [T])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_zeroed_and_in_order() {
        let made = build(10, 4, |index, chunk| {
            assert!(chunk.iter().all(|v| *v == 0.0));
            chunk.fill(index as f32);
            Ok(())
        });
        assert_eq!(made.unwrap(), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
        assert!(build::<f32>(0, 0, |_, _| Ok(())).unwrap().is_empty());
        assert!(build::<f32>(3, 1, |_, _| bail!("no")).is_err());
    }

    #[test]
    fn pieces_go_to_their_tasks_in_order() {
        let pieces = Pieces { len: 7, piece: 2 };
        let made = build_pieces(
            pieces,
            2,
            |piece| piece % 2,
            |task, pieces| {
                for (i, piece) in pieces.iter_mut().enumerate() {
                    assert!(piece.iter().all(|v| *v == 0.0));
                    piece.fill((10 * task + i) as f32);
                }
            },
        );
        assert_eq!(made, [0.0, 0.0, 10.0, 10.0, 1.0, 1.0, 11.0]);
        let none = Pieces { len: 0, piece: 3 };
        assert!(build_pieces::<f32>(none, 0, |_| 0, |_, _| {}).is_empty());
    }

    #[test]
    fn pairs_are_made_part_by_part() {
        let [a, b] = build_pair(&[[2, 1], [0, 0], [1, 2]], |index, [a, b]| {
            a.fill(index as f32);
            b.fill(a.len() as f32);
            Ok(())
        })
        .unwrap();
        assert_eq!((a, b), (vec![0.0, 0.0, 2.0], vec![2.0, 1.0, 1.0]));
        assert!(build_pair::<f32>(&[[1, 1]], |_, _| bail!("no")).is_err());
        assert_eq!(parts(5, 2).collect::<Vec<_>>(), [(0, 2), (2, 2), (4, 1)]);
        assert_eq!(parts(0, 2).count(), 0);
    }
}
