//! Caching allocator: reuses large freed blocks for later tensors of the same size.
//!
//! A training step allocates and frees some twenty gigabytes, in blocks of a few sizes that repeat in
//! every step. If freed blocks are returned to the system, the kernel zeroes each of their pages
//! again at the next page fault, which took a third of a step's time. [`CachingAllocator`] caches
//! freed blocks instead, without raising the peak: bytes in use plus cached bytes never exceed the
//! largest number of bytes that was in use at once, or one gibibyte.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Minimum size of cached blocks in bytes. Smaller ones are left to the inner allocator.
const MIN_CACHED: usize = 1 << 20;

/// Alignment of cached blocks: a cache line. Blocks with a larger alignment are not cached.
const ALIGN: usize = 64;

/// Bytes in use plus cached bytes below which freed blocks are always retained.
const RETAIN_FLOOR: usize = 1 << 30;

/// Maximum number of cached blocks.
const MAX_CACHED: usize = 512;

/// Caches freed blocks of at least [`MIN_CACHED`] bytes, which are allocated from the system. All
/// other allocations go to the inner allocator `A`.
#[derive(Debug)]
pub(crate) struct CachingAllocator<A> {
    inner: A,
    cache: Mutex<Cache>,
}

/// Cached blocks, the most recently freed last, and the bookkeeping.
#[derive(Debug)]
struct Cache {
    /// Address and size in bytes. An array, because an allocator cannot allocate.
    blocks: [(usize, usize); MAX_CACHED],
    count: usize,
    /// Cached bytes.
    bytes: usize,
    /// Bytes of large blocks in use.
    used: usize,
    /// Maximum of `used` so far.
    peak: usize,
    /// See [`RETAIN_FLOOR`]; smaller in tests.
    retain_floor: usize,
}

impl Cache {
    /// Removes and returns a block of exactly `bytes`, the most recently freed one.
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

    /// Removes the least recently freed block if `bytes` more would exceed the limit.
    fn evict(&mut self, bytes: usize) -> Option<(usize, usize)> {
        let fits = self.used + self.bytes + bytes <= self.peak.max(self.retain_floor);
        (self.count > 0 && !fits).then(|| self.remove(0))
    }

    /// Records that a block is now in use.
    fn in_use(&mut self, bytes: usize) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }

    /// Caches a freed block; false if the cache is full.
    fn put(&mut self, address: usize, bytes: usize) -> bool {
        self.used -= bytes;
        if self.count == MAX_CACHED {
            return false;
        }
        self.blocks[self.count] = (address, bytes);
        self.count += 1;
        self.bytes += bytes;
        true
    }
}

impl<A> CachingAllocator<A> {
    /// Wraps `inner`, which serves the small blocks.
    pub(crate) const fn new(inner: A) -> Self {
        Self::with_retain_floor(inner, RETAIN_FLOOR)
    }

    const fn with_retain_floor(inner: A, retain_floor: usize) -> Self {
        let blocks = [(0, 0); MAX_CACHED];
        let cache = Cache { blocks, count: 0, bytes: 0, used: 0, peak: 0, retain_floor };
        Self { inner, cache: Mutex::new(cache) }
    }

    /// Locks the cache. A poisoned lock is ignored, because no code that holds it can panic halfway
    /// through an update.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a cached block, or else one from `fresh`, evicting older blocks to respect the limit.
    fn block(&self, layout: Layout, fresh: impl FnOnce() -> *mut u8) -> Block {
        let mut cache = self.cache();
        if let Some(address) = cache.take(layout.size()) {
            cache.in_use(layout.size());
            return Block { address: std::ptr::with_exposed_provenance_mut(address), reused: true };
        }
        while let Some((address, bytes)) = cache.evict(layout.size()) {
            release(address, bytes);
        }
        let block = fresh();
        if !block.is_null() {
            cache.in_use(layout.size());
        }
        Block { address: block, reused: false }
    }
}

/// Layout in which a large block is actually allocated; `None` for blocks that are not cached. Sizes
/// are rounded up to multiples of an eighth of a power of two, so that similar sizes share blocks.
fn cached_layout(layout: Layout) -> Option<Layout> {
    if layout.size() < MIN_CACHED || layout.align() > ALIGN {
        return None;
    }
    let step = (layout.size().checked_next_power_of_two()? / 16).max(1);
    Layout::from_size_align(layout.size().checked_next_multiple_of(step)?, ALIGN).ok()
}

/// Returns a block to the system.
#[allow(unsafe_code)]
fn release(address: usize, bytes: usize) {
    // SAFETY: the block came from the system with this size and alignment (see `cached_layout`), was
    // freed by its owner, and is not in the cache.
    unsafe {
        let block = std::ptr::with_exposed_provenance_mut(address);
        System.dealloc(block, Layout::from_size_align_unchecked(bytes, ALIGN));
    }
}

/// A block for a new owner.
struct Block {
    address: *mut u8,
    /// It comes from the cache, so it is not zeroed.
    reused: bool,
}

// SAFETY: every block is allocated either from the system with the layout of `cached_layout`, or from
// the inner allocator with the caller's layout, and is returned to the same with the same layout, since
// `cached_layout` depends on the caller's layout only. A cached block has no owner until it is removed
// from the cache.
#[allow(unsafe_code)]
unsafe impl<A: GlobalAlloc> GlobalAlloc for CachingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match cached_layout(layout) {
            // SAFETY: the size is not zero, since it is at least the size that the caller gave.
            Some(real) => self.block(real, || unsafe { System.alloc(real) }).address,
            // SAFETY: the caller's contract.
            None => unsafe { self.inner.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(real) = cached_layout(layout) else {
            // SAFETY: the caller's contract.
            return unsafe { self.inner.alloc_zeroed(layout) };
        };
        // SAFETY: as in `alloc`; a cached block has `real.size()` bytes.
        unsafe {
            let Block { address: block, reused } = self.block(real, || System.alloc_zeroed(real));
            if reused {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match cached_layout(layout) {
            Some(real) => {
                let address = block.expose_provenance();
                if !self.cache().put(address, real.size()) {
                    release(address, real.size());
                }
            }
            // SAFETY: the block came from the inner allocator with this layout.
            None => unsafe { self.inner.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` is not zero and does not overflow with this
        // alignment. If either layout is large the contents are copied; if neither is, the block
        // belongs to the inner allocator with its own layout.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            match (cached_layout(layout), cached_layout(wanted)) {
                (None, None) => self.inner.realloc(block, layout, size),
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
    fn sizes_grow_by_at_most_an_eighth_and_small_blocks_are_not_cached() {
        assert_eq!(cached_layout(layout(MIN_CACHED - 1)), None);
        assert_eq!(cached_layout(Layout::from_size_align(MIN_CACHED, 4096).unwrap()), None);
        for size in [MIN_CACHED, MIN_CACHED + 1, 3 * MIN_CACHED + 5, 100 * MIN_CACHED - 1, 1 << 27]
        {
            let real = cached_layout(layout(size)).unwrap().size();
            assert!(real >= size && real - size <= size / 8, "{size} {real}");
            assert_eq!(cached_layout(layout(real)).unwrap().size(), real);
        }
        assert_eq!(cached_layout(layout(1 << 27)).unwrap().size(), 1 << 27);
        assert_eq!(cached_layout(layout(usize::MAX / 2 - 8)), None);
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_freed_block_is_reused_and_zeroed_on_request() {
        let memory = CachingAllocator::new(System);
        let wanted = layout(2 * MIN_CACHED);
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
    fn bytes_in_use_plus_cached_never_exceed_the_peak_in_use() {
        let memory = CachingAllocator::with_retain_floor(System, 0);
        let mut live: Vec<(*mut u8, Layout)> = Vec::new();
        let (mut state, mut used, mut peak) = (1u64, 0, 0);
        for _ in 0..2000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let pick = (state >> 33) as usize;
            // SAFETY: every block is freed once, with its layout; nothing is read.
            unsafe {
                if pick % 5 < 3 && live.len() < 40 {
                    let wanted = layout(MIN_CACHED + pick % (4 * MIN_CACHED));
                    used += cached_layout(wanted).unwrap().size();
                    live.push((memory.alloc(wanted), wanted));
                } else if !live.is_empty() {
                    let (block, of) = live.swap_remove(pick % live.len());
                    used -= cached_layout(of).unwrap().size();
                    memory.dealloc(block, of);
                }
            }
            peak = peak.max(used);
            let cache = memory.cache();
            assert_eq!((cache.used, cache.peak), (used, peak));
            assert!(cache.used + cache.bytes <= peak);
        }
        assert!(memory.cache().count > 0);
    }

    #[test]
    #[allow(unsafe_code)]
    fn realloc_preserves_the_contents() {
        let memory = CachingAllocator::new(System);
        // SAFETY: blocks are used within their size and freed once, with their layout.
        unsafe {
            let mut block = memory.alloc(layout(1000));
            let mut size = 1000;
            block.write_bytes(9, 1000);
            for next in [
                MIN_CACHED / 2,
                MIN_CACHED + 3,
                MIN_CACHED + 4,
                5 * MIN_CACHED,
                2 * MIN_CACHED,
                2000,
            ] {
                block = memory.realloc(block, layout(size), next);
                size = next;
                assert!((0..1000).all(|i| block.add(i).read() == 9));
            }
            memory.dealloc(block, layout(size));
        }
    }
}
