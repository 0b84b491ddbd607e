//! Segments one slice by a point, then by a box, its features computed once:
//! `prompt_slice MODEL VOLUME.nii.gz SLICE X Y`. Depends on `desam` alone.

use desam::Segmenter;
use desam::predict::SlicePrompt;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, path, slice, x, y] = args.as_slice() else {
        return Err("usage: prompt_slice MODEL VOLUME.nii.gz SLICE X Y".into());
    };
    let (x, y): (f64, f64) = (x.parse()?, y.parse()?);
    let volume = desam::volume::nifti::read_volume(path.as_ref())?;
    let encoded = Segmenter::open(model)?.encode_volume_slice(&volume, slice.parse()?)?;

    let around = |v: f64, pixels: usize| [(v - 20.0).max(0.0), (v + 20.0).min(pixels as f64)];
    let ([x0, x1], [y0, y1]) = (around(x, encoded.width()), around(y, encoded.height()));
    // An encoded slice is cheap to clone, and serves many threads at once.
    let threads =
        [SlicePrompt::new().with_point(x, y), SlicePrompt::new().with_box([x0, y0], [x1, y1])].map(
            |prompt| {
                let encoded = encoded.clone();
                std::thread::spawn(move || encoded.segment(&prompt))
            },
        );
    for (name, thread) in ["point", "box"].into_iter().zip(threads) {
        let found = thread.join().map_err(|_| "a thread panicked")??;
        println!("{name}: {} pixels, predicted IoU {:?}", found.mask.area(), found.predicted_iou);
    }
    Ok(())
}
