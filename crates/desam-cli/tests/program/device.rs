//! Device selection: the flag, the environment variable, and devices that do not exist.

use crate::common::{Ended, fixture, program, run};
use std::path::Path;

/// A GPU that no machine has. A build without CUDA rejects it for lack of CUDA.
const NOT_THERE: &str = "cuda:4000000000";

fn with_environment(value: &str, arguments: &[&str]) -> Ended {
    program().env("DESAM_DEVICE", value).args(arguments).output().unwrap().into()
}

#[test]
fn the_flag_overrides_the_environment_variable() {
    let device = |ended: Ended| ended.expect(0).json()["device"].as_str().unwrap().to_owned();
    assert_eq!(device(run(["info", "--json"])), "cpu");
    assert_eq!(device(run(["info", "--json", "--device", "cuda"])), "cuda:0");
    assert_eq!(device(with_environment("cuda:3", &["info", "--json"])), "cuda:3");
    assert_eq!(device(with_environment("", &["info", "--json"])), "cpu");
    let both = with_environment("cuda:3", &["--device", "cpu", "info", "--json"]);
    assert_eq!(device(both), "cpu");
    // With the flag, the variable is not parsed.
    assert_eq!(device(with_environment("toaster", &["info", "--json", "--device", "cpu"])), "cpu");
    with_environment("toaster", &["info"]).usage_error_with(&["DESAM_DEVICE", "toaster", "cuda:N"]);
    let wrong = run(["info", "--device", "toaster"]).expect(2);
    assert!(wrong.stderr.contains("cuda:N"), "{wrong:?}");
}

#[test]
fn a_missing_device_is_an_error_before_any_work() {
    let fixture = fixture();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data, cache, model, new) =
        (text(&fixture.data), text(&fixture.cache), text(&fixture.run), text(&out));
    let page = text(&dir.path().join("page.html"));
    for command in [
        vec!["demo", "--out", &new],
        vec!["embed", "--data", &data, "--out", &new, "--encoder", "tiny"],
        vec!["train", "--cache", &cache, "--source", "A", "--mode", "box", "--out", &new],
        vec!["evaluate", "--cache", &cache, "--run", &model],
        vec!["predict", "--model", &model, "--input", &data, "--output", &new],
        vec!["report", &model, "--out", &page],
        vec!["parity", &data],
        vec!["sweep", "run", &new, "--all"],
    ] {
        let why = if desam::device::HAS_CUDA { "the driver" } else { "--features cuda" };
        run(command.iter().chain(&["--device", NOT_THERE])).fails_with(&[NOT_THERE, why]);
        with_environment(NOT_THERE, &command).fails_with(&[NOT_THERE, why]);
        assert!(!out.exists() && !Path::new(&page).exists(), "{command:?} left something");
    }
}

#[test]
fn commands_without_a_model_do_not_open_the_device() {
    let fixture = fixture();
    let cache = fixture.cache.to_str().unwrap();
    let ended = with_environment(NOT_THERE, &["info", cache, "-v"]).expect(0);
    assert!(ended.stderr.contains(&format!("device {NOT_THERE}")), "{ended:?}");
    let data = fixture.data.to_str().unwrap();
    run(["verify", "--data", data, "--device", NOT_THERE]).expect(0);
}

#[test]
fn info_lists_version_threads_and_devices() {
    let ended = run(["info"]).expect(0);
    for word in [env!("CARGO_PKG_VERSION"), "threads", "device", "cpu", "CUDA"] {
        assert!(ended.stdout.contains(word), "{word}: {ended:?}");
    }
    let json = run(["info", "--json"]).expect(0).json();
    assert_eq!(json["cuda"], desam::device::HAS_CUDA);
    assert!(json["gpus"].is_array() && json["threads"].as_u64() > Some(0), "{json}");
}

#[test]
fn gpu_only_training_flags_are_rejected_on_the_cpu() {
    let fixture = fixture();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (cache, new) = (fixture.cache.to_str().unwrap(), out.to_str().unwrap());
    let train = ["train", "--cache", cache, "--source", "A", "--mode", "box", "--out", new];
    // bf16 on the CPU is a usage error; --keep-features is checked against the device later.
    run(train.iter().chain(&["--precision", "bf16"])).usage_error_with(&["bf16", "f32"]);
    run(train.iter().chain(&["--keep-features", "yes"])).fails_with(&["--keep-features"]);
    assert!(!out.exists(), "a rejected command left something");
}

#[test]
fn bf16_is_rejected_on_the_cpu() {
    let fixture = fixture();
    let dir = tempfile::tempdir().unwrap();
    let [out, json] = ["out", "p.json"].map(|n| dir.path().join(n).to_str().unwrap().to_owned());
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data, cache, model) = (text(&fixture.data), text(&fixture.cache), text(&fixture.run));
    let site = text(&fixture.data.join("A"));
    for command in [
        vec!["embed", "--data", &data, "--out", &out, "--encoder", "tiny"],
        // Before an encoder is opened or downloaded.
        vec!["embed", "--data", &data, "--out", &out, "--encoder", "none.pth"],
        vec!["evaluate", "--cache", &cache, "--run", &model, "--json", &json],
        vec!["predict", "--model", &model, "--input", &site, "--output", &out],
    ] {
        run(command.iter().chain(&["--precision", "bf16"]))
            .usage_error_with(&["bf16", "GPU", "f32"]);
        assert!(!Path::new(&out).exists() && !Path::new(&json).exists(), "{command:?}");
    }
    run(["predict", "--model", "m", "--input", "i", "--output", "o", "--precision", "f16"])
        .expect(2);
}
