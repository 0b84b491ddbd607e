//! `desam convert`: any checkpoint to official names in safetensors.

use super::info::checkpoint;
use super::overwrite::say_replaced;
use super::{Session, json_path, room_for};
use crate::cli::JsonFlag;
use crate::reply::Reply;
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

/// Rewrite a checkpoint as .safetensors under the official parameter names
///
/// Reads .pth, .pt and .bin (PyTorch 1.6 or later), .safetensors, sharded checkpoints (...index.json)
/// and folders of the hub, in the original and in the transformers key layout, with or without
/// DeSAM's decoder. Numbers become f32; metadata is kept.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Checkpoint to read
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// File to write, ending in .safetensors; one that is there is replaced, and that is said
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let (input, output) = (&arguments.input, &arguments.output);
    if output.extension().is_none_or(|e| e != "safetensors") {
        bail!("{}: the name of what is written ends in .safetensors", output.display_escaped());
    }
    let read = Checkpoint::open(input)?;
    read.expect_sam()?;
    let name = input.display();
    read.warnings.iter().for_each(|w| session.screen.warn(&format!("{name}: {w}")));
    read.notes.iter().for_each(|n| session.screen.detail(&format!("{name}: {n}")));
    let summary = read.summary();
    if summary.parameters() == 0 {
        bail!("{} holds no part of SAM or DeSAM; nothing was written", input.display_escaped());
    }
    room_for(output)?;
    say_replaced(output, session);
    let mut metadata = read.metadata.clone();
    // Readers of the transformers library refuse a file that does not say so.
    metadata.entry("format".to_owned()).or_insert_with(|| "pt".to_owned());
    desam::encoder::checkpoint::write(output, &read.tensors, &metadata)?;
    let found = checkpoint::describe(&read)?;
    let text = format!("{}\nwritten to {}", found.text, output.display_escaped());
    Ok(Reply::new(text, json!({ "input": found.json, "output": json_path(output) })))
}
