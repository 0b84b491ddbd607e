//! Trains the `tiny` SAM (image encoder, prompt encoder, mask decoder) from random weights, promptably
//! as SAM was: `pretrain_tiny OUT [NAME=NUMBER …]`, the names being those of the recipe
//! (`pretrain/recipe.rs`). Scenes are generated (`pretrain/scene.rs`); no picture of anything is used.
//!
//! OUT/tiny.safetensors has the weights that did best on held-out scenes, as f16, and says how they
//! were made; OUT/log.csv has a row a measurement. The same recipe gives the same bits, whatever the
//! number of threads, on processors with the same vectors.

mod pretrain;

use desam::encoder::checkpoint::{weights_hash, write_f16};
use desam::encoder::{Checkpoint, VitConfig};
use pretrain::held_out::{Found, HeldOutScenes, measure};
use pretrain::model::{Modules, TinySam};
use pretrain::recipe::Recipe;
use pretrain::rng::Purpose;
use pretrain::train::{Best, train};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Scenes that neither taught nor chose anything, unless `scenes` is small.
const TEST_SCENES: usize = 128;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[allow(clippy::print_stdout)]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, rest @ ..] = args.as_slice() else {
        return Err("usage: pretrain_tiny OUT [NAME=NUMBER ...]".into());
    };
    let recipe = Recipe::parse(rest)?;
    let out = Path::new(out);
    std::fs::create_dir_all(out)?;
    let weights = out.join("tiny.safetensors");
    let sam = TinySam::random(VitConfig::tiny(), recipe.seed)?;
    let tests = |modules: &Modules| {
        let count = TEST_SCENES.min(4 * recipe.scenes);
        let scenes = HeldOutScenes { seed: recipe.seed, purpose: Purpose::Test, count };
        measure(modules, scenes, sam.config.input_side)
    };
    let random = tests(&Modules::new(&sam.config, sam.numbers())?)?;
    println!("random   {}", spoken(&random));
    println!("nothing  IoU of the box, filled: {:.4}", random.box_filled);

    let mut log = String::from(
        "steps,loss,first_mask,best_mask,iou,point_first,point_chosen,box_first,box_chosen,seconds\n",
    );
    let mut last = recipe;
    let best = train(&sam, &mut last, |row, best, recipe| {
        let [total, first, other, iou] = row.loss;
        let Found { point_first, point_chosen, box_first, box_chosen, .. } = row.found;
        writeln!(
            log,
            "{},{total:.4},{first:.4},{other:.4},{iou:.4},{point_first:.4},{point_chosen:.4},\
             {box_first:.4},{box_chosen:.4},{:.0}",
            row.steps, row.seconds
        )?;
        println!("{:6}  loss {total:.4}  {}  {:.0} s", row.steps, spoken(&row.found), row.seconds);
        std::fs::write(out.join("log.csv"), &log)?;
        save(&weights, best, recipe)
    })?;
    save(&weights, &best, &last)?;

    println!("last     blake3 of the weights {}", weights_hash(&sam.numbers(), &[])?);

    // What is in the file: the numbers of the best step, rounded to f16.
    let file = Checkpoint::open(&weights)?;
    let found = tests(&Modules::new(&sam.config, file.tensors)?)?;
    println!("trained  {}", spoken(&found));
    println!("recipe   {last}; the best of {} steps is step {}", last.steps(), best.steps);
    Ok(())
}

fn save(path: &Path, best: &Best, recipe: &Recipe) -> Result<()> {
    let metadata = BTreeMap::from([
        ("name", "tiny".to_owned()),
        ("made_by", format!("examples/pretrain_tiny.rs of desam {}", env!("CARGO_PKG_VERSION"))),
        ("recipe", recipe.to_string()),
        ("step", best.steps.to_string()),
        ("held_out", spoken(&best.found)),
        ("data", "generated scenes, no picture of anything".to_owned()),
        ("license", env!("CARGO_PKG_LICENSE").to_owned()),
    ]);
    let metadata = metadata.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    Ok(write_f16(path, &best.tensors, &metadata)?)
}

fn spoken(found: &Found) -> String {
    let Found { point_first, point_chosen, box_first, box_chosen, .. } = found;
    format!(
        "IoU by a point {point_first:.4} (chosen {point_chosen:.4}), \
         by a box {box_first:.4} (chosen {box_chosen:.4})"
    )
}
