//! Properties of the adapters that need no reference vectors.

use super::*;
use crate::{VitConfig, VitEncoder};
use candle_core::{Device, Tensor};
use desam_core::ImageEncoder;
use desam_nn::params::{LoadOptions, Loaded, Tensors, load};

/// Windows of 3 on a grid of 5: windowed blocks are padded.
fn vit() -> VitConfig {
    VitConfig { input_side: 80, depth: 3, global_blocks: vec![1], window: 3, ..VitConfig::tiny() }
}

fn base() -> Loaded<VitEncoder> {
    let config = vit();
    load(Tensors::new(), &LoadOptions::seeded(3), |vb| config.build(vb.pp("image_encoder")))
        .unwrap()
}

fn pixels(batch: usize) -> Tensor {
    let values = (0..batch * 3 * 80 * 80).map(|i| ((i * 7919 % 1013) as f32) / 500.0 - 1.0);
    Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((batch, 3, 80, 80)).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// ‖a − b‖ / ‖b‖.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (values(a), values(b));
    let norm = |it: &mut dyn Iterator<Item = f32>| it.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let off = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    (off / norm(&mut b.iter().copied())).sqrt()
}

fn dapsam(axes: DapsamAxes, tensors: Tensors, options: &LoadOptions) -> Loaded<DapsamAdapter> {
    let config = DapsamConfig { axes, ..DapsamConfig::for_vit(&vit()) };
    load(tensors, options, |vb| config.build(vb)).unwrap()
}

fn lora(tensors: Tensors, options: &LoadOptions) -> Loaded<LoraAdapter> {
    load(tensors, options, |vb| LoraConfig::for_vit(&vit(), 4).build(vb)).unwrap()
}

/// LoRA with random B.
fn random_lora() -> Tensors {
    let mut tensors = lora(Tensors::new(), &LoadOptions::seeded(5)).tensors;
    for (i, (name, tensor)) in tensors.iter_mut().enumerate() {
        if name.starts_with("w_b_") {
            let drawn =
                (0..tensor.elem_count()).map(|j| ((i * 31 + j * 17) % 23) as f32 / 40.0 - 0.3);
            let shape = tensor.shape().clone();
            *tensor = Tensor::from_iter(drawn, &Device::Cpu).unwrap().reshape(shape).unwrap();
        }
    }
    tensors
}

#[test]
fn lora_starts_as_the_plain_encoder_to_the_bit() {
    let base = base().module;
    let expected = base.encode(&pixels(2)).unwrap();
    for options in [LoadOptions::seeded(5), LoadOptions::trainable(5)] {
        let adapted = AdaptedEncoder::new(base.clone(), lora(Tensors::new(), &options).module);
        let found = adapted.encode(&pixels(2)).unwrap();
        assert_eq!(found.taps.len(), expected.taps.len());
        if options.trainable {
            // Attention with gradients sums in another order.
            assert!(relative(&found.embedding, &expected.embedding) < 1e-6);
        } else {
            assert_eq!(values(&found.embedding), values(&expected.embedding));
        }
    }
}

#[test]
fn merged_lora_computes_the_same_and_is_not_the_plain_encoder() {
    let base = base();
    let loaded = lora(random_lora(), &LoadOptions::frozen());
    loaded.report.check().unwrap();
    let merged = loaded.module.merge(&base.tensors).unwrap();
    let merged =
        load(merged, &LoadOptions::frozen(), |vb| vit().build(vb.pp("image_encoder"))).unwrap();
    let plain = base.module.encode(&pixels(2)).unwrap().embedding;
    let merged = merged.module.encode(&pixels(2)).unwrap().embedding;
    let adapted = AdaptedEncoder::new(base.module, loaded.module);
    let found = adapted.encode(&pixels(2)).unwrap().embedding;
    assert!(relative(&found, &merged) < 1e-5, "{}", relative(&found, &merged));
    assert!(relative(&found, &plain) > 1e-2);
}

#[test]
fn dapsam_with_zero_up_projections_is_the_plain_encoder_to_the_bit() {
    let base = base().module;
    let expected = values(&base.encode(&pixels(2)).unwrap().embedding);
    for axes in DapsamAxes::ALL {
        let drawn = dapsam(axes, Tensors::new(), &LoadOptions::seeded(5));
        let adapted = AdaptedEncoder::new(base.clone(), drawn.module);
        assert_ne!(values(&adapted.encode(&pixels(2)).unwrap().embedding), expected);
        let mut tensors = drawn.tensors;
        let is_up = |name: &str| {
            name.contains("D_fc2") || (name.contains("lightweight_mlp_") && name.contains(".2."))
        };
        for (_, tensor) in tensors.iter_mut().filter(|(name, _)| is_up(name)) {
            *tensor = tensor.zeros_like().unwrap();
        }
        let loaded = dapsam(axes, tensors, &LoadOptions::frozen());
        loaded.report.check().unwrap();
        let adapted = AdaptedEncoder::new(base.clone(), loaded.module);
        assert_eq!(values(&adapted.encode(&pixels(2)).unwrap().embedding), expected);
    }
}

#[test]
fn every_adapter_parameter_gets_a_gradient_and_nothing_else_does() {
    let base = base().module;
    let check = |adapted: &AdaptedEncoder, vars: &std::collections::BTreeMap<String, _>| {
        let loss = adapted.encode(&pixels(1)).unwrap().embedding.sqr().unwrap().mean_all().unwrap();
        let grads = desam_nn::gradients::backward(&loss).unwrap();
        for (name, var) in vars {
            let var: &candle_core::Var = var;
            let grad = grads.get(var.as_tensor());
            let grad = grad.unwrap_or_else(|| panic!("{name} has no gradient"));
            assert!(values(grad).iter().any(|g| *g != 0.0), "{name}");
        }
    };
    for axes in DapsamAxes::ALL {
        let loaded = dapsam(axes, Tensors::new(), &LoadOptions::trainable(5));
        assert!(loaded.vars.keys().all(|name| DapsamConfig::is_adapter(name)));
        check(&AdaptedEncoder::new(base.clone(), loaded.module), &loaded.vars);
    }
    let options = LoadOptions { trainable: true, ..LoadOptions::frozen() };
    let loaded = lora(random_lora(), &options);
    assert!(loaded.vars.keys().all(|name| LoraConfig::is_adapter(name)));
    check(&AdaptedEncoder::new(base, loaded.module), &loaded.vars);
}

#[test]
fn an_adapted_batch_gives_the_bits_of_its_images() {
    let drawn = dapsam(DapsamAxes::Official, Tensors::new(), &LoadOptions::seeded(5));
    let adapted = AdaptedEncoder::new(base().module, drawn.module);
    let (pixels, together) = (pixels(3), adapted.encode(&pixels(3)).unwrap());
    for i in 0..3 {
        let alone = adapted.encode(&pixels.narrow(0, i, 1).unwrap()).unwrap();
        assert_eq!(values(&alone.embedding), values(&together.image(i).unwrap().embedding));
    }
}

#[test]
fn missing_and_misshapen_parameters_are_reported() {
    let mut tensors = random_lora();
    tensors.remove("w_b_003");
    tensors.insert("w_a_006".into(), tensors["w_a_000"].clone());
    let error = lora(tensors, &LoadOptions::frozen()).report.check().unwrap_err().to_string();
    assert!(error.contains("w_b_003") && error.contains("w_a_006"), "{error}");
    let narrow = Tensor::zeros((4, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
    let tensors = Tensors::from([("w_a_000".to_owned(), narrow)]);
    let error = LoraConfig::from_tensors(&tensors, &vit()).unwrap_err().to_string();
    assert!(error.contains("96 channels"), "{error}");
    assert!(LoraConfig::from_tensors(&Tensors::new(), &vit()).is_err());
    assert!(DapsamConfig::from_tensors(&Tensors::new(), &vit()).is_err());
    // Adapters for three blocks in an encoder of four.
    let four = VitConfig { depth: 4, ..vit() };
    let four = load(Tensors::new(), &LoadOptions::seeded(3), |vb| four.build(vb)).unwrap().module;
    let adapted = AdaptedEncoder::new(four, lora(Tensors::new(), &LoadOptions::seeded(1)).module);
    assert!(adapted.encode(&pixels(1)).unwrap_err().to_string().contains("3 blocks"));
}

#[test]
fn parameters_are_counted_as_in_the_released_models() {
    // DAPSAM over ViT-B: 7 691 520 trained parameters in the encoder. SAMed at rank 4: 147 456 (B),
    // 393 216 (L) and 655 360 (H). Counted in the official programs.
    let count = |tensors: &Tensors| tensors.values().map(Tensor::elem_count).sum::<usize>();
    let config = DapsamConfig::for_vit(&VitConfig::vit_b());
    let dapsam = load(Tensors::new(), &LoadOptions::seeded(1), |vb| config.build(vb)).unwrap();
    assert_eq!(count(&dapsam.tensors), 7_691_520);
    for (vit, expected) in [
        (VitConfig::vit_b(), 147_456),
        (VitConfig::vit_l(), 393_216),
        (VitConfig::vit_h(), 655_360),
    ] {
        let config = LoraConfig::for_vit(&vit, 4);
        let lora = load(Tensors::new(), &LoadOptions::seeded(1), |vb| config.build(vb)).unwrap();
        assert_eq!(count(&lora.tensors), expected);
    }
}
