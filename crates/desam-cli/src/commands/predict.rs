//! `desam predict`: volumes in, masks out.

use super::{Session, aligned, grid_side, one_of};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
use desam::data::layout::list_volumes;
use desam::data::postprocess::{Holes, PostprocessConfig};
use desam::data::volumes::{VOLUME_ENDINGS, expect_mask_name, is_series, mask_name};
use desam::predict::{FolderSummary, PredictOptions, SliceChoice, VolumeSummary, segment_folder};
use desam::{Automatic, Mode, Segmenter};
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

    /// Points along each side of the grid, 1 to 64, in points mode [default: 9]
    #[arg(long, value_name = "N", value_parser = grid_side)]
    grid: Option<usize>,

    #[command(flatten)]
    extras: Extras,

    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// What is done with masks and written beside them; nothing of it unless it is asked for.
#[derive(Debug, Args)]
#[command(next_help_heading = "The mask, and what goes beside it")]
struct Extras {
    /// Keep the largest connected part of the mask, in 3-D; voxels that touch by a corner are
    /// connected
    #[arg(long)]
    largest_component: bool,

    /// Fill holes of the mask, after --largest-component: volume, what is closed on all sides
    /// [the default of the bare flag]; slices, what is closed within its slice
    #[arg(long, value_name = "WHERE", num_args = 0..=1, default_missing_value = "volume",
        value_parser = one_of::<Holes>(&["volume", "slices"]))]
    fill_holes: Option<Holes>,

    /// Write NAME.probability.nii.gz: f32 from 0 to 1 on the volume's grid, before small regions
    /// are removed; 0 on slices without a mask
    #[arg(long)]
    save_probability: bool,

    /// Write NAME.iou.nii.gz: the IoU that the model predicts for the point of the grid whose cell
    /// a voxel lies in, f32 on the volume's grid
    #[arg(long)]
    save_iou_map: bool,

    /// Write NAME.sliceNNN.png: slices with the outline of the mask; all, the middle one of those
    /// with a mask, or a list, counted from 0 as the volume is stored
    #[arg(long, value_name = "all|middle|3,7,12")]
    overlay: Option<SliceChoice>,

    /// Write NAME.json: millilitres, bounding box in voxels and mm, slices with a mask, predicted
    /// IoUs, the settings, and the model by its hash
    #[arg(long)]
    save_json: bool,
}

impl Extras {
    fn options(&self) -> PredictOptions {
        PredictOptions {
            postprocess: PostprocessConfig {
                largest_component: self.largest_component,
                fill_holes: self.fill_holes,
            },
            probability: self.save_probability,
            iou_map: self.save_iou_map,
            overlay: self.overlay.clone(),
            json: self.save_json,
        }
    }
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
    let segmenter = segmenter(arguments)?;
    let settings = (segmenter.automatic(), segmenter.options());
    session.screen.detail(&format!("prompts and options: {}", serde_json::to_string(&settings)?));
    let summary = match job {
        Job::One { input, output } => {
            if let Some(parent) = output.parent() {
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("cannot create {}", parent.display()))?;
            }
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

fn segmenter(arguments: &Arguments) -> anyhow::Result<Segmenter> {
    let segmenter = Segmenter::open(&arguments.model)?;
    let now = segmenter.automatic();
    let mode = arguments.mode.unwrap_or(now.mode);
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
