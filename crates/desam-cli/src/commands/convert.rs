//! `desam convert`: any supported checkpoint to safetensors with official parameter names.

use super::info::checkpoint;
use super::output_files::{ensure_parent_dir, note_overwrite};
use super::{Session, json_path};
use crate::commands::flags::JsonFlag;
use crate::output::Output;
use crate::usage::usage;
use anyhow::bail;
use clap::Args;
use desam::Progress;
use desam::encoder::Checkpoint;
use desam::types::text::DisplayPath as _;
use serde_json::json;
use std::path::PathBuf;

const AFTER: &str = "\
Example:
  desam convert sam_vit_b_01ec64.pth sam_vit_b.safetensors";

/// Convert a checkpoint to .safetensors with the official parameter names
///
/// Reads .pth, .pt and .bin (PyTorch 1.6 or later), .safetensors, sharded checkpoints (...index.json)
/// and Hugging Face model folders, with the parameter names of the original SAM or of transformers,
/// with or without DeSAM's decoder. Tensors are converted to f32; metadata is kept.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Checkpoint to read
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// File to write; its name must end in .safetensors. An existing file is overwritten, with a note
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let (input, output) = (&arguments.input, &arguments.output);
    if output.extension().is_none_or(|e| e != "safetensors") {
        return Err(usage(format!(
            "{}: the name of the output must end in .safetensors",
            output.display_escaped()
        )));
    }
    let read = Checkpoint::open(input)?;
    read.expect_sam()?;
    let name = input.display();
    read.warnings.iter().for_each(|w| session.terminal.warn(&format!("{name}: {w}")));
    read.notes.iter().for_each(|n| session.terminal.detail(&format!("{name}: {n}")));
    let summary = read.summary();
    if summary.parameters() == 0 {
        bail!("{} contains no part of SAM or DeSAM; nothing was written", input.display_escaped());
    }
    ensure_parent_dir(output)?;
    note_overwrite(output, session);
    let mut metadata = read.metadata.clone();
    // The transformers library rejects a file without this entry.
    metadata.entry("format".to_owned()).or_insert_with(|| "pt".to_owned());
    desam::encoder::checkpoint::write(output, &read.tensors, &metadata)?;
    let found = checkpoint::describe(&read)?;
    let text = format!("{}\nwritten to {}", found.text, output.display_escaped());
    Ok(Output::new(text, json!({ "input": found.json, "output": json_path(output) })))
}
