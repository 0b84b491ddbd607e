//! Segments one volume: `segment_volume MODEL VOLUME.nii.gz MASK.nii.gz`.
//! Depends on `desam` alone.

use desam::{Quiet, Segmenter};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, volume, mask] = args.as_slice() else {
        return Err("usage: segment_volume MODEL VOLUME.nii.gz MASK.nii.gz".into());
    };
    let model = Segmenter::open(model)?;
    let summary = model.segment_file(volume, mask, &Quiet)?;
    println!("{} in {} slices", summary.size, summary.slices_with_mask);
    Ok(())
}
