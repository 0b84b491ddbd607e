//! Trains on one site of a cache: `train_one_site CACHE SITE RUN [EPOCHS] [points|box]`.
//! Depends on `desam` and `desam-study`.

use desam::{Mode, Quiet};
use desam_study::train::{Preset, TrainConfig, TrainRequest, train};
use std::path::Path;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [cache, site, run, rest @ ..] = args.as_slice() else {
        return Err("usage: train_one_site CACHE SITE RUN [EPOCHS] [points|box]".into());
    };
    let mode: Mode = rest.get(1).map_or(Ok(Mode::Points), |m| m.parse())?;
    let mut config = TrainConfig::preset(Preset::Paper, site.as_str(), mode);
    config.learning_rate = 1e-3;
    config.epochs = rest.first().map_or(Ok(config.epochs), |n| n.parse())?;
    let (cache, out) = (Path::new(cache), Path::new(run));
    let request = TrainRequest::new(cache, out, &config);
    let summary = train(&request, &Quiet)?;
    for row in &summary.history {
        println!("{:3}  loss {:.4}  Dice {:.4}", row.epoch, row.train_loss, row.validation_dice);
    }
    println!("best: epoch {}, {}", summary.best_epoch, summary.model.display());
    Ok(())
}
