//! Two-way attention with absorbed projections against the two attentions by definition, in f64.

use super::*;
use crate::layers::{Attention, AttentionConfig, AttentionInputs, LayerNorm};
use crate::ops::gradcheck::{max_diff, random};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::collections::HashMap;

const EPS: f64 = 1e-5;

struct Layers {
    to_token: Attention,
    norm: LayerNorm,
    to_image: Attention,
}

impl Layers {
    /// The same numbers, which f32 holds exactly, in either type.
    fn new(config: AttentionConfig, dtype: DType) -> Self {
        let AttentionConfig { width, inner, .. } = config;
        let mut all: HashMap<String, Tensor> = HashMap::new();
        let mut put = |name: String, shape: &[usize], size: f64| {
            let numbers = (random(all.len() as u64, shape) * size).unwrap();
            let single = numbers.to_dtype(DType::F32).unwrap();
            all.insert(name, single.to_dtype(dtype).unwrap());
        };
        for attention in ["to_token", "to_image"] {
            for (name, outputs, inputs) in [
                ("q_proj", inner, width),
                ("k_proj", inner, width),
                ("v_proj", inner, width),
                ("out_proj", width, inner),
            ] {
                let name = format!("{attention}.{name}");
                put(format!("{name}.weight"), &[outputs, inputs], 3.0 / (inputs as f64).sqrt());
                put(format!("{name}.bias"), &[outputs], 1.0);
            }
        }
        put("norm.weight".into(), &[width], 2.0);
        put("norm.bias".into(), &[width], 1.0);
        let vb = VarBuilder::from_tensors(all, dtype, &Device::Cpu);
        Self {
            to_token: Attention::new(config, vb.pp("to_token")).unwrap(),
            norm: LayerNorm::new(width, EPS, vb.pp("norm")).unwrap(),
            to_image: Attention::new(config, vb.pp("to_image")).unwrap(),
        }
    }
}

/// Sizes of a test case.
#[derive(Debug, Clone, Copy)]
struct AttentionCase {
    config: AttentionConfig,
    prompts: usize,
    tokens: usize,
    pixels: usize,
    /// One image for all prompts, or one a prompt.
    shared: bool,
    /// The image comes with projected queries.
    queried: bool,
}

/// Inputs: image, positions, and the tokens' keys, values and queries.
fn inputs(case: AttentionCase, dtype: DType) -> [Tensor; 5] {
    let AttentionCase { config, prompts, tokens, pixels, shared, .. } = case;
    let images = if shared { 1 } else { prompts };
    let of = |seed, shape: [usize; 3]| {
        let single = random(seed, &shape).to_dtype(DType::F32).unwrap();
        single.to_dtype(dtype).unwrap()
    };
    let token = |seed| of(seed, [prompts, tokens, config.width]);
    [
        of(50, [images, config.width, pixels]),
        of(51, [1, config.width, pixels]),
        token(52),
        token(53),
        token(54),
    ]
}

/// The image's new tokens `[N, E, P]` and the tokens' attention output `[N, T, E]`, by definition.
fn plain(case: AttentionCase) -> [Tensor; 2] {
    let layers = Layers::new(case.config, DType::F64);
    let [image, positions, keys, values, token_queries] = inputs(case, DType::F64);
    let rows = |t: &Tensor| {
        let t = t.transpose(1, 2).unwrap();
        let (n, pixels, width) = t.dims3().unwrap();
        let n = n.max(case.prompts);
        t.broadcast_as((n, pixels, width)).unwrap().contiguous().unwrap()
    };
    let (x, positions) = (rows(&image), rows(&positions));
    let q = (&x + &positions).unwrap();
    let to_token =
        layers.to_token.forward(AttentionInputs { q: &q, k: &keys, v: &values }).unwrap();
    let y = layers.norm.forward(&(x + to_token).unwrap()).unwrap();
    let k = (&y + positions).unwrap();
    let attended =
        layers.to_image.forward(AttentionInputs { q: &token_queries, k: &k, v: &y }).unwrap();
    [y.transpose(1, 2).unwrap(), attended]
}

fn fast(case: AttentionCase, count: usize) -> [Tensor; 2] {
    let layers = Layers::new(case.config, DType::F32);
    let [image, positions, keys, values, token_queries] = inputs(case, DType::F32);
    let tiles = |t: &Tensor| ImageTiles::cut(t).unwrap();
    let queries = case.queried.then(|| {
        let rows = (&image + &positions).unwrap().transpose(1, 2).unwrap();
        tiles(&layers.to_token.project_queries(&rows).unwrap().transpose(1, 2).unwrap())
    });
    let to_token = layers.to_token.absorbed_query(&keys, &values, case.queried).unwrap();
    let to_image = layers.to_image.absorbed_key(&token_queries).unwrap();
    let first = if case.shared { image } else { image.narrow(0, 0, count).unwrap() };
    let (tokens, positions) = (tiles(&first), tiles(&positions));
    let image = ImageTokens { tokens: &tokens, positions: &positions, queries: queries.as_ref() };
    let norm = layers.norm.parameters();
    let (image_to_token, token_to_image) = (&to_token, &to_image);
    let attention =
        TwoWayAttention { image_to_token, norm, token_to_image, prompts: count, keep_image: true };
    let TwoWayAttentionOutput { image: made, attended } = attention.run(image).unwrap();
    // Without `keep_image` only the image is missing.
    let without = TwoWayAttention { keep_image: false, ..attention }.run(image).unwrap();
    assert!(without.image.is_none() && max_diff(&without.attended, &attended) == 0.0);
    [made.unwrap().join().unwrap(), layers.to_image.absorbed_value(&attended).unwrap()]
}

fn cases() -> Vec<AttentionCase> {
    let config = |width, inner, heads| AttentionConfig { width, inner, heads };
    let case = |config, prompts, tokens, pixels| AttentionCase {
        config,
        prompts,
        tokens,
        pixels,
        shared: true,
        queried: false,
    };
    let mut all = Vec::new();
    for case in [
        case(config(64, 32, 8), 3, 7, 256),
        case(config(64, 32, 8), 2, 6, 1000),
        case(config(256, 128, 8), 2, 7, 300),
        case(config(8, 8, 1), 1, 1, 1),
        case(config(12, 6, 2), 3, 9, 259),
        case(config(7, 3, 3), 2, 17, 513),
    ] {
        all.push(case);
        all.push(AttentionCase { queried: true, ..case });
        all.push(AttentionCase { shared: false, ..case });
    }
    all
}

#[test]
fn agrees_with_the_two_attentions_by_definition() {
    for case in cases() {
        let (found, expected) = (fast(case, case.prompts), plain(case));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.dims(), expected.dims(), "{case:?}");
            let size = max_diff(expected, &expected.zeros_like().unwrap());
            let error = max_diff(found, expected) / size;
            // The limit of all ops in f32, of the largest number.
            assert!(error < 2e-5, "{case:?}: {error}");
        }
    }
}

#[test]
fn a_prompts_bits_depend_neither_on_others_nor_on_threads() {
    for case in cases() {
        let run = |threads, count| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fast(case, count))
        };
        let all = run(1, case.prompts);
        for (one, two) in all.iter().zip(&run(7, case.prompts)) {
            assert_eq!(max_diff(one, two), 0.0, "{case:?}");
        }
        let one = run(2, 1);
        for (one, all) in one.iter().zip(&all) {
            let first = |t: &Tensor| t.narrow(0, 0, 1).unwrap();
            assert_eq!(max_diff(&first(one), &first(all)), 0.0, "{case:?}");
        }
    }
}

#[test]
fn prompts_beyond_the_count_are_zeros_and_other_shapes_are_refused() {
    let case = cases()[0];
    let layers = Layers::new(case.config, DType::F32);
    let [image, positions, keys, values, token_queries] = inputs(case, DType::F32);
    let to_token = layers.to_token.absorbed_query(&keys, &values, false).unwrap();
    let to_image = layers.to_image.absorbed_key(&token_queries).unwrap();
    let tiles = |t: &Tensor| ImageTiles::cut(t).unwrap();
    let (tokens, positions) = (tiles(&image), tiles(&positions));
    assert_eq!(max_diff(&tokens.join().unwrap(), &image), 0.0);
    let norm = layers.norm.parameters();
    let attention = TwoWayAttention {
        image_to_token: &to_token,
        norm,
        token_to_image: &to_image,
        prompts: 0,
        keep_image: true,
    };
    let image = ImageTokens { tokens: &tokens, positions: &positions, queries: None };
    let none = attention.run(image).unwrap();
    assert_eq!(none.attended.dims(), [3, 64, 56]);
    assert_eq!(max_diff(&none.attended, &none.attended.zeros_like().unwrap()), 0.0);

    assert!(TwoWayAttention { prompts: 4, ..attention }.run(image).is_err());
    // Queries that keys of the other kind do not expect.
    assert!(attention.run(ImageTokens { queries: Some(&tokens), ..image }).is_err());
    let queried = layers.to_token.absorbed_query(&keys, &values, true).unwrap();
    assert!(TwoWayAttention { image_to_token: &queried, ..attention }.run(image).is_err());
    // Another number of pixels, of channels, of tokens.
    let other = tiles(&random(1, &[1, 64, 255]).to_dtype(DType::F32).unwrap());
    assert!(attention.run(ImageTokens { positions: &other, ..image }).is_err());
    let other = tiles(&random(1, &[1, 63, 256]).to_dtype(DType::F32).unwrap());
    assert!(attention.run(ImageTokens { tokens: &other, ..image }).is_err());
    let few = layers.to_image.absorbed_key(&token_queries.narrow(1, 0, 3).unwrap()).unwrap();
    assert!(TwoWayAttention { token_to_image: &few, ..attention }.run(image).is_err());
    assert!(
        layers.to_token.absorbed_query(&keys, &values.narrow(1, 0, 3).unwrap(), false).is_err()
    );
    assert!(layers.to_image.absorbed_value(&none.attended.narrow(2, 0, 3).unwrap()).is_err());
    assert!(ImageTiles::cut(&random(1, &[1, 2, 3])).is_err());
}
