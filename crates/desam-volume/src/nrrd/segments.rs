//! Names of segments in a header, as 3D Slicer writes and reads them in `.seg.nrrd`.

use crate::segment_color::segment_rgb;
use desam_core::{ClassTable, Grid};

/// First version of the format that has key and value pairs, which the names are.
const WITH_PAIRS: &str = "NRRD0002";

/// Magic line of a mask of `classes` whose other fields are those of a header with `magic`.
pub(super) fn mask_magic<'a>(magic: &'a str, classes: &ClassTable) -> &'a str {
    if classes.is_several() { magic.max(WITH_PAIRS) } else { magic }
}

/// Key and value pairs of the segments of several classes: name, label and colour, all in one layer.
/// One class needs none.
pub(super) fn segment_fields(grid: &Grid, classes: &ClassTable) -> Vec<String> {
    if !classes.is_several() {
        return Vec::new();
    }
    // Slicer warns where a segment has no extent; it may be larger than the segment.
    let extent = grid.dims.map(|n| format!("0 {}", n.saturating_sub(1))).join(" ");
    let fields = |(index, name): (usize, &str)| {
        let class = index + 1;
        let color = segment_rgb(class).map(|v| format!("{:.4}", f64::from(v) / 255.0)).join(" ");
        [
            ("ID", format!("Segment_{class}")),
            ("Name", name.to_owned()),
            ("Color", color),
            ("Extent", extent.clone()),
            ("LabelValue", classes.written_label(class).to_string()),
            ("Layer", "0".to_owned()),
        ]
        .map(|(key, value)| format!("Segment{index}_{key}:={value}"))
    };
    classes.names().enumerate().flat_map(fields).collect()
}
