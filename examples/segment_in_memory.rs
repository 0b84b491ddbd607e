//! Segments voxels in memory, without a file: `segment_in_memory MODEL VOLUME.nii.gz`. The volume is
//! read here only to have voxels; they could come from a scanner. Depends on `desam` alone.

use desam::predict::PredictOptions;
use desam::types::Volume;
use desam::{Compute, Quiet, Segmenter};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, path] = args.as_slice() else {
        return Err("usage: segment_in_memory MODEL VOLUME.nii.gz".into());
    };
    let read = desam::volume::nifti::read_volume(path.as_ref())?;
    let (dims, affine, voxels) = (read.grid().dims, read.grid().affine, read.data().to_vec());

    let segmenter = Segmenter::builder(model)
        .compute(Compute::cpu())
        .options(PredictOptions::default().with_probability(true))
        .build()?;
    let volume = Volume::from_parts(dims, affine, voxels)?;
    let found = segmenter.segment(&volume, &Quiet)?;

    let foreground = found.mask.data().iter().filter(|label| **label > 0).count();
    println!("{foreground} voxels, {:.1} ml", found.volume_ml());
    // A model of several classes has one prediction of each; this one has a single foreground.
    let class = found.classes.first().ok_or("no class")?;
    for (slice, prediction) in class.slices.iter().enumerate() {
        println!("slice {slice}: predicted IoU {:?}", prediction.predicted_iou);
    }
    let probability = class.probability.as_ref().ok_or("no probabilities")?;
    let most = probability.data().iter().copied().fold(0.0, f32::max);
    println!("largest probability: {most:.3}");
    Ok(())
}
