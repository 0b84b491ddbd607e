//! An allocator that keeps large blocks for the next tensor of the same size.
//!
//! A training step allocates and frees some twenty gigabytes, in blocks of a few sizes that come
//! again at every step. Handed back to the system, each of their pages is cleared anew when it is
//! next touched: a third of a step's time. [`KeepLarge`] keeps freed blocks, but never more than
//! the process once had in use: what is in use and what is kept together stay below that peak, or
//! below a gigabyte.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smallest block that is kept, bytes. Smaller ones are the other allocator's.
const LARGE: usize = 1 << 20;

/// Alignment that blocks are kept with: a cache line. Those with a larger one are not kept.
const ALIGN: usize = 64;

/// Bytes in use and kept that are no matter.
const FREELY: usize = 1 << 30;

/// Blocks that are kept at once, at most.
const MOST: usize = 512;

/// Keeps freed blocks of a megabyte and more, which come from the system and go back to it at once
/// when they are not kept; everything else is `A`'s.
#[derive(Debug)]
pub(crate) struct KeepLarge<A> {
    small: A,
    kept: Mutex<Kept>,
}

/// Freed blocks, the latest last, and the books.
#[derive(Debug)]
struct Kept {
    /// Address and bytes. An array, since an allocator cannot allocate.
    blocks: [(usize, usize); MOST],
    count: usize,
    /// Bytes kept.
    bytes: usize,
    /// Bytes of large blocks in use, now and at most.
    used: usize,
    peak: usize,
    /// Bytes in use and kept that are no matter.
    freely: usize,
}

impl Kept {
    /// A block of exactly `bytes`, the one freed last.
    fn take(&mut self, bytes: usize) -> Option<usize> {
        let found = self.blocks[..self.count].iter().rposition(|(_, size)| *size == bytes)?;
        Some(self.remove(found).0)
    }

    fn remove(&mut self, index: usize) -> (usize, usize) {
        let block = self.blocks[index];
        self.blocks.copy_within(index + 1..self.count, index);
        self.count -= 1;
        self.bytes -= block.1;
        block
    }

    /// The block that was freed first, as long as room is needed for `bytes` more.
    fn make_room(&mut self, bytes: usize) -> Option<(usize, usize)> {
        let fits = self.used + self.bytes + bytes <= self.peak.max(self.freely);
        (self.count > 0 && !fits).then(|| self.remove(0))
    }

    fn in_use(&mut self, bytes: usize) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }

    /// Whether the block is now kept.
    fn put(&mut self, address: usize, bytes: usize) -> bool {
        self.used -= bytes;
        if self.count == MOST {
            return false;
        }
        self.blocks[self.count] = (address, bytes);
        self.count += 1;
        self.bytes += bytes;
        true
    }
}

impl<A> KeepLarge<A> {
    /// With `small` for what is not large.
    pub(crate) const fn new(small: A) -> Self {
        Self::freely(small, FREELY)
    }

    const fn freely(small: A, freely: usize) -> Self {
        let blocks = [(0, 0); MOST];
        let kept = Kept { blocks, count: 0, bytes: 0, used: 0, peak: 0, freely };
        Self { small, kept: Mutex::new(kept) }
    }

    /// The books are whole between two statements: a panic cannot leave them half written.
    fn books(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layout that a large block really has: its size in steps of an eighth of a power of two, so
/// that sizes nearly alike share blocks; `None` for what is not kept.
fn large(layout: Layout) -> Option<Layout> {
    if layout.size() < LARGE || layout.align() > ALIGN {
        return None;
    }
    let step = (layout.size().checked_next_power_of_two()? / 16).max(1);
    Layout::from_size_align(layout.size().checked_next_multiple_of(step)?, ALIGN).ok()
}

impl<A> KeepLarge<A> {
    /// A kept block, or one of the system's made by `fresh`, for which older blocks go.
    fn block(&self, layout: Layout, fresh: impl FnOnce() -> *mut u8) -> Found {
        let mut books = self.books();
        if let Some(address) = books.take(layout.size()) {
            books.in_use(layout.size());
            return Found { block: std::ptr::with_exposed_provenance_mut(address), kept: true };
        }
        while let Some((address, bytes)) = books.make_room(layout.size()) {
            hand_back(address, bytes);
        }
        let block = fresh();
        if !block.is_null() {
            books.in_use(layout.size());
        }
        Found { block, kept: false }
    }
}

#[allow(unsafe_code)]
fn hand_back(address: usize, bytes: usize) {
    // SAFETY: the block came from the system with this size and alignment (see `large`), was freed
    // by its owner, and is not on the books.
    unsafe {
        let block = std::ptr::with_exposed_provenance_mut(address);
        System.dealloc(block, Layout::from_size_align_unchecked(bytes, ALIGN));
    }
}

struct Found {
    block: *mut u8,
    /// Whether it holds what its last owner left in it.
    kept: bool,
}

// SAFETY: every block comes from the system with the layout that `large` gives, or from the other
// allocator with the caller's own, and goes back to the same with the same, since `large` depends
// on the caller's layout alone. A kept block belongs to nobody until it is taken off the books.
#[allow(unsafe_code)]
unsafe impl<A: GlobalAlloc> GlobalAlloc for KeepLarge<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match large(layout) {
            // SAFETY: the size is not zero, as the caller promised of the smaller one.
            Some(real) => self.block(real, || unsafe { System.alloc(real) }).block,
            // SAFETY: the caller's promise.
            None => unsafe { self.small.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(real) = large(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { self.small.alloc_zeroed(layout) };
        };
        // SAFETY: as in `alloc`; a kept block has `real.size()` bytes.
        unsafe {
            let Found { block, kept } = self.block(real, || System.alloc_zeroed(real));
            if kept {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match large(layout) {
            Some(real) => {
                let address = block.expose_provenance();
                if !self.books().put(address, real.size()) {
                    hand_back(address, real.size());
                }
            }
            // SAFETY: the block came from the other allocator with this layout.
            None => unsafe { self.small.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` is not zero and does not overflow with this
        // alignment; the block is moved by hand where either side is large, and belongs to the
        // other allocator with its own layout where neither is.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            match (large(layout), large(wanted)) {
                (None, None) => self.small.realloc(block, layout, size),
                (Some(old), Some(new)) if old == new => block,
                _ => {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        block.copy_to_nonoverlapping(moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    #[test]
    fn sizes_are_rounded_by_an_eighth_at_most_and_small_ones_left_alone() {
        assert_eq!(large(layout(LARGE - 1)), None);
        assert_eq!(large(Layout::from_size_align(LARGE, 4096).unwrap()), None);
        for size in [LARGE, LARGE + 1, 3 * LARGE + 5, 100 * LARGE - 1, 1 << 27] {
            let real = large(layout(size)).unwrap().size();
            assert!(real >= size && real - size <= size / 8, "{size} {real}");
            assert_eq!(large(layout(real)).unwrap().size(), real);
        }
        assert_eq!(large(layout(1 << 27)).unwrap().size(), 1 << 27);
        assert_eq!(large(layout(usize::MAX / 2 - 8)), None);
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_freed_block_serves_the_next_of_its_size_and_comes_clean_when_asked() {
        let memory = KeepLarge::new(System);
        let wanted = layout(2 * LARGE);
        // SAFETY: blocks are used within their size and freed once, with their layout.
        unsafe {
            let first = memory.alloc(wanted);
            first.write_bytes(7, wanted.size());
            memory.dealloc(first, wanted);
            let again = memory.alloc_zeroed(wanted);
            assert_eq!(first, again);
            assert!((0..wanted.size()).all(|i| again.add(i).read() == 0));
            memory.dealloc(again, wanted);
        }
    }

    #[test]
    #[allow(unsafe_code)]
    fn kept_and_used_together_never_exceed_what_was_once_in_use() {
        let memory = KeepLarge::freely(System, 0);
        let mut live: Vec<(*mut u8, Layout)> = Vec::new();
        let (mut state, mut used, mut peak) = (1u64, 0, 0);
        for _ in 0..2000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let pick = (state >> 33) as usize;
            // SAFETY: every block is freed once, with its layout; nothing is read.
            unsafe {
                if pick % 5 < 3 && live.len() < 40 {
                    let wanted = layout(LARGE + pick % (4 * LARGE));
                    used += large(wanted).unwrap().size();
                    live.push((memory.alloc(wanted), wanted));
                } else if !live.is_empty() {
                    let (block, of) = live.swap_remove(pick % live.len());
                    used -= large(of).unwrap().size();
                    memory.dealloc(block, of);
                }
            }
            peak = peak.max(used);
            let books = memory.books();
            assert_eq!((books.used, books.peak), (used, peak));
            assert!(books.used + books.bytes <= peak);
        }
        assert!(memory.books().count > 0);
    }

    #[test]
    #[allow(unsafe_code)]
    fn growing_and_shrinking_keep_what_is_written() {
        let memory = KeepLarge::new(System);
        // SAFETY: blocks are used within their size and freed once, with their layout.
        unsafe {
            let mut block = memory.alloc(layout(1000));
            let mut size = 1000;
            block.write_bytes(9, 1000);
            for next in [LARGE / 2, LARGE + 3, LARGE + 4, 5 * LARGE, 2 * LARGE, 2000] {
                block = memory.realloc(block, layout(size), next);
                size = next;
                assert!((0..1000).all(|i| block.add(i).read() == 9));
            }
            memory.dealloc(block, layout(size));
        }
    }
}
