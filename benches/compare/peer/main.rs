//! Our side of the comparison with PyTorch: one process that obeys one line at a time on its input.
//!
//! ```text
//! make sgemm N
//! make conv 3x3|1x1|up INPUTS OUTPUTS SIDE BATCH forward|both|candle
//! make encoder PRESET SIDE
//! make step PRESET SIDE BATCH
//! make grid PRESET SIDE one|all|plain
//! run WARM COUNT      answers with COUNT times in seconds, after WARM unmeasured repetitions
//! dump FILE           writes weights, inputs and outputs, for the other side to compute again
//! ```
//!
//! `run.py` starts it, with the numbers of threads in the environment.

/// The program's.
#[path = "../../../crates/desam-cli/src/allocator.rs"]
mod allocator;
mod conv;
mod encoder;
mod grid;
mod sgemm;
mod step;

use allocator::CachingAllocator;
use desam::nn::params::Tensors;
use mimalloc::MiMalloc;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

/// As the `desam` program does: memory is kept between ops.
#[global_allocator]
static ALLOCATOR: CachingAllocator<MiMalloc> = CachingAllocator::new(MiMalloc);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What can be timed. Its memory is given back within the time that is measured.
trait Subject {
    fn run(&mut self) -> Result<()>;

    /// Weights under their official names, `input.*`, `output.*` and `gradient.*`.
    fn dump(&mut self) -> Result<Tensors> {
        Err("there is nothing to compare of this subject".into())
    }
}

fn make(words: &[&str]) -> Result<Box<dyn Subject>> {
    let number = |word: &str| word.parse::<usize>().map_err(|e| format!("{word:?}: {e}"));
    Ok(match *words {
        ["sgemm", n] => Box::new(sgemm::Sgemm::new(number(n)?)?),
        ["conv", op, inputs, outputs, side, batch, pass] => {
            let shape = conv::Shape {
                inputs: number(inputs)?,
                outputs: number(outputs)?,
                side: number(side)?,
                batch: number(batch)?,
            };
            Box::new(conv::Conv::new(op, &shape, pass)?)
        }
        ["encoder", preset, side] => Box::new(encoder::Encoder::new(preset, number(side)?)?),
        ["grid", preset, side, way] => Box::new(grid::Grid::new(preset, number(side)?, way)?),
        ["step", preset, side, batch] => {
            Box::new(step::Step::new(preset, number(side)?, number(batch)?)?)
        }
        _ => return Err(format!("no such subject: {words:?}").into()),
    })
}

fn run(subject: &mut dyn Subject, warm: usize, count: usize) -> Result<String> {
    for _ in 0..warm {
        subject.run()?;
    }
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        subject.run()?;
        times.push(begin.elapsed().as_secs_f64().to_string());
    }
    Ok(times.join(" "))
}

fn main() -> Result<()> {
    let mut subject: Option<Box<dyn Subject>> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let reply = match (words.as_slice(), subject.as_deref_mut()) {
            (["make", words @ ..], _) => {
                drop(subject.take()); // gives its memory back first
                subject = Some(make(words)?);
                "ready".to_owned()
            }
            (["run", warm, count], Some(subject)) => run(subject, warm.parse()?, count.parse()?)?,
            (["dump", path], Some(subject)) => {
                desam::encoder::checkpoint::write(path, &subject.dump()?, &BTreeMap::new())?;
                "written".to_owned()
            }
            _ => return Err(format!("what is {line:?}?").into()),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}
