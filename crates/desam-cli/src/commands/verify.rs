//! `desam verify`: checks of a data set before training.

use super::flags::{JsonFlag, PreprocessFlags, ReadFlags};
use super::values::integer;
use super::{Session, aligned};
use crate::output::Output;
use clap::Args;
use desam::data::cache::human_bytes;
use desam::data::verify::{CaseReport, SiteMasks, SiteReport, VerifyReport};
use desam::types::text::DisplayPath as _;
use desam::verify::{CacheSize, VerifyOutcome, VerifyRequest, verify};
use std::path::PathBuf;

const AFTER: &str = "\
Every file is read. The following are errors, with exit code 1: an image without a label or a label \
without an image; two files for the same case; a file that cannot be read; a label whose grid differs \
from its image's; image and label swapped; an image that is constant or contains NaN or infinity; a \
label without foreground; no label at all; the same image twice (equal voxels, in any format); a name \
that cannot be a file name.

For each site, verify reports the Dice between the labels and the labels resampled to the model's \
masks and back, and warns if it is below 98 %. It also reports the fraction of labelled pixels \
within the border that the paper's protocol sets to zero in predictions, and warns above 0.5 %. Use \
the preprocessing flags and mask side that you will use for embedding.

Examples:
  desam verify --data DATA
  desam verify --data DATA --preprocess official --mask-side 64
  desam verify --data cases.csv --json";

/// Check a data set before training: describe every case, and report errors
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Data set: a folder or a CSV file; `desam embed --help` lists the layouts
    #[arg(long, value_name = "DATA")]
    data: PathBuf,

    #[command(flatten)]
    preprocess: PreprocessFlags,

    /// Side of the model's masks in pixels, 1 to 4096: 256 with SAM's encoders, 64 with tiny
    #[arg(long, value_name = "PX", default_value_t = VerifyRequest::SAM_MASK_SIDE,
        allow_negative_numbers = true, value_parser = integer(1..=4096))]
    mask_side: usize,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, because its help heading applies to all flags that follow.
    #[command(flatten)]
    read: ReadFlags,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    let read = arguments.read.options();
    let request = VerifyRequest::new(&arguments.data)
        .with_preprocess(arguments.preprocess.config(&arguments.data, &read))
        .with_mask_side(arguments.mask_side)
        .with_read(read);
    let verified = verify(&request, &session.terminal)?;
    let mut json = serde_json::to_value(&verified)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("fit".to_owned(), verified.report.is_fit().into());
    }
    let mut output = Output::new(text(&verified), json);
    output.failures = verified.report.errors().collect();
    Ok(output)
}

fn text(verified: &VerifyOutcome) -> String {
    let report = &verified.report;
    let names: Vec<String> = report.cases.iter().map(CaseReport::name).collect();
    let cases = names.iter().zip(&report.cases).map(|(name, c)| (name.as_str(), case_line(c)));
    let mut parts = vec![
        aligned(&[("data", report.data.display_escaped()), ("layout", report.layout.to_string())]),
        aligned(&cases.collect::<Vec<_>>()),
        aligned(&report.sites.iter().map(|s| (s.site.as_str(), site_line(s))).collect::<Vec<_>>()),
        masks(report),
        aligned(&verified.cache.iter().map(|c| (c.encoder, cache_size(c))).collect::<Vec<_>>()),
    ];
    let cases_warnings = report.cases.iter().flat_map(|c| c.warnings.iter().map(|w| (c.name(), w)));
    let cases_warnings =
        cases_warnings.map(|(name, warning)| format!("warning: {name}: {warning}"));
    // Warnings about masks were already printed on stderr.
    let shown: Vec<String> =
        report.masks.iter().flat_map(|site| site.warnings(&report.options)).collect();
    let whole = report.warnings.iter().filter(|w| !shown.contains(w));
    let whole = whole.map(|w| format!("warning: {w}"));
    let warnings: Vec<String> = cases_warnings.chain(whole).collect();
    if !warnings.is_empty() {
        parts.push(warnings.join("\n"));
    }
    parts.push(match report.errors().count() {
        0 => "ready for training".to_owned(),
        n => format!("NOT ready for training: {n} errors"),
    });
    // A data set without a complete case has only some of the parts.
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// One line per case: size, spacing, format, labels, errors.
fn case_line(case: &CaseReport) -> String {
    let Some([i, j, k]) = case.dims else {
        return "unreadable".to_owned();
    };
    let spacing = case.spacing_mm.map(|s| format!("{} mm", s.map(|s| format!("{s:.3}")).join("×")));
    let values: Vec<String> = case.label_values.keys().map(u8::to_string).collect();
    let mut parts = vec![
        match spacing {
            Some(spacing) => format!("{i}×{j}×{k}  {spacing}"),
            None => format!("{i}×{j} px"),
        },
        case.format.map(|f| f.to_string()).unwrap_or_default(),
    ];
    if case.label.is_some() {
        parts.push(format!("labels {{{}}}", values.join(",")));
        if case.spacing_mm.is_some() {
            parts.push(format!("on {} of {} slices", case.labelled_slices, case.slices));
        }
        parts.extend(case.foreground_ml.map(|ml| format!("{ml:.1} ml")));
    }
    if !case.errors.is_empty() {
        parts.push(format!("{} errors", case.errors.len()));
    }
    parts.join("  ")
}

/// One line per site: cases, slices, range of spacings, label values.
fn site_line(site: &SiteReport) -> String {
    let range = |(least, most): (f64, f64)| match most - least {
        d if d.abs() < 5e-4 => format!("{least:.3}"),
        _ => format!("{least:.3}-{most:.3}"),
    };
    let spacing =
        site.least_spacing_mm.zip(site.most_spacing_mm).map_or_else(String::new, |(l, m)| {
            let axes = [0, 1, 2].map(|a| range((l[a], m[a])));
            format!("  {} mm", axes.join("×"))
        });
    let values = site.label_values.iter().map(|(v, n)| format!("{v} in {n}"));
    let values = values.collect::<Vec<_>>().join(", ");
    format!(
        "{} cases  {} slices, {} labelled{spacing}  labels: {values}",
        site.cases, site.slices, site.labelled_slices
    )
}

/// Per site: the round trip of labels through masks, and the share within the border.
fn masks(report: &VerifyReport) -> String {
    if report.masks.is_empty() {
        return String::new();
    }
    let options = &report.options;
    let line = |site: &SiteMasks| {
        let border = 100.0 * site.border_share;
        format!("{}; {border:.1} % within the border", site.round_trip.line())
    };
    let rows: Vec<_> = report.masks.iter().map(|s| (s.round_trip.site.as_str(), line(s))).collect();
    format!(
        "labels resampled to masks of {side} × {side} pixels and back (rule {}; border {} px)\n{}",
        options.preprocess.labels,
        options.border_px,
        aligned(&rows),
        side = options.mask_side,
    )
}

/// Size of the feature cache for an encoder.
fn cache_size(cache: &CacheSize) -> String {
    format!(
        "features in f16: {} (labelled slices), {} (all)",
        human_bytes(cache.labelled_bytes),
        human_bytes(cache.all_bytes)
    )
}
