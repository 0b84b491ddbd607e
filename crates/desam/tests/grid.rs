//! Memory of a grid does not grow with its points. Alone in its program, since it counts the memory
//! that a thread holds.

#![allow(unsafe_code, reason = "an allocator cannot be written otherwise; it hands on to System")]

use desam::candle::{Device, Tensor};
use desam::decoder::DecoderConfig;
use desam::encoder::{PromptEncoderConfig, VitConfig};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::predict::SlicePredictor;
use desam::types::ImageFeatures;
use desam::{Mode, PromptingConfig};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread holds, and the most of them.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counting what each thread holds.
struct Counting;

impl Counting {
    fn add(bytes: isize) {
        // A thread that ends has nothing left to count with.
        let _ = HELD.try_with(|held| {
            let (now, most) = held.get();
            held.set((now + bytes, most.max(now + bytes)));
        });
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
fn memory_does_not_grow_with_the_points() {
    let spec = VitConfig { input_side: 128, ..VitConfig::tiny() }.spec();
    let options = LoadOptions::seeded(1);
    let (config, sizes) = (DecoderConfig::tiny(&spec), PromptEncoderConfig::for_encoder(&spec));
    let decoder = load(Tensors::new(), &options, |vb| config.build(vb)).unwrap().module;
    let prompt = load(Tensors::new(), &options, |vb| sizes.build(vb)).unwrap().module;
    let g = spec.grid();
    let map = |channels: usize| {
        let number = |i: usize| (i as f32 * 0.7371).sin();
        let numbers: Vec<f32> = (0..channels * g * g).map(number).collect();
        Tensor::from_vec(numbers, (1, channels, g, g), &Device::Cpu).unwrap()
    };
    let taps = spec.tap_channels.iter().map(|&c| map(c)).collect();
    let features = ImageFeatures { taps, embedding: map(spec.embedding_channels) };
    let predictor = SlicePredictor::new(&prompt, &decoder, &spec);
    let peak = |grid: usize, least: usize| {
        let mut prompting = PromptingConfig::new(Mode::Points, grid, spec.mask_side());
        prompting.selection.iou_threshold = 0.0;
        prompting.selection.min_region_px = least;
        let (start, _) = HELD.get();
        HELD.set((start, start));
        let (_, evidence) = predictor.predict_with_evidence(&features, &prompting).unwrap();
        (HELD.get().1 - start, evidence.drawn)
    };
    // All work on this thread, whose memory is counted.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
    pool.install(|| {
        peak(1, 0); // what stays from the first time is not counted
        let (nine, _) = peak(9, 0);
        for least in [0, 1 << 20] {
            let (found, drawn) = peak(25, least);
            println!("9×9: {nine} bytes; 25×25, {drawn} drawn: {found}");
            // The points, their IoU and their order: some 50 bytes for each of 544 more, and a box
            // for each mask that needed repair. One prompt's mask embedding would be 16 KiB.
            assert!(found - nine < 64 << 10, "{nine} {found}");
        }
    });
}
