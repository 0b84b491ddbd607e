//! A foreign volume format through public API alone: its reader serves embedding, evaluation on the volumes' own grids,
//! the spacing of masks, and prediction of files and folders, with the results of the same voxels in NIfTI.

use crate::support::{phantoms, toy_vit};
use desam::candle::Device;
use desam::data::cache::{EncoderRecord, FeatureCache, SlicePolicy};
use desam::data::embed::{EmbedOptions, embed};
use desam::data::layout::{discover, discover_with};
use desam::data::preprocess::PreprocessConfig;
use desam::decoder::DecoderConfig;
use desam::encoder::FrozenSam;
use desam::model::{ModelInput, ModelParts, ModelRecord};
use desam::nn::params::{LoadOptions, Tensors, load};
use desam::predict::segment_folder;
use desam::types::{Affine, BoxError, Grid, LabelVolume, Volume};
use desam::volume::volumes::{ReadOptions, VolumeReader, read_labels, read_volume};
use desam::{Compute, Mode, Model, PromptingConfig, Quiet, Segmenter};
use desam_study::evaluate::{EvaluateConfig, EvaluateRequest, Evaluation, Protocol, evaluate};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Three dimensions and the affine as 8-byte numbers, then the voxels as 4-byte numbers, little endian.
#[derive(Debug)]
struct RawReader;

fn parse(path: &Path) -> Result<(Grid, Vec<f32>), BoxError> {
    let bytes = std::fs::read(path)?;
    let (head, voxels) = bytes.split_at_checked(15 * 8).ok_or("no header")?;
    let head: Vec<f64> = head
        .chunks_exact(8)
        .map(|b| Ok(f64::from_le_bytes(b.try_into()?)))
        .collect::<Result<_, BoxError>>()?;
    let dims = [0, 1, 2].map(|n| head[n] as usize);
    let affine = Affine([0, 1, 2].map(|row| [0, 1, 2, 3].map(|column| head[3 + 4 * row + column])));
    let voxels = voxels.chunks_exact(4).map(|b| Ok(f32::from_le_bytes(b.try_into()?)));
    Ok((Grid { dims, affine }, voxels.collect::<Result<_, BoxError>>()?))
}

impl VolumeReader for RawReader {
    fn endings(&self) -> &[&str] {
        &[".raw3"]
    }

    fn read_volume(&self, path: &Path, _: &ReadOptions) -> Result<Volume, BoxError> {
        let (grid, voxels) = parse(path)?;
        Ok(Volume::new(grid, voxels)?)
    }

    fn read_labels(&self, path: &Path, _: &ReadOptions) -> Result<LabelVolume, BoxError> {
        let (grid, voxels) = parse(path)?;
        Ok(LabelVolume::new(grid, voxels.into_iter().map(|v| v as u8).collect())?)
    }
}

fn write(path: &Path, grid: &Grid, voxels: impl Iterator<Item = f32>) {
    let head = grid.dims.map(|n| n as f64).into_iter();
    let head = head.chain(grid.affine.0.into_iter().flatten()).flat_map(f64::to_le_bytes);
    let bytes: Vec<u8> = head.chain(voxels.flat_map(f32::to_le_bytes)).collect();
    std::fs::write(path, bytes).unwrap();
}

/// The phantoms of `data` in the foreign format.
fn as_raw(data: &Path, raw: PathBuf) -> PathBuf {
    for case in discover(data).unwrap() {
        let site = raw.join(&case.site);
        std::fs::create_dir_all(&site).unwrap();
        let image = read_volume(&case.image).unwrap();
        write(&site.join(format!("{}.raw3", case.id)), image.grid(), image.data().iter().copied());
        let labels = read_labels(case.label.as_ref().unwrap()).unwrap();
        let path = site.join(format!("{}_segmentation.raw3", case.id));
        write(&path, labels.grid(), labels.data().iter().map(|v| f32::from(*v)));
    }
    raw
}

/// An untrained model, and the prompting that makes it draw something.
fn model() -> (Model, PromptingConfig) {
    let vit = toy_vit();
    let (sam, config) = (FrozenSam::random(&vit, 1).unwrap().sam, DecoderConfig::tiny(&vit.spec()));
    let options = LoadOptions::seeded(2);
    let decoder = load(Tensors::new(), &options, |vb| config.build(vb)).unwrap().module;
    let input = ModelInput { spec: vit.spec(), preprocess: PreprocessConfig::paper() };
    let mut prompting = PromptingConfig::new(Mode::Points, 2, input.spec.mask_side());
    prompting.selection.iou_threshold = f32::MIN;
    let model = Model::from_parts(ModelParts {
        encoder: Arc::new(sam.image),
        prompt_encoder: Arc::new(sam.prompt),
        decoder: Arc::new(decoder),
        record: Arc::new(ModelRecord::untrained("toy".into(), "toy-1".into(), input)),
        compute: Compute::cpu(),
    });
    (model.unwrap(), prompting)
}

fn embedded(data: &Path, out: &Path, model: &Model, read: &ReadOptions) -> FeatureCache {
    let cases = discover_with(data, read).unwrap();
    let options = EmbedOptions::new(out, data, cases, EncoderRecord::new("toy", "toy-1"))
        .with_slices(SlicePolicy::All)
        .with_read(read.clone());
    embed(&options, model.encoder().as_ref(), &Device::Cpu, &Quiet).unwrap();
    FeatureCache::open(out).unwrap()
}

#[test]
fn a_foreign_format_is_evaluated_and_predicted_as_nifti_is() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let data = phantoms(root.path(), 2);
    let raw = as_raw(&data, at("raw"));
    let (own, foreign) =
        (ReadOptions::default(), ReadOptions::default().with_reader(Arc::new(RawReader)));
    let (model, prompting) = model();

    // Scores need the files: under the full protocol, and for distances in mm.
    let caches = [
        embedded(&data, &at("cache"), &model, &own),
        embedded(&raw, &at("raw cache"), &model, &foreign),
    ];
    let source = caches[0].sites()[0].to_owned();
    for protocol in [Protocol::Full, Protocol::Paper] {
        let scores = |cache: &FeatureCache, read: &ReadOptions| -> Result<Evaluation, String> {
            let mut config = EvaluateConfig::new(protocol, prompting.clone());
            config.metrics = vec!["hd95_mm".parse().unwrap()];
            config.read = read.clone();
            let request = EvaluateRequest::new(cache, &model, &source, &config);
            evaluate(&request, &Quiet).map_err(|e| e.to_string())
        };
        let expected = scores(&caches[0], &own).unwrap();
        assert_eq!(expected.cases.len(), 2);
        assert!(expected.cases.iter().any(|c| c.predicted_voxels > 0), "{expected:?}");
        assert_eq!(scores(&caches[1], &foreign).unwrap(), expected);
        let error = scores(&caches[1], &own).unwrap_err();
        assert!(error.contains(".raw3: not a volume"), "{error}");
    }

    // A file, and a folder, whose masks are NIfTI under the volumes' names.
    let segmenter = Segmenter::builder_from(model).prompting(prompting).build().unwrap();
    let foreign = segmenter.clone().with_read_options(foreign);
    let cases = discover(&data).unwrap();
    let inputs: Vec<PathBuf> =
        cases[..2].iter().map(|c| raw.join(&c.site).join(format!("{}.raw3", c.id))).collect();
    let done = segment_folder(&foreign, &inputs, &at("masks"), &Quiet).unwrap();
    assert!(done.failed.is_empty(), "{done:?}");
    for (case, input) in cases.iter().zip(&inputs) {
        let volume = read_volume(&case.image).unwrap();
        let expected = segmenter.segment(&volume, &Quiet).unwrap().mask;
        foreign.segment_file(input, at("mask.nii.gz"), &Quiet).unwrap();
        let name = format!("{}.nii.gz", case.id);
        for mask in [at("mask.nii.gz"), at("masks").join(name)] {
            let mask = read_labels(&mask).unwrap();
            assert_eq!(mask.data(), expected.data());
            assert!(mask.grid().matches(expected.grid(), 1e-4), "{:?}", mask.grid());
        }
    }
}
