//! Description of a two-dimensional image.

use super::aligned;
use super::volume::Values;
use crate::commands::json_path;
use crate::output::Output;
use desam::data::cache::human_bytes;
use desam::types::Volume;
use desam::types::text::DisplayPath as _;
use desam::volume::volumes::VolumeFormat;
use serde_json::json;
use std::path::Path;

/// Size, channels and values; there are no millimetres.
pub(super) fn describe(
    path: &Path,
    format: VolumeFormat,
    image: &Volume,
    file_bytes: u64,
) -> Output {
    let [width, height, _] = image.grid().dims;
    let channels: Vec<(&str, &[f32])> = match image.color() {
        None => vec![("grey", image.data())],
        Some([red, green, blue]) => vec![("red", red), ("green", green), ("blue", blue)],
    };
    let values: Vec<(&str, Values)> =
        channels.into_iter().map(|(name, channel)| (name, Values::of_channel(channel))).collect();
    let kind = if image.color().is_some() { "colour, on 0 to 255" } else { "grey" };
    let mut rows = vec![
        ("image", path.display_escaped()),
        ("format", format.to_string()),
        ("dimensions", format!("{width} × {height} pixels")),
        ("kind", kind.to_owned()),
    ];
    let range = |v: &Values| format!("{} to {}, mean {:.4}", v.min, v.max, v.mean);
    rows.extend(values.iter().map(|(name, values)| (*name, range(values))));
    rows.push(("file", human_bytes(file_bytes)));
    let of = |v: &Values| json!({ "value_min": v.min, "value_max": v.max, "value_mean": v.mean });
    let channels: serde_json::Map<String, serde_json::Value> =
        values.iter().map(|(name, values)| ((*name).to_owned(), of(values))).collect();
    let json = json!({
        "kind": "image",
        "path": json_path(path),
        "format": format,
        "dims": [width, height],
        "channels": channels,
        "file_bytes": file_bytes,
    });
    Output::new(aligned(&rows), json)
}
