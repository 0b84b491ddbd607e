//! Description of the program and its devices.

use crate::commands::{Session, aligned};
use crate::output::Output;
use desam::data::cache::human_bytes;
use desam::device::{Gpu, HAS_CUDA, gpus};
use serde_json::json;

/// Version, threads and GPUs. No GPU is not an error.
pub(super) fn describe(session: &Session) -> anyhow::Result<Output> {
    let (version, threads) = (env!("CARGO_PKG_VERSION"), rayon::current_num_threads());
    let choice = session.choice.to_string();
    let found = gpus();
    let built = if HAS_CUDA { "built in" } else { "not built in (--features cuda)" };
    let mut rows = vec![
        ("desam", version.to_owned()),
        ("threads", threads.to_string()),
        ("device", choice.clone()),
        ("CUDA", built.to_owned()),
    ];
    match &found {
        Ok(all) if all.is_empty() && HAS_CUDA => rows.push(("GPUs", "none".to_owned())),
        Ok(all) => rows.extend(all.iter().map(|gpu| ("GPU", gpu_line(gpu)))),
        Err(words) => rows.push(("GPUs", format!("none; driver error: {words}"))),
    }
    let json = json!({
        "version": version,
        "threads": threads,
        "device": choice,
        "cuda": HAS_CUDA,
        "gpus": found.as_ref().map_or(&[][..], Vec::as_slice),
        "driver_error": found.as_ref().err(),
    });
    Ok(Output::new(aligned(&rows), json))
}

/// A GPU on one line: device name for `--device`, model, memory.
fn gpu_line(gpu: &Gpu) -> String {
    format!("cuda:{}  {}, {}", gpu.number, gpu.name, human_bytes(gpu.memory_bytes as u64))
}
