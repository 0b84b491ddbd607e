//! Batches are read while the step before computes.

use crate::{Error, Result};
use std::sync::mpsc::sync_channel;

/// Hands `work` what `read` gives for 0, 1, … up to `count`, in this order. With `ahead` above 0 a
/// thread of its own reads: up to so many are ready, or being read, beyond the one at work. What is
/// read is the same either way.
///
/// The first error ends it, of whichever kind; a reading that fails is told when its turn has come.
/// The thread has ended when this returns, by an error or a panic too.
pub(crate) fn prefetch<T: Send>(
    count: usize,
    ahead: usize,
    read: impl Fn(usize) -> Result<T> + Sync,
    mut work: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    if ahead == 0 {
        return (0..count).try_for_each(|index| work(read(index)?));
    }
    std::thread::scope(|scope| {
        // One more is in the reader's hand.
        let (give, take) = sync_channel(ahead - 1);
        let read = &read;
        let reader = scope.spawn(move || {
            for index in 0..count {
                let item = read(index);
                let failed = item.is_err();
                // Nobody takes it any more where the work has failed.
                if give.send(item).is_err() || failed {
                    return;
                }
            }
        });
        for _ in 0..count {
            let Ok(item) = take.recv() else {
                return match reader.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => Err(Error::Invalid("the reader of slices ended early".into())),
                };
            };
            work(item?)?;
        }
        Ok(())
    })
}

/// Threads that read a batch at once.
const READERS: usize = 8;

/// The slices of a batch in order, read one after the other or by some threads at once. These are not
/// rayon's: whoever waits for them may be one of those.
pub(crate) fn read_batch<T: Send>(
    indices: &[usize],
    at_once: bool,
    read: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let some = |part: &[usize]| part.iter().map(|index| read(*index)).collect::<Result<Vec<T>>>();
    if !at_once {
        return some(indices);
    }
    std::thread::scope(|scope| {
        let share = indices.len().div_ceil(READERS).max(1);
        let readers: Vec<_> =
            indices.chunks(share).map(|part| scope.spawn(move || some(part))).collect();
        let mut all = Vec::with_capacity(indices.len());
        for reader in readers {
            match reader.join() {
                Ok(part) => all.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn broken(what: &str) -> Error {
        Error::Invalid(what.to_owned())
    }

    #[test]
    fn everything_comes_once_in_order_and_no_more_is_read_than_was_allowed() {
        for ahead in [0, 1, 2, 5, 40] {
            let (read, mut seen) = (AtomicUsize::new(0), Vec::new());
            let reading = |index| {
                read.fetch_add(1, Ordering::SeqCst);
                Ok(index * index)
            };
            let work = |square| {
                // What is at work counts too.
                let begun = read.load(Ordering::SeqCst);
                assert!(begun <= seen.len() + 1 + ahead, "{begun} at {} of {ahead}", seen.len());
                std::thread::yield_now();
                seen.push(square);
                Ok(())
            };
            prefetch(23, ahead, reading, work).unwrap();
            assert_eq!(seen, (0..23).map(|i| i * i).collect::<Vec<_>>());
            prefetch(0, ahead, |_| Ok(()), |()| Err(broken("never"))).unwrap();
        }
    }

    #[test]
    fn an_error_waits_for_its_turn_and_ends_both_sides() {
        for ahead in [0, 1, 3] {
            let mut worked = 0;
            let read = |index| if index < 4 { Ok(index) } else { Err(broken("slice 4")) };
            let error = prefetch(9, ahead, read, |_| {
                worked += 1;
                Ok(())
            });
            assert!(error.unwrap_err().to_string().contains("slice 4"));
            assert_eq!(worked, 4, "ahead {ahead}");
            let error =
                prefetch(900, ahead, Ok, |i| if i < 2 { Ok(()) } else { Err(broken("work")) });
            assert!(error.unwrap_err().to_string().contains("work"));
        }
    }

    #[test]
    fn a_panic_on_either_side_ends_both() {
        for ahead in [0, 1, 3] {
            let read = |index| {
                assert!(index < 3, "in reading");
                Ok(index)
            };
            let whole = || prefetch(9, ahead, read, |_| Ok(()));
            assert!(catch_unwind(AssertUnwindSafe(whole)).is_err());
            let whole = || prefetch(9, ahead, Ok, |_| panic!("at work"));
            assert!(catch_unwind(AssertUnwindSafe(whole)).is_err());
        }
    }

    #[test]
    fn a_batch_is_in_order_however_it_is_read() {
        for count in [0, 1, 7, 8, 9, 16, 23] {
            let indices: Vec<usize> = (0..count).map(|i| i * 5 % 23).collect();
            for at_once in [false, true] {
                assert_eq!(read_batch(&indices, at_once, Ok).unwrap(), indices);
                let few = |i| if i < 10 { Ok(i) } else { Err(broken(&format!("slice {i}"))) };
                match (read_batch(&indices, at_once, few), indices.iter().find(|i| **i >= 10)) {
                    (Ok(all), None) => assert_eq!(all, indices),
                    (Err(e), Some(i)) => assert_eq!(e.to_string(), format!("slice {i}")),
                    (found, first) => panic!("{found:?} {first:?}"),
                }
            }
        }
    }
}
