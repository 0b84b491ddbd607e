//! New tensors without a pass that clears them, and the numbers of old ones.

use crate::ops::matmul::{Real, dense};
use candle_core::{Layout, Result, Storage, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// The f32 numbers of a contiguous tensor on the CPU, from `Tensor::storage_and_layout`.
pub(crate) fn f32s<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => dense((storage, layout)),
        _ => bail!("expected a tensor on the CPU"),
    }
}

/// `len` numbers, made in chunks of `chunk` (the last may be shorter): `f` gets each chunk's index
/// and the chunk, which holds zeros. A chunk is cleared just before it is made, while it comes to
/// the cache anyway; clearing the whole first would walk through memory once more.
pub(crate) fn build<T: Real>(
    len: usize,
    chunk: usize,
    f: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let mut out = Vec::with_capacity(len);
    let chunks = spare(&mut out, len).par_chunks_mut(chunk.max(1)).enumerate();
    chunks.try_for_each(|(index, chunk)| f(index, cleared(chunk)))?;
    // SAFETY: every chunk, and so each of the `len` numbers, has been cleared at least.
    #[allow(unsafe_code)]
    unsafe {
        out.set_len(len);
    }
    Ok(out)
}

/// Two results made together: of `lens` numbers, in as many chunks, of `chunks` numbers each.
///
/// # Errors
/// When the two are not as many chunks, or `f` fails.
pub(crate) fn build_pair<T: Real>(
    lens: [usize; 2],
    chunks: [usize; 2],
    f: impl Fn(usize, [&mut [T]; 2]) -> Result<()> + Sync,
) -> Result<[Vec<T>; 2]> {
    let count = |i: usize| lens[i].div_ceil(chunks[i].max(1));
    if count(0) != count(1) {
        bail!("{lens:?} numbers in chunks of {chunks:?} are not as many chunks");
    }
    let (mut a, mut b) = (Vec::with_capacity(lens[0]), Vec::with_capacity(lens[1]));
    let of_a = spare(&mut a, lens[0]).par_chunks_mut(chunks[0].max(1));
    let of_b = spare(&mut b, lens[1]).par_chunks_mut(chunks[1].max(1));
    let both = of_a.zip(of_b).enumerate();
    both.try_for_each(|(index, (a, b))| f(index, [cleared(a), cleared(b)]))?;
    // SAFETY: as in `build`; there are as many chunks of one as of the other, so none was left out.
    #[allow(unsafe_code)]
    unsafe {
        a.set_len(lens[0]);
        b.set_len(lens[1]);
    }
    Ok([a, b])
}

/// A result that is cut into small pieces, several of which one task makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pieces {
    /// Numbers in all.
    pub(crate) len: usize,
    /// Numbers of a piece.
    pub(crate) piece: usize,
}

/// Numbers made by `tasks` tasks, piece `i` by task `task_of(i)`: `f` gets each task's index and its
/// pieces in rising order, which hold zeros.
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
        let mut pieces: Vec<&mut [T]> = pieces.into_iter().map(cleared).collect();
        f(task, &mut pieces);
    });
    // SAFETY: every piece belongs to one task, which has cleared it at least.
    #[allow(unsafe_code)]
    unsafe {
        out.set_len(len);
    }
    out
}

fn spare<T>(out: &mut Vec<T>, len: usize) -> &mut [MaybeUninit<T>] {
    &mut out.spare_capacity_mut()[..len]
}

fn cleared<T: Real>(chunk: &mut [MaybeUninit<T>]) -> &mut [T] {
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
    fn chunks_come_cleared_and_in_place() {
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
    fn pairs_have_as_many_chunks_or_are_refused() {
        let [a, b] = build_pair([5, 3], [2, 1], |index, [a, b]| {
            a.fill(index as f32);
            b.fill(a.len() as f32);
            Ok(())
        })
        .unwrap();
        assert_eq!((a, b), (vec![0.0, 0.0, 1.0, 1.0, 2.0], vec![2.0, 2.0, 1.0]));
        assert!(build_pair::<f32>([5, 3], [2, 2], |_, _| Ok(())).is_err());
    }
}
