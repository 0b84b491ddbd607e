//! The reference vectors through kernels, in the emulation of a GPU.

use super::*;
use candle_core::Tensor;
use desam_core::Quiet;

fn reference() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/tiny");
    if !dir.is_dir() {
        println!("skipped: there are no reference vectors at {}", dir.display());
    }
    dir.is_dir().then_some(dir)
}

/// The report of the stages whose files are among `names`, run by kernels.
fn emulated(names: &[&str], precision: Precision) -> Option<ParityReport> {
    let from = reference()?;
    let dir = tempfile::tempdir().unwrap();
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

#[test]
fn kernels_are_the_official_program_in_f32() {
    let names = ["trained.pth", "encoder.safetensors", "prompt_encoder.safetensors"];
    let Some(report) = emulated(&names, Precision::F32) else { return };
    println!("{}", report.table());
    assert!(report.passed() && report.stages.len() > 10, "{}", report.table());
    assert_eq!((report.device.as_str(), report.precision), ("cpu", Precision::F32));
}

#[test]
#[ignore = "minutes: every stage, thread by thread"]
fn kernels_are_the_official_program_in_either_precision() {
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
