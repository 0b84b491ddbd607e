//! Our SAM compared with a second, independent implementation: candle-transformers, on the same
//! weights (the built-in `tiny` SAM). Off by default, see the feature `oracle`.
//!
//! Known differences of candle-transformers 0.11.1 from SAM, each a test here where it can be shown:
//!
//! - The prompt encoder's mask convolutions use the tanh approximation of GELU; SAM uses the exact one.
//! - The two corners of a box are concatenated along the channels, `[N, 2 E]` instead of `[N, 2, E]`.
//! - Without points and boxes the sparse embedding has batch size 1, whatever the masks'.
//! - Another input side than the checkpoint's panics (`todo!("interpolation")`); not compared.
//! - The image encoder takes one image at a time, and has no taps and no gradients.
//! - The mask decoder uses the tanh approximation of GELU as well, and masks are upsampled to the image
//!   by the nearest pixel instead of bilinearly; `crop_h` is computed from the width. Not compared.

#![allow(clippy::unwrap_used)] // helpers of tests, outside `#[test]`

use candle_nn::{Module, VarBuilder};
use candle_transformers::models::segment_anything::image_encoder::ImageEncoderViT;
use candle_transformers::models::segment_anything::prompt_encoder::PromptEncoder as OtherPrompts;
use desam::candle::{DType, Device, Tensor};
use desam_core::{ImageEncoder, Point, Prompt, PromptBox, PromptEncoder, Prompts};
use desam_encoder::{FrozenSam, LoadedSam, SamOptions, builtin};

fn ours() -> LoadedSam {
    let loaded = FrozenSam::load(&builtin::tiny().unwrap(), &SamOptions::default()).unwrap();
    loaded.report.check().unwrap();
    loaded
}

fn parameters(sam: &LoadedSam) -> VarBuilder<'static> {
    let tensors = sam.tensors.clone().into_iter().collect();
    VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
}

fn other_prompts(sam: &LoadedSam) -> OtherPrompts {
    let config = sam.sam.prompt.config();
    let (grid, side) = ([config.grid; 2].into(), [config.input_side; 2].into());
    let vb = parameters(sam).pp("prompt_encoder");
    OtherPrompts::new(config.embedding_channels, grid, side, config.mask_channels, vb).unwrap()
}

/// Smooth values between −1 and 1.
fn wave(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (i as f64 * 0.0137).sin() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Largest difference, relative to the largest value.
fn distance(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    let largest = |t: Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    largest((found - expected).unwrap()) / largest(expected.clone())
}

#[test]
fn image_embeddings_are_those_of_candle_transformers() {
    let sam = ours();
    let config = sam.sam.image.vit().unwrap().config();
    let other = ImageEncoderViT::new(
        config.input_side,
        config.patch,
        3,
        config.width,
        config.depth,
        config.heads,
        config.embedding_channels,
        true,
        true,
        true,
        config.window,
        &config.global_blocks,
        parameters(&sam).pp("image_encoder"),
    )
    .unwrap();
    // One image: theirs adds the positions without broadcasting them over a batch.
    let pixels = wave(&[1, 3, config.input_side, config.input_side]);
    let found = sam.sam.image.encode(&pixels).unwrap().embedding;
    let error = distance(&found, &other.forward(&pixels).unwrap());
    // Eight blocks in f32, summed in another order.
    assert!(error < 1e-4, "{error:.1e}");
}

#[test]
fn positions_points_and_boxes_are_those_of_candle_transformers() {
    let sam = ours();
    let other = other_prompts(&sam);
    let prompt = &sam.sam.prompt;
    let close = |found: &Tensor, expected: &Tensor| {
        let error = distance(found, expected);
        // f32 rounding of angles of up to some tens.
        assert!(error < 1e-5, "{error:.1e}");
    };
    close(prompt.dense_pe(), &other.get_dense_pe().unwrap());

    let points = [Point::foreground(31.0, 200.5), Point::foreground(128.0, 7.0)];
    let coordinates = Tensor::new(&[[[31f32, 200.5]], [[128.0, 7.0]]], &Device::Cpu).unwrap();
    let labels = Tensor::ones((2, 1), DType::F32, &Device::Cpu).unwrap();
    let (sparse, dense) = other.forward(Some((&coordinates, &labels)), None, None).unwrap();
    let found = prompt.encode(&Prompts::points(&points).unwrap()).unwrap();
    close(&found.sparse, &sparse);
    // Theirs is of one prompt.
    close(&found.dense.narrow(0, 0, 1).unwrap(), &dense);

    let corners = Tensor::new(&[[3f32, 5.0, 90.0, 120.0]], &Device::Cpu).unwrap();
    let (sparse, _) = other.forward(None, Some(&corners), None).unwrap();
    let bbox = PromptBox { x0: 3.0, y0: 5.0, x1: 90.0, y1: 120.0 };
    let found = prompt.encode(&Prompts::new(vec![Prompt::boxed(bbox)]).unwrap()).unwrap();
    let channels = prompt.config().embedding_channels;
    // A known difference: their corners follow each other along the channels.
    assert_eq!(sparse.dims(), [1, 2 * channels]);
    close(&found.sparse, &sparse.reshape((1, 2, channels)).unwrap());
}

#[test]
fn mask_prompts_differ_by_the_approximation_of_gelu() {
    let sam = ours();
    let side = sam.sam.prompt.config().mask_side();
    let masks = (wave(&[1, 1, side, side]) * 8.0).unwrap();
    let (_, dense) = other_prompts(&sam).forward(None, None, Some(&masks)).unwrap();
    let found = sam.sam.prompt.encode(&Prompts::masks(masks).unwrap()).unwrap().dense;
    let error = distance(&found, &dense);
    // The tanh approximation is off by up to 5e-4 at inputs near 2; rounding alone would be 1e-6.
    assert!(error > 1e-5 && error < 1e-2, "{error:.1e}");
}
