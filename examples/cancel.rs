//! Cancels a segmentation from another thread: `cancel MODEL VOLUME.nii.gz`. Depends on `desam` alone.

use desam::{CancellationToken, Error, Quiet, Segmenter};
use std::time::Duration;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, path] = args.as_slice() else {
        return Err("usage: cancel MODEL VOLUME.nii.gz".into());
    };
    let segmenter = Segmenter::open(model)?;
    let volume = desam::volume::nifti::read_volume(path.as_ref())?;

    let token = CancellationToken::new();
    let timeout = token.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1));
        timeout.cancel();
    });
    match segmenter.segment(&volume, &token.watch(&Quiet)) {
        Err(Error::Cancelled { done, total, .. }) => {
            println!("cancelled: {done} of {total} slices")
        }
        found => println!("in time: {:.1} ml", found?.volume_ml()),
    }
    Ok(())
}
