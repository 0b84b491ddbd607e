//! Computes frozen features once: `precompute_features DATA CACHE [CHECKPOINT]`.
//! DATA holds `SITE/CaseXX.nii.gz` and `SITE/CaseXX_segmentation.nii.gz`. Without a checkpoint the
//! tiny encoder that comes with `desam` is used. Depends on `desam` alone.

use desam::Quiet;
use desam::embed::{EmbedRequest, embed};
use desam::model::EncoderChoice;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (data, cache, encoder) = match args.as_slice() {
        [data, cache] => (data, cache, EncoderChoice::Builtin),
        [data, cache, file] => (data, cache, EncoderChoice::file(file)),
        _ => return Err("usage: precompute_features DATA CACHE [CHECKPOINT]".into()),
    };
    let request = EmbedRequest::new(data, cache, encoder);
    let summary = embed(&request, &Quiet)?;
    println!("{} slices of {} cases, {} bytes", summary.slices, summary.cases, summary.bytes);
    Ok(())
}
