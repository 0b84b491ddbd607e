//! Stages of the frozen encoders: encoder input, taps, embedding, prompts.

use super::compare::Comparison;
use super::limits::Limits;
use super::official_model::OfficialModel;
use super::reference_vectors::ReferenceVectors;
use super::report::Stage;
use crate::Result;
use candle_core::{Device, Tensor};
use desam_core::{
    Affine, EncoderSpec, Grid, ImageEncoder, ImageFeatures, Point, PointLabel, Prompt, PromptBox,
    PromptEncoder, Prompts, Volume,
};
use desam_data::preprocess::PreprocessConfig;

/// Limit for rounding in the normalised pixels.
const PIXELS: f64 = 1e-6;

/// Compares taps and embedding for the pixels in the file, the pixels with the file's images, and, where the
/// features of all images are available, those as well.
pub(super) fn encoder(
    model: &OfficialModel,
    limits: &Limits,
    file: &ReferenceVectors,
    train: Option<&ReferenceVectors>,
) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    let pixels = file.f32("pixels")?;
    let images = images(file, &model.spec)?;
    let count = pixels.dim(0).map_err(|e| file.wrong(e))?;
    let mut compared = Comparison::default();
    if count > images.len() {
        compared.fail(format!("pixels of {count} images, {} in images_u8", images.len()));
    }
    for (i, found) in images.iter().enumerate().take(count) {
        compared.tensors(found, &pixels.narrow(0, i, 1)?)?;
    }
    stages.push(compared.relative("encoder input", PIXELS));

    let found = model.image.encode(&pixels).map_err(|e| file.wrong(format!("pixels: {e}")))?;
    let names = (0..found.taps.len()).map(|i| format!("tap{i}"));
    for (name, found) in names.zip(&found.taps).chain([("embedding".into(), &found.embedding)]) {
        let mut compared = Comparison::default();
        compared.tensors(found, &file.f32(&name)?)?;
        stages.push(compared.relative(name, limits.encoder));
    }
    let taps = file.between("tap", "").count();
    if taps != found.taps.len() {
        let why = format!("holds {taps} taps, the model has {}", found.taps.len());
        return Err(file.wrong(why));
    }
    if let Some(train) = train {
        stages.extend(all_images(model, limits, &images, train)?);
    }
    Ok(stages)
}

/// Compares the encoder on every image with the features that training used.
fn all_images(
    model: &OfficialModel,
    limits: &Limits,
    images: &[Tensor],
    train: &ReferenceVectors,
) -> Result<Vec<Stage>> {
    let found: Vec<ImageFeatures> =
        images.iter().map(|x| model.image.encode(x)).collect::<candle_core::Result<_>>()?;
    let found = ImageFeatures::cat(&found)?;
    let (mut taps, mut embedding) = (Comparison::default(), Comparison::default());
    for (i, tap) in found.taps.iter().enumerate() {
        taps.tensors(tap, &train.f32(&format!("features{i}"))?)?;
    }
    embedding.tensors(&found.embedding, &train.f32(&format!("features{}", found.taps.len()))?)?;
    let n = images.len();
    Ok(vec![
        taps.relative(format!("taps of all {n} images"), limits.encoder),
        embedding.relative(format!("embedding of all {n} images"), limits.encoder),
    ])
}

/// The encoder's input for every image of `images_u8`, through this program's preprocessing.
fn images(file: &ReferenceVectors, spec: &EncoderSpec) -> Result<Vec<Tensor>> {
    let [count, height, width] = file.dims("images_u8")?;
    let data = file.bytes("images_u8")?;
    if count == 0 || height == 0 || height != width || height != spec.mask_side() {
        let side = spec.mask_side();
        let why = format!("images_u8 are {count} of {height}×{width}, expected squares of {side}");
        return Err(file.wrong(why));
    }
    let one = |image: &[u8]| {
        // A slice with 0 and 255 in front of the image fixes the intensity window, so that the image
        // passes unchanged.
        let mut voxels = vec![0.0_f32; image.len()];
        if let Some(first) = voxels.first_mut() {
            *first = 255.0;
        }
        voxels.extend(image.iter().map(|&v| f32::from(v)));
        let grid = Grid { dims: [width, height, 2], affine: Affine::from_spacing([1.0; 3]) };
        let config =
            PreprocessConfig { percentiles: [0.0, 100.0], ..PreprocessConfig::official().stored() };
        let prepared = config.prepare(&Volume::new(grid, voxels)?, spec)?;
        Ok(file.put(&prepared.pixels(1, &Device::Cpu)?)?)
    };
    data.chunks(height * width).map(one).collect()
}

/// Compares five combinations of points, boxes and masks, and the dense positional encoding.
pub(super) fn prompts(
    model: &OfficialModel,
    limits: &Limits,
    file: &ReferenceVectors,
) -> Result<Vec<Stage>> {
    let inputs = PromptInputs::read(file)?;
    let masks = file.f32("mask_input")?;
    let cases = [
        ("points", inputs.prompts(true, false)?),
        ("boxes", inputs.prompts(false, true)?),
        ("points_boxes", inputs.prompts(true, true)?),
        ("points_masks", inputs.prompts(true, false)?.with_masks(masks.clone())?),
        ("masks", Prompts::masks(masks)?),
    ];
    let mut stages = Vec::new();
    for (name, prompts) in cases {
        let found =
            model.prompt.encode(&prompts).map_err(|e| file.wrong(format!("{name}: {e}")))?;
        // Masks alone have no tokens, and an empty tensor cannot be stored.
        if found.sparse.dim(1)? > 0 {
            let mut compared = Comparison::default();
            compared.tensors(&found.sparse, &file.f32(&format!("{name}.sparse"))?)?;
            stages.push(compared.relative(format!("prompt {name}.sparse"), limits.prompts));
        }
        let mut compared = Comparison::default();
        compared.tensors(&found.dense, &file.f32(&format!("{name}.dense"))?)?;
        stages.push(compared.relative(format!("prompt {name}.dense"), limits.prompts));
    }
    let mut compared = Comparison::default();
    compared.tensors(model.prompt.dense_pe(), &file.f32("dense_pe")?)?;
    stages.push(compared.relative("prompt dense_pe", limits.prompts));
    Ok(stages)
}

/// The prompts of the file's embeddings.
struct PromptInputs {
    points: Vec<Vec<Point>>,
    boxes: Vec<PromptBox>,
}

impl PromptInputs {
    fn read(file: &ReferenceVectors) -> Result<Self> {
        let [n, each, two] = file.dims("points")?;
        let (labels, boxes) = (file.dims("labels")?, file.dims("boxes")?);
        if n == 0 || each == 0 || two != 2 || labels != [n, each] || boxes != [n, 4] {
            let why = format!(
                "points [{n}, {each}, {two}], labels {labels:?} and boxes {boxes:?} do not fit: \
                 expected [N, P, 2], [N, P] and [N, 4]"
            );
            return Err(file.wrong(why));
        }
        let label = |value: f64| match value as i64 {
            1 => PointLabel::Foreground,
            0 => PointLabel::Background,
            _ => PointLabel::Padding,
        };
        let (xy, labels) = (file.numbers("points")?, file.numbers("labels")?);
        let points = xy.chunks(2).zip(&labels).filter_map(|(p, l)| match p {
            [x, y] => Some(Point { x: *x as f32, y: *y as f32, label: label(*l) }),
            _ => None,
        });
        let points: Vec<Point> = points.collect();
        let corners = file.numbers("boxes")?;
        let boxes = corners.chunks(4).filter_map(|c| match c {
            &[x0, y0, x1, y1] => {
                let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|v| v as f32);
                Some(PromptBox { x0, y0, x1, y1 })
            }
            _ => None,
        });
        Ok(Self {
            points: points.chunks(each).map(<[Point]>::to_vec).collect(),
            boxes: boxes.collect(),
        })
    }

    fn prompts(&self, with_points: bool, with_boxes: bool) -> Result<Prompts> {
        let each = self.points.iter().zip(&self.boxes);
        let prompts = each.map(|(points, bbox)| Prompt {
            points: if with_points { points.clone() } else { Vec::new() },
            bbox: with_boxes.then_some(*bbox),
        });
        Ok(Prompts::new(prompts.collect())?)
    }
}
