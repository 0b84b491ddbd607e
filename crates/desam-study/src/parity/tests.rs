//! Tests of parity with emulated GPU kernels, and of the subjects beyond DeSAM.

use super::*;
use candle_core::{Device, Tensor};
use desam_core::{Precision, Quiet};
use std::path::PathBuf;

#[cfg(feature = "emulation")]
fn reference() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if !dir.is_dir() {
        println!("skipped: there are no reference vectors at {}", dir.display());
    }
    dir.is_dir().then_some(dir)
}

/// The report of the stages whose files are among `names`, run with kernels.
#[cfg(feature = "emulation")]
fn emulated(names: &[&str], precision: Precision) -> Option<ParityReport> {
    emulated_with(names, precision, |_, _| ())
}

/// The same with files that `make` writes from the reference's folder.
#[cfg(feature = "emulation")]
fn emulated_with(
    names: &[&str],
    precision: Precision,
    make: impl Fn(&Path, &Path),
) -> Option<ParityReport> {
    let from = reference()?;
    let dir = tempfile::tempdir().unwrap();
    make(&from, dir.path());
    for name in names {
        std::fs::write(dir.path().join(name), std::fs::read(from.join(name)).unwrap()).unwrap();
    }
    let report = std::cell::RefCell::new(None);
    let options = ParityOptions { precision, ..ParityOptions::default() };
    let run = || -> candle_core::Result<Vec<Tensor>> {
        let found = stages(dir.path(), &options, &Quiet).map_err(candle_core::Error::wrap)?;
        let errors: Vec<f64> = found.stages.iter().map(|s| s.relative_error).collect();
        *report.borrow_mut() = Some(found);
        Ok(vec![Tensor::new(errors, &Device::Cpu)?])
    };
    if desam_nn::gpu::emulated(run).unwrap().is_none() {
        println!("skipped: kernels are not emulated, there was no C++ compiler");
    }
    report.into_inner()
}

#[cfg(feature = "emulation")]
#[test]
fn kernels_match_the_official_program_in_f32() {
    let names = ["trained.pth", "encoder.safetensors", "prompt_encoder.safetensors"];
    let Some(report) = emulated(&names, Precision::F32) else { return };
    println!("{}", report.table());
    assert!(report.passed() && report.stages.len() > 10, "{}", report.table());
    assert_eq!((report.device.as_str(), report.precision), ("cpu", Precision::F32));
}

/// Reduces the reference to one image and one kind of prompt, because the emulation is slow.
#[cfg(feature = "emulation")]
fn reduced(from: &Path, to: &Path) {
    let file = |name: &str| {
        let tensors = candle_core::safetensors::load(from.join(name), &Device::Cpu).unwrap();
        (tensors, to.join(name))
    };
    let first = |t: &Tensor| t.narrow(0, 0, 1).unwrap().contiguous().unwrap();
    let (mut decoder, path) = file("decoder.safetensors");
    decoder.retain(|name, _| name.starts_with("boxes."));
    decoder.values_mut().for_each(|t| *t = first(t));
    candle_core::safetensors::save(&decoder, path).unwrap();
    let (mut prompts, path) = file("prompt_encoder.safetensors");
    for name in ["boxes.sparse", "boxes.dense"] {
        let one = first(&prompts[name]);
        prompts.insert(name.to_owned(), one);
    }
    candle_core::safetensors::save(&prompts, path).unwrap();
}

#[cfg(feature = "emulation")]
#[test]
#[ignore = "a minute: tensor cores, thread by thread"]
fn kernels_match_the_official_decoder_in_both_precisions() {
    let names = ["trained.pth", "train.safetensors"];
    for precision in [Precision::F32, Precision::Bf16] {
        let Some(report) = emulated_with(&names, precision, reduced) else { return };
        let ours: Vec<_> = report.stages.iter().filter(|s| !s.name.starts_with("prompt")).collect();
        println!("{}", report.table());
        // Box prompts, and three other code paths: four outputs each.
        assert_eq!(ours.len(), 16, "{}", report.table());
        assert!(ours.iter().all(|s| s.passed), "{}", report.table());
    }
}

#[cfg(feature = "emulation")]
#[test]
#[ignore = "many minutes: every stage, thread by thread"]
fn kernels_match_the_official_program_in_both_precisions() {
    let names = [
        "trained.pth",
        "init.pth",
        "encoder.safetensors",
        "prompt_encoder.safetensors",
        "decoder.safetensors",
        "train.safetensors",
        "train_f64.safetensors",
        "grid.safetensors",
        "grid.json",
        "losses.safetensors",
        "losses.json",
    ];
    for precision in [Precision::F32, Precision::Bf16] {
        let Some(report) = emulated(&names, precision) else { return };
        println!("{}", report.table());
        assert!(report.passed(), "{}", report.table());
    }
}

#[test]
fn bf16_on_a_cpu_is_refused() {
    let options = ParityOptions { precision: Precision::Bf16, ..ParityOptions::default() };
    let nowhere = Path::new("nowhere");
    let error = parity_on(nowhere, &options, &Quiet).unwrap_err().to_string();
    assert!(error.contains("bf16") && error.contains("GPU"), "{error}");
}

/// The folder of the subjects beyond DeSAM.
fn beyond() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/beyond");
    if !dir.is_dir() {
        println!("skipped: there are no reference vectors at {}", dir.display());
    }
    dir.is_dir().then_some(dir)
}

/// Copies the files of a subject, which may be read-only.
fn copy(from: &Path, to: &Path, subject: &str) {
    for name in [format!("{subject}.safetensors"), format!("{subject}.json")] {
        std::fs::write(to.join(&name), std::fs::read(from.join(&name)).unwrap()).unwrap();
    }
}

#[test]
fn adapters_match_the_official_programs() {
    let Some(from) = beyond() else { return };
    let dir = tempfile::tempdir().unwrap();
    for subject in ["dapsam", "dapsam_intended", "dapsam_data", "lora"] {
        copy(&from, dir.path(), subject);
    }
    let report = parity(dir.path(), &Quiet).unwrap();
    println!("{}", report.table());
    assert!(report.passed(), "{}", report.table());
    // Only what is in the folder is reported, DeSAM's files are not missed.
    assert!(report.skipped.is_empty());
    let has = |name: &str| report.stages.iter().any(|s| s.name.starts_with(name));
    for name in [
        "dapsam position tables",
        "dapsam trained parameters",
        "dapsam low_level_feature",
        "dapsam input_adapter of 6 blocks",
        "dapsam mlp_adapter_filtered of 6 blocks",
        "dapsam attention of 2 blocks",
        "dapsam cosine",
        "dapsam logits",
        "dapsam gradients",
        "dapsam learning rates",
        "dapsam 5 steps of AdamW",
        "dapsam_intended gradients",
        "dapsam_data normalised",
        "dapsam_data score.dice",
        "dapsam_data warped labels",
        "dapsam_data lowres0",
        "lora qkv",
        "lora embedding, merged",
        "lora out of 4 blocks",
        "lora gradients",
    ] {
        assert!(has(name), "{name}: {}", report.table());
    }
}

#[test]
fn tiny_vit_matches_the_official_program() {
    let Some(from) = beyond() else { return };
    let dir = tempfile::tempdir().unwrap();
    copy(&from, dir.path(), "tinyvit");
    let report = parity(dir.path(), &Quiet).unwrap();
    println!("{}", report.table());
    assert!(report.passed() && report.skipped.is_empty(), "{}", report.table());
    let has = |name: &str| report.stages.iter().any(|s| s.name == name);
    for name in [
        "tinyvit patch_embed",
        "tinyvit layers.0.blocks.1",
        "tinyvit layers.0.downsample",
        "tinyvit layers.1.blocks.1",
        "tinyvit layers.2.downsample",
        "tinyvit layers.2.blocks.2",
        "tinyvit layers.3.blocks.1",
        "tinyvit embedding",
        "tinyvit attention.out",
        "tinyvit attention.bias_idxs",
    ] {
        assert!(has(name), "{name}: {}", report.table());
    }
}

#[test]
fn one_changed_value_of_a_subject_fails_and_a_damaged_one_is_an_error() {
    let Some(from) = beyond() else { return };
    let dir = tempfile::tempdir().unwrap();
    let changed = |subject: &str, name: &str, change: &dyn Fn(Tensor) -> Option<Tensor>| {
        for of in ["dapsam", "dapsam_intended", "dapsam_data", "lora", "tinyvit"] {
            for ending in ["safetensors", "json"] {
                let _ = std::fs::remove_file(dir.path().join(format!("{of}.{ending}")));
            }
        }
        copy(&from, dir.path(), subject);
        let file = dir.path().join(format!("{subject}.safetensors"));
        let mut tensors = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
        let tensor = tensors.remove(name).unwrap();
        tensors.extend(change(tensor).map(|t| (name.to_owned(), t)));
        candle_core::safetensors::save(&tensors, &file).unwrap();
        parity(dir.path(), &Quiet)
    };
    let larger = |t: Tensor| Some((t.affine(1.01, 0.01)).unwrap());
    for (subject, name) in [
        ("dapsam", "init.image_encoder.l_adapter.embedding_generator.weight"),
        ("dapsam", "pretrained.image_encoder.pos_embed"),
        ("dapsam", "f64.block1.mlp_adapter_filtered"),
        ("dapsam", "train.f64.delta.prompt_generator.memory_bank.weight"),
        ("dapsam_data", "clipped"),
        ("dapsam_data", "spatial3.coords"),
        ("lora", "f32.block1.qkv"),
        ("lora", "f64.grad.w_b_003"),
        ("tinyvit", "image_encoder.layers.2.blocks.1.attn.attention_biases"),
        ("tinyvit", "image_encoder.layers.0.blocks.0.conv2.bn.running_var"),
        ("tinyvit", "f64.layers.3.blocks.1"),
    ] {
        let report = changed(subject, name, &larger).unwrap();
        assert!(!report.passed(), "{name}: {}", report.table());
    }
    for (subject, name) in [("dapsam", "x0"), ("lora", "w_b_003"), ("tinyvit", "attention.in")] {
        let error = changed(subject, name, &|_| None).unwrap_err().to_string();
        assert!(error.contains(subject) && error.contains(name), "{error}");
    }
}
