//! Description of a checkpoint.

use super::aligned;
use crate::commands::json_path;
use crate::output::Output;
use desam::ModelRecord;
use desam::encoder::checkpoint::CheckpointPart;
use desam::encoder::{Checkpoint, SamImageConfig};
use desam::types::EncoderSpec;
use desam::types::text::DisplayPath as _;
use desam_study::train::InputFile;
use serde_json::json;

/// Maximum number of unknown tensors to list.
const MAX_UNKNOWN_SHOWN: usize = 8;

pub(in crate::commands) fn describe(read: &Checkpoint) -> anyhow::Result<Output> {
    let summary = read.summary();
    let record = ModelRecord::read(&read.metadata, &read.path)?;
    let file = InputFile::of(&read.path)?;
    let weights = read.weights_hash(&["image_encoder.", "prompt_encoder.", "mask_decoder."])?;
    let mut rows = vec![
        ("checkpoint", read.path.display_escaped()),
        ("contains", summary.describe().to_owned()),
        ("key layout", format!("{:?}", summary.layout).to_lowercase()),
    ];
    let part = |part: &CheckpointPart| {
        format!("{} parameters in {} tensors", thousands(part.parameters), part.tensors)
    };
    for (name, found) in [
        ("image encoder", &summary.image_encoder),
        ("prompt encoder", &summary.prompt_encoder),
        ("mask decoder", &summary.mask_decoder),
        ("PIMM", &summary.pimm),
    ] {
        rows.push((name, found.as_ref().map_or_else(|| "none".to_owned(), part)));
    }
    if let Some(config) = &summary.image_encoder_config {
        rows.push(("sizes", sizes(config, &config.spec())));
    }
    if !summary.unknown.is_empty() {
        let shown: Vec<&str> =
            summary.unknown.iter().take(MAX_UNKNOWN_SHOWN).map(String::as_str).collect();
        let more = summary.unknown.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        rows.push(("unknown", format!("{}{more}", shown.join(", "))));
    }
    rows.extend(summary.warnings.iter().map(|warning| ("warning", warning.clone())));
    rows.extend(summary.notes.iter().map(|note| ("note", note.clone())));
    // What was trained with adapters is no whole model, but its record says over which base it is one.
    let complete = record.as_ref().is_none_or(|record| record.adapter.is_none());
    if let Some(foreign) = read.expect_sam().err().filter(|_| complete) {
        rows.push(("problem", foreign.to_string()));
    }
    rows.extend(summary.problems.iter().map(|p| ("problem", p.clone())));
    if let Some(record) = &record {
        rows.push(("encoder", record.encoder.clone()));
        rows.push(("variant", record.variant.to_string()));
        if let Some(adapter) = &record.adapter {
            let base = adapter.base.display_escaped();
            let side = adapter.input_side;
            rows.push(("adapter", format!("{}, input of {side} px, over {base}", adapter.kind)));
        }
        rows.push(("classes", record.classes.to_string()));
        rows.push((
            "trained",
            match &record.training {
                Some(t) => format!(
                    "on {}, {} mode, epoch {}, validation Dice {:.4}",
                    t.source, t.mode, t.epoch, t.validation_dice
                ),
                None => "no".to_owned(),
            },
        ));
    }
    rows.push(("file", format!("blake3 {}", file.blake3)));
    rows.push(("weights", format!("blake3 {weights} (of names, shapes and values)")));
    let json = json!({
        "kind": "checkpoint",
        "path": json_path(&read.path),
        "holds": summary.describe(),
        "parameters": summary.parameters(),
        "summary": summary,
        "record": record,
        "file_blake3": file.blake3,
        "weights_blake3": weights,
    });
    Ok(Output::new(aligned(&rows), json))
}

/// Sizes of the image encoder and of its outputs, on one line.
fn sizes(config: &SamImageConfig, spec: &EncoderSpec) -> String {
    let encoder = match config {
        SamImageConfig::Vit(vit) => {
            format!("width {}, depth {}, {} heads", vit.width, vit.depth, vit.heads)
        }
        SamImageConfig::TinyVit(tiny) => format!(
            "TinyViT, widths {}, depths {}, heads {}",
            listed(&tiny.widths),
            listed(&tiny.depths),
            listed(&tiny.heads)
        ),
        _ => "another encoder".to_owned(),
    };
    format!(
        "{} px in, patch {}, {encoder}; taps of {} and {} channels, {}×{}; masks of {} px",
        spec.input_side,
        spec.patch,
        listed(&spec.tap_channels),
        spec.embedding_channels,
        spec.grid(),
        spec.grid(),
        spec.mask_side(),
    )
}

/// Numbers with commas between them.
fn listed(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

/// `89670912` as `89 670 912`.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([1, 999, 1000, 89_670_912].map(thousands), ["1", "999", "1 000", "89 670 912"]);
    }
}
