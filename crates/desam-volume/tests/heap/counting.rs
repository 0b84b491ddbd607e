//! An allocator that counts.

#![allow(unsafe_code, reason = "an allocator cannot be written otherwise; it hands on to System")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes held by this thread's work since [`CountingHeap::start`], and the most of them.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counting what each thread holds.
#[derive(Debug)]
pub(crate) struct CountingHeap;

impl CountingHeap {
    pub(crate) const fn new() -> Self {
        Self
    }

    /// Counts from here.
    pub(crate) fn start(&self) {
        HELD.with(|held| held.set((0, 0)));
    }

    /// The most bytes held at once since then.
    pub(crate) fn peak(&self) -> usize {
        usize::try_from(HELD.with(Cell::get).1).unwrap_or(0)
    }

    fn add(bytes: isize) {
        // A thread that ends has nothing left to count with.
        let _ = HELD.try_with(|held| {
            let (now, most) = held.get();
            held.set((now + bytes, most.max(now + bytes)));
        });
    }
}

// SAFETY: every call is handed to `System` as it is; counting does not touch the memory and does
// not allocate.
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size() as isize);
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size() as isize);
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::add(-(layout.size() as isize));
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may be there at once.
        Self::add(size as isize);
        // SAFETY: the caller's promises are `System`'s.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        Self::add(-(layout.size() as isize));
        moved
    }
}
