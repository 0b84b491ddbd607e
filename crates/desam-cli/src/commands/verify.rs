//! `desam verify`: is this data set fit to be trained on?

use super::preprocess::PreprocessFlags;
use super::read_flags::ReadFlags;
use super::{Session, aligned, whole};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use clap::Args;
use desam::data::cache::human_bytes;
use desam::data::verify::{CaseReport, SiteMasks, SiteReport, VerifyReport};
use desam::types::text::DisplayPath as _;
use desam::verify::{CacheSize, Verified, VerifyRequest, verify};
use std::path::PathBuf;

const AFTER: &str = "\
Every file is read. These are errors, and make the exit code 1: an image without a label or a label
without an image, two files that claim to be one case, a file that cannot be read, labels on
another grid than their image, a label taken for an image or an image for a label, an image that is
flat or holds what is no number, a label without foreground, no label at all, the same image twice
(by its voxels, whatever the format), a name that cannot name a file.

Of each site it says what labels lose on the way to a model's masks and back to their own grid, as the
Dice of both, and warns above 2 %; and which share of them lies within the border that the paper's
protocol clears in predictions, and warns above 0.5 %. Give the preprocessing and the side of the masks
that the features will be made with.

Examples:
  desam verify --data DATA
  desam verify --data DATA --preprocess official --mask-side 64
  desam verify --data cases.csv --json";

/// Say what a data set holds, case by case, and whether training on it would be wrong
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Data set: a folder, or a CSV file of cases (see `desam embed --help`)
    #[arg(long, value_name = "DATA")]
    data: PathBuf,

    #[command(flatten)]
    preprocess: PreprocessFlags,

    /// Side of the encoder's masks, 1 to 4096 pixels: 256 for SAM's encoders, 64 for tiny
    #[arg(long, value_name = "PX", default_value_t = VerifyRequest::SAM_MASK_SIDE,
        allow_negative_numbers = true, value_parser = whole(1..=4096))]
    mask_side: usize,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, since its heading would go on for what follows.
    #[command(flatten)]
    read: ReadFlags,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let request = VerifyRequest::new(&arguments.data)
        .with_preprocess(arguments.preprocess.config())
        .with_mask_side(arguments.mask_side)
        .with_read(arguments.read.options());
    let verified = verify(&request, &session.screen)?;
    let mut json = serde_json::to_value(&verified)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("fit".to_owned(), verified.report.is_fit().into());
    }
    let mut reply = Reply::new(text(&verified), json);
    reply.failures = verified.report.errors().collect();
    Ok(reply)
}

fn text(verified: &Verified) -> String {
    let report = &verified.report;
    let names: Vec<String> = report.cases.iter().map(CaseReport::name).collect();
    let cases = names.iter().zip(&report.cases).map(|(name, c)| (name.as_str(), line(c)));
    let mut parts = vec![
        aligned(&[("data", report.data.display_escaped()), ("layout", report.layout.to_string())]),
        aligned(&cases.collect::<Vec<_>>()),
        aligned(&report.sites.iter().map(|s| (s.site.as_str(), site(s))).collect::<Vec<_>>()),
        masks(report),
        aligned(&verified.cache.iter().map(|c| (c.encoder, size(c))).collect::<Vec<_>>()),
    ];
    let odd = report.cases.iter().flat_map(|c| c.warnings.iter().map(|w| (c.name(), w)));
    let odd = odd.map(|(name, warning)| format!("warning: {name}: {warning}"));
    // Those about masks are on stderr already.
    let shown: Vec<String> =
        report.masks.iter().flat_map(|site| site.warnings(&report.options)).collect();
    let whole = report.warnings.iter().filter(|w| !shown.contains(w));
    let whole = whole.map(|w| format!("warning: {w}"));
    let warnings: Vec<String> = odd.chain(whole).collect();
    if !warnings.is_empty() {
        parts.push(warnings.join("\n"));
    }
    parts.push(match report.errors().count() {
        0 => "fit to be trained on".to_owned(),
        n => format!("NOT fit to be trained on: {n} errors"),
    });
    // Of a layout without a whole case there is little to tell.
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn line(case: &CaseReport) -> String {
    let (Some([i, j, k]), Some(spacing)) = (case.dims, case.spacing_mm) else {
        return "unreadable".to_owned();
    };
    let values: Vec<String> = case.label_values.keys().map(u8::to_string).collect();
    let mut parts = vec![
        format!("{i}×{j}×{k}"),
        format!("{} mm", spacing.map(|s| format!("{s:.3}")).join("×")),
        case.format.map(|f| f.to_string()).unwrap_or_default(),
    ];
    if case.label.is_some() {
        parts.push(format!("labels {{{}}}", values.join(",")));
        parts.push(format!("on {} of {} slices", case.labelled_slices, case.slices));
        parts.push(format!("{:.1} ml", case.foreground_ml));
    }
    if !case.errors.is_empty() {
        parts.push(format!("{} errors", case.errors.len()));
    }
    parts.join("  ")
}

fn site(site: &SiteReport) -> String {
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

/// What becomes of the labels as masks, site by site.
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
        "labels in masks of {side} × {side} pixels and back (rule {}; border {} px)\n{}",
        options.preprocess.labels,
        options.border_px,
        aligned(&rows),
        side = options.mask_side,
    )
}

fn size(cache: &CacheSize) -> String {
    format!(
        "features in f16: {} (labelled slices), {} (all)",
        human_bytes(cache.labelled_bytes),
        human_bytes(cache.all_bytes)
    )
}
