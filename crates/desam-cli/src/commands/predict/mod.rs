//! `desam predict`: segmentation of new volumes.

mod inputs;
mod output_flags;

use super::flags::{BaseFlag, JsonFlag, PrecisionFlag, PromptFlags, ReadFlags};
use super::output_files::{ForceFlag, ensure_parent_dir};
use super::{Session, aligned};
use crate::output::Output;
use anyhow::{Context, bail};
use clap::Args;
use desam::Segmenter;
use desam::model::ModelRecord;
use desam::predict::{
    ClassSummary, FolderSummary, MaskSize, PredictOptions, VolumeSummary, existing_outputs,
    segment_folder,
};
use desam::types::ClassTable;
use desam::types::text::DisplayPath as _;
#[cfg(feature = "dicom")]
use desam::volume::volumes::VolumeFormat;
use desam::volume::volumes::{ReadOptions, expect_mask_name, mask_name};
use inputs::Inputs;
use output_flags::OutputFlags;
use serde_json::json;
use std::path::{Path, PathBuf};

const AFTER: &str = "\
The masks of a folder have the names of their volumes, so the output must be a different folder. \
Existing files are not overwritten without --force; this is checked before work starts. Files whose \
names end in _segmentation or .seg before the extension are taken for labels and skipped. If a volume \
cannot be read, it is reported and skipped, the others are segmented, and the exit code is 1.

Formats: NIfTI (.nii.gz, .nii, .hdr with .img), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr) and \
DICOM. The format of a mask follows from its file name and may differ from that of its volume. The \
mask of a DICOM series may also be a DICOM segmentation (.dcm) that references the slices.

Two-dimensional images are PNG, JPEG, TIFF (.tif) and BMP, of 8 or 16 bits, grey or in colour. Their masks are \
8-bit images of 0 and 255, or the labels of the classes, without loss: TIFF for TIFF, PNG for all others (photo.jpg gives photo.png). An EXIF \
orientation is applied. Probability and IoU maps are TIFF of f32, and sizes are in pixels: an image has no \
millimetres. In a folder that contains volumes, images are not segmented.

Folders: the DICOM files of a folder form one volume. Each volume file in the folder is another, and \
so is each of its direct subfolders that is a DICOM series, whose mask is named FOLDER.nii.gz. All of \
them are segmented; volumes in deeper folders are listed in a warning. --series restricts this to \
matching DICOM series. If there is only one volume, --output may name the mask file; otherwise it must \
be a folder.

DICOM: objects that are not slices (reports, screenshots, images without a position) are skipped; -v \
lists them. A file that appears to be a slice (named .dcm, .ima or .dicom, or like the slices next to \
it) but cannot be read is an error. MONOCHROME1 pixels are inverted, as ITK does.

Examples:
  desam predict --model run --input t2.nii.gz --output mask.nii.gz
  desam predict --model run --input t2.mha --output mask.nrrd
  desam predict --model run --input dicom/t2_axial --output mask.nii.gz
  desam predict --model run --input dicom/t2_axial --output mask.dcm
  desam predict --model run --input photos --output masks --overlay all
  desam predict --model run/model.safetensors --input volumes --output masks --mode box
  desam predict --model run --input volumes --output masks --largest-component --save-json";

/// Segment volumes; each mask has the grid of its volume
///
/// Masks are u8 with values 0 and 1, or the label of each class, and have the dimensions, affine and orientation codes of the
/// volume's header. A folder may contain volumes of several formats, or two-dimensional images, whose
/// masks are images with values 0 and 255, or the labels.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Arguments {
    /// Run folder of `desam train`, or a model file
    #[arg(long, value_name = "RUN|FILE")]
    model: PathBuf,

    #[command(flatten)]
    base: BaseFlag,

    /// Volume or two-dimensional image, or a folder of them
    #[arg(long, value_name = "VOLUME|DIR")]
    input: PathBuf,

    /// Mask file to write, whose extension decides the format, or a folder for masks
    #[arg(long, value_name = "FILE|DIR")]
    output: PathBuf,

    /// DICOM series to segment, if there are several: its UID, words of its description, or axial,
    /// coronal or sagittal
    #[cfg(feature = "dicom")]
    #[arg(long, value_name = "SERIES")]
    series: Option<desam::volume::dicom::SeriesChoice>,

    #[command(flatten)]
    prompts: PromptFlags,

    /// Match the intensities of each volume to those of the training volumes, by histogram. For volumes of
    /// another scanner; needs a model that keeps the histogram of its training volumes
    #[arg(long)]
    match_source: bool,

    #[command(flatten)]
    precision: PrecisionFlag,

    #[command(flatten)]
    force: ForceFlag,

    #[command(flatten)]
    pub(crate) json: JsonFlag,

    // Last, because their help headings apply to all flags that follow.
    #[command(flatten)]
    outputs: OutputFlags,

    #[command(flatten)]
    read: ReadFlags,
}

impl Arguments {
    /// The volumes in `--input`, a folder.
    fn inputs(&self, session: &Session) -> anyhow::Result<Inputs> {
        #[cfg(feature = "dicom")]
        if let Some(choice) = &self.series {
            return Inputs::of_series(&self.input, choice, session);
        }
        Inputs::all(&self.input, &self.output, session)
    }

    /// The reading options, with `--series`.
    fn read_options(&self) -> ReadOptions {
        let options = self.read.options();
        #[cfg(feature = "dicom")]
        let options = options.with_series(self.series.clone().unwrap_or_default());
        options
    }
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Output> {
    // Usage errors first, before any file is read.
    arguments.prompts.check()?;
    arguments.precision.on(&session.device)?;
    let job = Job::new(arguments, session)?;
    // The names of maps depend on the classes. A model that cannot be read is reported when it is opened.
    let record = ModelRecord::of_model(&arguments.model).ok().flatten();
    let classes = record.map(|record| record.classes).unwrap_or_default();
    arguments.force.check(job.existing(&arguments.outputs.options(), &classes)?)?;
    let segmenter = segmenter(arguments, session)?;
    let settings = (segmenter.prompting(), segmenter.options());
    session.detail(&format!("prompts and options: {}", serde_json::to_string(&settings)?));
    let summary = match job {
        Job::One { input, output } => {
            ensure_parent_dir(&output)?;
            let done = segmenter.segment_file(&input, &output, &session.terminal)?;
            FolderSummary::new(vec![done], Vec::new())
        }
        Job::Many { inputs, output } => {
            segment_folder(&segmenter, &inputs, &output, &session.terminal)?
        }
    };
    output(&summary, &segmenter)
}

/// Volumes to segment and where to write their masks.
#[derive(Debug)]
enum Job {
    /// One volume, one mask file.
    One { input: PathBuf, output: PathBuf },
    /// Volumes of a folder, masks in another.
    Many { inputs: Vec<PathBuf>, output: PathBuf },
}

impl Job {
    /// Existing files that would be overwritten. Volumes that cannot be read are reported later.
    fn existing(
        &self,
        options: &PredictOptions,
        classes: &ClassTable,
    ) -> anyhow::Result<Vec<PathBuf>> {
        match self {
            Self::One { input, output } => Ok(existing_outputs(input, output, options, classes)?),
            Self::Many { inputs, output } => {
                let of = |input: &PathBuf| {
                    existing_outputs(input, &output.join(mask_name(input)), options, classes)
                };
                Ok(inputs.iter().flat_map(|input| of(input).unwrap_or_default()).collect())
            }
        }
    }

    /// Decides what to segment, without reading voxels.
    fn new(arguments: &Arguments, session: &Session) -> anyhow::Result<Self> {
        let (input, output) = (&arguments.input, &arguments.output);
        let kind = std::fs::metadata(input)
            .with_context(|| format!("cannot read {}", input.display_escaped()))?;
        if !kind.is_dir() {
            #[cfg(feature = "dicom")]
            if arguments.series.is_some() && VolumeFormat::of(input)? != VolumeFormat::Dicom {
                bail!("--series is for DICOM only; {} has another format", input.display_escaped());
            }
            return Self::one(input, output);
        }
        let inputs = arguments.inputs(session)?;
        if let Some(one) = inputs.single(input, output)? {
            return Self::one(one, output);
        }
        if output.is_file() {
            bail!(
                "{} is a file; a folder of volumes needs a folder for its masks",
                output.display()
            );
        }
        if same(input, output) {
            bail!(
                "masks have the names of their volumes: choose another --output, not the --input folder"
            );
        }
        Ok(Self::Many { inputs: inputs.into_paths(), output: output.clone() })
    }

    fn one(input: &Path, output: &Path) -> anyhow::Result<Self> {
        let mut output = output.to_owned();
        // A trailing slash means a folder, even one that does not exist yet.
        if output.is_dir() || output.as_os_str().as_encoded_bytes().ends_with(b"/") {
            output.push(mask_name(input));
        }
        expect_mask_name(input, &output)?;
        if same(input, &output) {
            bail!(
                "the mask would overwrite its volume {}: choose another --output",
                input.display_escaped()
            );
        }
        Ok(Self::One { input: input.to_owned(), output })
    }
}

/// Whether two existing paths lead to the same file or folder.
fn same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Opens the model and applies the flags.
fn segmenter(arguments: &Arguments, session: &Session) -> anyhow::Result<Segmenter> {
    let compute = arguments.precision.on(&session.device)?;
    let base = arguments.base.base.as_deref();
    let segmenter = Segmenter::builder(&arguments.model).base(base).compute(compute).build()?;
    segmenter.model().notes().say(&arguments.model, &session.terminal);
    let prompts = arguments.prompts.prompts(segmenter.model().record())?;
    let segmenter = segmenter.with_prompting(prompts)?;
    let segmenter = segmenter.with_read_options(arguments.read_options());
    let options = arguments.outputs.options().with_match_source(arguments.match_source);
    Ok(segmenter.with_options(options)?)
}

fn output(summary: &FolderSummary, segmenter: &Segmenter) -> anyhow::Result<Output> {
    let mut lines: Vec<String> = summary.done.iter().map(mask_line).collect();
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
    let mut output = Output::new(lines.join("\n"), json);
    output.failures = summary.failed.iter().map(|f| failure(&f.input, &f.reason)).collect();
    Ok(output)
}

/// The reason, preceded by the file unless it already names it.
fn failure(input: &Path, reason: &str) -> String {
    let name = input.display_escaped();
    if reason.contains(&name) { reason.to_owned() } else { format!("{name}: {reason}") }
}

/// One line per mask: file, size, and slices of a volume; below it one per class of a model of several.
fn mask_line(volume: &VolumeSummary) -> String {
    let VolumeSummary { output, slices, slices_with_mask, size, .. } = volume;
    let rated = rated(volume.confidence, volume.agreement);
    let line = format!("{}  {size}{rated}", output.display_escaped());
    let line = match size {
        MaskSize::Volume { .. } => format!("{line}, mask on {slices_with_mask} of {slices} slices"),
        MaskSize::Area { .. } => line,
    };
    line + &volume.classes.iter().map(class_line).collect::<String>()
}

fn class_line(class: &ClassSummary) -> String {
    let ClassSummary { name, label, size, .. } = class;
    format!("\n  {name} (label {label})  {size}{}", rated(class.confidence, class.agreement))
}

/// What is known about the quality of masks, from 0 to 1 as in the JSON.
fn rated(confidence: Option<f64>, agreement: Option<f64>) -> String {
    let rated = [("confidence", confidence), ("agreement", agreement)].into_iter();
    rated.filter_map(|(name, value)| Some(format!(", {name} {:.2}", value?))).collect()
}
