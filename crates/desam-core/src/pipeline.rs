//! Pipelines: reading, computing and writing at the same time, in order.
//!
//! [`prefetch`] reads items ahead of the work on them (a double buffer with `ahead = 1`);
//! [`three_stage`] overlaps reading, computing and writing. Both keep the order of the items,
//! return the first error in that order, propagate panics, hold a bounded number of items in memory,
//! and have joined their threads by the time they return.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread::{ScopedJoinHandle, scope};

/// Runs `work` on the items `read(0)`, `read(1)`, … `read(count - 1)`, in this order, while a
/// background thread reads ahead.
///
/// Up to `ahead` items are read or being read beyond the one that `work` holds, so at most
/// `ahead + 1` are in memory. With `ahead = 0` there is no thread. The results are the same either
/// way.
///
/// ```
/// use desam_core::pipeline::prefetch;
///
/// let mut sum = 0;
/// prefetch(4, 1, |i| Ok::<_, std::io::Error>(i * i), |square| {
///     sum += square;
///     Ok(())
/// })?;
/// assert_eq!(sum, 0 + 1 + 4 + 9);
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
/// The first of `read` or `work`, which ends both. An item that cannot be read fails when its turn
/// comes: the items before it are worked on first.
///
/// # Panics
/// When `read` or `work` does, with its payload.
pub fn prefetch<T: Send, E: Send>(
    count: usize,
    ahead: usize,
    read: impl Fn(usize) -> Result<T, E> + Sync,
    mut work: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    if ahead == 0 {
        return (0..count).try_for_each(|index| work(read(index)?));
    }
    scope(|scope| {
        // The reader blocks in `send` with one more item, hence the `- 1`.
        let (sender, receiver) = sync_channel(ahead - 1);
        let read = &read;
        let reader = scope.spawn(move || {
            for index in 0..count {
                let item = read(index);
                let failed = item.is_err();
                // `send` fails once the work has failed and dropped the receiver.
                if sender.send(item).is_err() || failed {
                    return;
                }
            }
        });
        for item in receiver {
            work(item?)?;
        }
        // The channel closed without an error: the reader has finished, or panicked.
        join(reader);
        Ok(())
    })
}

/// Runs every item through `read`, `compute` and `write` in order, the three stages at the same
/// time: item 3 is read while item 2 is computed and item 1 is written.
///
/// `read` and `write` have a thread each; `compute` stays on the caller's. The stages are connected
/// without a buffer, so at most three items are in memory at a time.
///
/// ```
/// use desam_core::pipeline::three_stage;
///
/// let mut written = Vec::new();
/// three_stage(
///     ["1", "2", "3"],
///     |text| text.parse::<u32>(),
///     |number| Ok(number * 10),
///     |number| {
///         written.push(number);
///         Ok(())
///     },
/// )?;
/// assert_eq!(written, [10, 20, 30]);
/// # Ok::<_, std::num::ParseIntError>(())
/// ```
///
/// # Errors
/// The first in the order of the items, from whichever stage. The items before it are written, none
/// after it.
///
/// # Panics
/// When a stage does, with its payload.
pub fn three_stage<I, R, C, E>(
    items: impl IntoIterator<Item = I, IntoIter: Send>,
    mut read: impl FnMut(I) -> Result<R, E> + Send,
    mut compute: impl FnMut(R) -> Result<C, E>,
    mut write: impl FnMut(C) -> Result<(), E> + Send,
) -> Result<(), E>
where
    R: Send,
    C: Send,
    E: Send,
{
    let items = items.into_iter();
    scope(|scope| {
        // Capacity 0: a stage keeps its item until the next one takes it. Errors travel through the
        // channels like items, so that the writer meets them in order.
        let (to_compute, from_reader) = sync_channel(0);
        let (to_write, from_compute) = sync_channel(0);
        let reader = scope.spawn(move || {
            for item in items {
                let item = read(item);
                let failed = item.is_err();
                if to_compute.send(item).is_err() || failed {
                    return;
                }
            }
        });
        let writer = scope.spawn(move || from_compute.into_iter().try_for_each(|c| write(c?)));
        for item in from_reader {
            let item = item.and_then(&mut compute);
            let failed = item.is_err();
            // `send` fails once the writer has failed and dropped its receiver. Leaving the loop
            // drops ours, which ends the reader.
            if to_write.send(item).is_err() || failed {
                break;
            }
        }
        drop(to_write);
        let written = join(writer);
        join(reader);
        written
    })
}

/// Joins a thread and propagates its panic.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests;
