//! `desam predict`: volumes in, masks out.

mod extras;

use super::precision::PrecisionFlag;
use super::{Session, aligned, grid_side, one_of, room_for};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
use desam::data::layout::list_volumes;
use desam::data::volumes::{VOLUME_ENDINGS, expect_mask_name, is_series, mask_name};
use desam::predict::{FolderSummary, VolumeSummary, segment_folder};
use desam::{Automatic, Mode, Segmenter};
use extras::Extras;
use serde_json::json;
use std::path::{Path, PathBuf};

const AFTER: &str = "\
A folder's masks keep the names of their volumes, so the output must be another folder. Files
ending in _segmentation or .seg before the format's ending are taken for labels and left out. A volume that cannot be read is
reported and skipped, the others are done, and the exit code is 1.

Formats are NIfTI (.nii.gz, .nii, .hdr with .img), MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr);
a mask has the format that its name ends in, which may be another than its volume's. A folder of
DICOM files is one volume, and so is each such folder in a folder; in a folder of masks theirs are
.nii.gz. Of a series the mask may also be a DICOM segmentation (.dcm), which refers to its slices.

Examples:
  desam predict --model run --input t2.nii.gz --output mask.nii.gz
  desam predict --model run --input t2.mha --output mask.nrrd
  desam predict --model run --input dicom/t2_axial --output mask.nii.gz
  desam predict --model run --input dicom/t2_axial --output mask.dcm
  desam predict --model run/model.safetensors --input volumes --output masks --mode box
  desam predict --model run --input volumes --output masks --largest-component --fill-holes \
      --overlay middle --save-json";

/// Segment volumes; each mask lies on the grid of its input
///
/// Masks are u8, 0 and 1, with the dimensions, affine and codes of their input's header. Volumes of
/// several formats may share a folder.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Arguments {
    /// Run of `desam train`, or a model file
    #[arg(long, value_name = "RUN|FILE")]
    model: PathBuf,

    /// Volume, or a folder of them
    #[arg(long, value_name = "VOLUME|DIR")]
    input: PathBuf,

    /// Mask to write, in the format that its name ends in, or a folder for masks
    #[arg(long, value_name = "FILE|DIR")]
    output: PathBuf,

    /// Series of a DICOM folder that holds several: its UID, words of its description, or axial,
    /// coronal or sagittal
    #[cfg(feature = "dicom")]
    #[arg(long, value_name = "SERIES")]
    series: Option<desam::data::dicom::SeriesChoice>,

    /// How to prompt [default: as the model was trained, points where that is not recorded]
    #[arg(long, value_name = "MODE", value_parser = one_of::<Mode>(&["points", "box"]))]
    mode: Option<Mode>,

    /// Points along each side of the grid, 1 to 64, in points mode alone [default: 9]
    #[arg(long, value_name = "N", value_parser = grid_side)]
    grid: Option<usize>,

    #[command(flatten)]
    precision: PrecisionFlag,

    #[command(flatten)]
    extras: Extras,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let job = Job::new(&arguments.input, &arguments.output)?;
    #[cfg(feature = "dicom")]
    if arguments.series.is_some() && matches!(job, Job::Many { .. }) {
        bail!(
            "--series is for one folder of DICOM files; {} holds volumes",
            arguments.input.display()
        );
    }
    let segmenter = segmenter(arguments, session)?;
    let settings = (segmenter.automatic(), segmenter.options());
    session.detail(&format!("prompts and options: {}", serde_json::to_string(&settings)?));
    let summary = match job {
        Job::One { input, output } => {
            room_for(&output)?;
            let done = one(arguments, &segmenter, (&input, &output), session)?;
            FolderSummary { done: vec![done], failed: Vec::new() }
        }
        Job::Many { inputs, output } => {
            segment_folder(&segmenter, &inputs, &output, &session.screen)?
        }
    };
    reply(&summary, &segmenter)
}

/// One volume, or one series of a folder.
fn one(
    arguments: &Arguments,
    segmenter: &Segmenter,
    (input, output): (&Path, &Path),
    session: &Session,
) -> anyhow::Result<VolumeSummary> {
    #[cfg(feature = "dicom")]
    if let Some(choice) = &arguments.series {
        let volume = desam::data::dicom::read_volume(input, choice)?;
        return Ok(segmenter.segment_read(&volume, input, output, &session.screen)?);
    }
    #[cfg(not(feature = "dicom"))]
    let _ = arguments;
    Ok(segmenter.segment_file(input, output, &session.screen)?)
}

/// What is to be written where, once nothing speaks against it.
#[derive(Debug)]
enum Job {
    One { input: PathBuf, output: PathBuf },
    Many { inputs: Vec<PathBuf>, output: PathBuf },
}

impl Job {
    fn new(input: &Path, output: &Path) -> anyhow::Result<Self> {
        let kind =
            std::fs::metadata(input).with_context(|| format!("cannot read {}", input.display()))?;
        let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        };
        let inputs = if kind.is_dir() { list_volumes(input)? } else { Vec::new() };
        // A folder without volumes of its own may be a volume itself, a DICOM series.
        if kind.is_dir() && !(inputs.is_empty() && is_series(input)?) {
            if output.is_file() {
                bail!(
                    "{} is a file; a folder of volumes needs a folder for masks",
                    output.display()
                );
            }
            if same(input, output) {
                bail!("masks keep their volumes' names: choose another --output than --input");
            }
            if inputs.is_empty() {
                bail!("{} holds no volume: expected files in {VOLUME_ENDINGS}", input.display());
            }
            return Ok(Self::Many { inputs, output: output.to_owned() });
        }
        let mut output = output.to_owned();
        if output.is_dir() {
            output.push(mask_name(input));
        }
        expect_mask_name(input, &output)?;
        if same(input, &output) {
            bail!("{} would be overwritten by its mask: choose another --output", input.display());
        }
        Ok(Self::One { input: input.to_owned(), output })
    }
}

fn segmenter(arguments: &Arguments, session: &Session) -> anyhow::Result<Segmenter> {
    let precision = arguments.precision.precision;
    let segmenter = Segmenter::open_on(&arguments.model, &session.device, precision)?;
    segmenter.model().notes().say(&arguments.model, &session.screen);
    let now = segmenter.automatic();
    let mode = arguments.mode.unwrap_or(now.mode);
    if arguments.grid.is_some() && mode == Mode::Box {
        bail!(
            "--grid is for points mode, and this is box mode: add --mode points, or leave it out"
        );
    }
    let grid = arguments.grid.unwrap_or(now.grid);
    let side = segmenter.model().spec().mask_side();
    let segmenter = segmenter.with_automatic(Automatic::new(mode, grid, side))?;
    Ok(segmenter.with_options(arguments.extras.options())?)
}

fn reply(summary: &FolderSummary, segmenter: &Segmenter) -> anyhow::Result<Reply> {
    let mut lines: Vec<String> = summary.done.iter().map(line).collect();
    if summary.done.len() + summary.failed.len() > 1 {
        lines.push(aligned(&[
            ("done", summary.done.len().to_string()),
            ("failed", summary.failed.len().to_string()),
        ]));
    }
    let json = json!({
        "prompts": segmenter.automatic(),
        "options": segmenter.options(),
        "done": summary.done,
        "failed": summary.failed,
    });
    let mut reply = Reply::new(lines.join("\n"), json);
    reply.failures = summary.failed.iter().map(|f| failure(&f.input, &f.reason)).collect();
    Ok(reply)
}

/// Most reasons name the file already.
fn failure(input: &Path, reason: &str) -> String {
    let name = input.display().to_string();
    if reason.contains(&name) { reason.to_owned() } else { format!("{name}: {reason}") }
}

fn line(volume: &VolumeSummary) -> String {
    let VolumeSummary { output, slices, slices_with_mask, volume_ml, .. } = volume;
    format!(
        "{}  {volume_ml:.1} ml, mask on {slices_with_mask} of {slices} slices",
        output.display()
    )
}
