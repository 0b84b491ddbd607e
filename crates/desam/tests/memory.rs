//! Memory of a folder does not grow with its volumes, and a volume's slices cost their own voxels.
//! Alone in its program, since it counts the memory of the whole program.

#![allow(unsafe_code, reason = "an allocator cannot be written otherwise; it hands on to System")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod toy;

use desam::Quiet;
use desam::data::postprocess::{Holes, PostprocessConfig};
use desam::predict::{PredictOptions, SliceChoice, segment_folder};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, counting what all threads hold together.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

impl Counting {
    fn add(bytes: isize) {
        let now = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        MOST.fetch_max(now, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to `System` as it is; counting does not touch the memory and does
// not allocate. `alloc_zeroed` and `realloc` are the default ones, which come back here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size() as isize);
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::add(-(layout.size() as isize));
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

#[test]
fn memory_grows_with_neither_volumes_nor_slices() {
    let folder = tempfile::tempdir().unwrap();
    let segmenter = toy::segmenter(&toy::model(folder.path()));
    let postprocess =
        PostprocessConfig { largest_component: true, fill_holes: Some(Holes::Volume) };
    let options = PredictOptions::default()
        .with_postprocess(postprocess)
        .with_probability(true)
        .with_iou_map(true)
        .with_overlay(Some(SliceChoice::Middle))
        .with_json(true);
    let all = segmenter.with_options(options).unwrap();
    let plain = toy::segmenter(&folder.path().join("model.safetensors"));
    let side = 32;
    let peak = |segmenter: &_, sizes: &[[usize; 3]]| {
        let input = tempfile::tempdir_in(&folder).unwrap();
        let inputs: Vec<PathBuf> = toy::volumes(input.path(), sizes);
        let start = HELD.load(Ordering::Relaxed);
        MOST.store(start, Ordering::Relaxed);
        let out = input.path().join("out");
        let summary = segment_folder(segmenter, &inputs, &out, &Quiet).unwrap();
        assert_eq!((summary.done.len(), summary.failed.len()), (sizes.len(), 0));
        (MOST.load(Ordering::Relaxed) - start) as f64
    };
    let voxels = |slices: usize| (side * side * slices) as f64;
    for (segmenter, most) in [(&plain, 12.0), (&all, 30.0)] {
        // What is allocated once and stays is there before anything is counted.
        peak(segmenter, &[[side, side, 2]]);
        let short = peak(segmenter, &[[side, side, 10]]);
        let long = peak(segmenter, &[[side, side, 60]]);
        // A slice costs its voxels: f32 as it is read, and again in order or sorted for the
        // percentiles while it is prepared; and in each map, f32. Its pixels, 3 × 64² in f32, would
        // be 48 bytes a voxel more, its features, 4² of 3 × 96 + 64 channels, 22.
        let a_slice = (long - short) / voxels(50);
        assert!(a_slice < most, "{a_slice} bytes a voxel: {short} {long}");
        // Three volumes are in hand at once, however many there are. How much of what they need falls
        // together differs from run to run, at most by the 14 bytes a voxel that reading and
        // preparing take and writing is spared of; the masks alone of 30 more would be 30.
        let [few, many] = [6, 36].map(|n| peak(segmenter, &vec![[128, 128, 8]; n]));
        let a_voxel = (many - few) / (128 * 128 * 8) as f64;
        assert!(a_voxel < 20.0, "{a_voxel} bytes a voxel: {few} {many}");
        println!("{a_slice:.1} bytes a voxel more; 6 and 36 volumes: {few} and {many} bytes");
    }
}
