//! `desam predict`: volumes in, masks out.

mod extras;
mod folder;

use super::overwrite::Force;
use super::precision::PrecisionFlag;
use super::read_flags::ReadFlags;
use super::{Session, aligned, grid_side, one_of, room_for};
use crate::cli::JsonFlag;
use crate::reply::Reply;
use anyhow::{Context, bail};
use clap::Args;
#[cfg(feature = "dicom")]
use desam::data::volumes::VolumeFormat;
use desam::data::volumes::{ReadOptions, expect_mask_name, mask_name};
use desam::predict::{
    FolderSummary, PredictOptions, VolumeSummary, existing_outputs, segment_folder,
};
use desam::types::text::DisplayPath as _;
use desam::{Mode, PromptingConfig, Segmenter};
use extras::Extras;
use folder::Inputs;
use serde_json::json;
use std::path::{Path, PathBuf};

const AFTER: &str = "\
A folder's masks keep the names of their volumes, so the output must be another folder. What is there
already is not replaced unless --force is given; that is found before the work. Files
ending in _segmentation or .seg before the format's ending are taken for labels and left out. A volume that cannot be read is
reported and skipped, the others are done, and the exit code is 1.

Formats are NIfTI (.nii.gz, .nii, .hdr with .img), MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr);
a mask has the format that its name ends in, which may be another than its volume's.

The DICOM files of a folder are one volume, the volume files in it are one each, and so are the folders
in it that are DICOM series; in a folder of masks theirs are FOLDER.nii.gz. All of them are segmented;
volumes in deeper folders are named in a warning. With --series only the DICOM series that fit it are.
One volume in all may have its mask in --output as a file, several need a folder. Of a series the mask
may also be a DICOM segmentation (.dcm), which refers to its slices.

In a DICOM folder, objects that are no slices (reports, screenshots, images without a position) are set
aside; -v names them. A file that could be a slice and cannot be read (named .dcm, .ima or .dicom, or as
the slices beside it are) is an error. Pixels of MONOCHROME1 are inverted, as ITK does.

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

    /// Series of a DICOM folder that holds several, or of folders in it: its UID, words of its
    /// description, or axial, coronal or sagittal
    #[cfg(feature = "dicom")]
    #[arg(long, value_name = "SERIES")]
    series: Option<desam::data::dicom::SeriesChoice>,

    /// How to prompt [default: as the model was trained, points where that is not recorded]
    #[arg(long, value_name = "MODE", value_parser = one_of::<Mode>(&["points", "box"]))]
    mode: Option<Mode>,

    /// Points along each side of the grid, 1 to 64, in points mode alone [default: 9]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = grid_side)]
    grid: Option<usize>,

    #[command(flatten)]
    precision: PrecisionFlag,

    #[command(flatten)]
    force: Force,

    #[command(flatten)]
    extras: Extras,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, since its heading would go on for what follows.
    #[command(flatten)]
    read: ReadFlags,
}

impl Arguments {
    /// The volumes of the input, a folder.
    fn inputs(&self, session: &Session) -> anyhow::Result<Inputs> {
        #[cfg(feature = "dicom")]
        if let Some(choice) = &self.series {
            return Inputs::of_series(&self.input, choice, session);
        }
        Inputs::all(&self.input, &self.output, session)
    }

    /// How volumes are read.
    fn read_options(&self) -> ReadOptions {
        let options = self.read.options();
        #[cfg(feature = "dicom")]
        let options = options.with_series(self.series.clone().unwrap_or_default());
        options
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Reply> {
    let job = Job::new(arguments, session)?;
    arguments.force.check(job.existing(&arguments.extras.options())?)?;
    let segmenter = segmenter(arguments, session)?;
    let settings = (segmenter.prompting(), segmenter.options());
    session.detail(&format!("prompts and options: {}", serde_json::to_string(&settings)?));
    let summary = match job {
        Job::One { input, output } => {
            room_for(&output)?;
            let done = segmenter.segment_file(&input, &output, &session.screen)?;
            FolderSummary::new(vec![done], Vec::new())
        }
        Job::Many { inputs, output } => {
            segment_folder(&segmenter, &inputs, &output, &session.screen)?
        }
    };
    reply(&summary, &segmenter)
}

/// What is to be written where, once nothing speaks against it.
#[derive(Debug)]
enum Job {
    One { input: PathBuf, output: PathBuf },
    Many { inputs: Vec<PathBuf>, output: PathBuf },
}

impl Job {
    /// The files that would be replaced. A volume that has a fault of its own is no matter here.
    fn existing(&self, options: &PredictOptions) -> anyhow::Result<Vec<PathBuf>> {
        match self {
            Self::One { input, output } => Ok(existing_outputs(input, output, options)?),
            Self::Many { inputs, output } => {
                let of = |input: &PathBuf| {
                    existing_outputs(input, &output.join(mask_name(input)), options)
                };
                Ok(inputs.iter().flat_map(|input| of(input).unwrap_or_default()).collect())
            }
        }
    }

    fn new(arguments: &Arguments, session: &Session) -> anyhow::Result<Self> {
        let (input, output) = (&arguments.input, &arguments.output);
        let kind = std::fs::metadata(input)
            .with_context(|| format!("cannot read {}", input.display_escaped()))?;
        if !kind.is_dir() {
            #[cfg(feature = "dicom")]
            if arguments.series.is_some() && VolumeFormat::of(input)? != VolumeFormat::Dicom {
                bail!("--series is for DICOM; {} is another format", input.display_escaped());
            }
            return Self::one(input, output);
        }
        let inputs = arguments.inputs(session)?;
        if let Some(one) = inputs.single(input, output)? {
            return Self::one(one, output);
        }
        if output.is_file() {
            bail!("{} is a file; a folder of volumes needs a folder for masks", output.display());
        }
        if same(input, output) {
            bail!("masks keep their volumes' names: choose another --output than --input");
        }
        Ok(Self::Many { inputs: inputs.into_paths(), output: output.clone() })
    }

    fn one(input: &Path, output: &Path) -> anyhow::Result<Self> {
        let mut output = output.to_owned();
        // A name with a slash at its end is a folder's, whether it is there or not.
        if output.is_dir() || output.as_os_str().as_encoded_bytes().ends_with(b"/") {
            output.push(mask_name(input));
        }
        expect_mask_name(input, &output)?;
        if same(input, &output) {
            bail!(
                "{} would be overwritten by its mask: choose another --output",
                input.display_escaped()
            );
        }
        Ok(Self::One { input: input.to_owned(), output })
    }
}

fn same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn segmenter(arguments: &Arguments, session: &Session) -> anyhow::Result<Segmenter> {
    let compute = session.compute(arguments.precision.precision)?;
    let segmenter = Segmenter::builder(&arguments.model).compute(compute).build()?;
    segmenter.model().notes().say(&arguments.model, &session.screen);
    let now = segmenter.prompting();
    let mode = arguments.mode.unwrap_or(now.mode);
    if arguments.grid.is_some() && mode == Mode::Box {
        bail!(
            "--grid is for points mode, and this is box mode: add --mode points, or leave it out"
        );
    }
    let grid = arguments.grid.unwrap_or(now.grid);
    let side = segmenter.model().spec().mask_side();
    let segmenter = segmenter.with_prompting(PromptingConfig::new(mode, grid, side))?;
    let segmenter = segmenter.with_read_options(arguments.read_options());
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
        "prompts": segmenter.prompting(),
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
    let name = input.display_escaped();
    if reason.contains(&name) { reason.to_owned() } else { format!("{name}: {reason}") }
}

fn line(volume: &VolumeSummary) -> String {
    let VolumeSummary { output, slices, slices_with_mask, volume_ml, .. } = volume;
    format!(
        "{}  {volume_ml:.1} ml, mask on {slices_with_mask} of {slices} slices",
        output.display_escaped()
    )
}
