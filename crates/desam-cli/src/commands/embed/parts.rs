//! Embedding by several processes.

use crate::commands::{Session, whole};
use crate::environment::task_index;
use anyhow::Context;
use clap::Args;
use desam::embed::{
    EmbedRequest, EmbedSummary, Part, PartSummary, embed, embed_part, finish_parts,
};
use std::ops::RangeInclusive;

/// Parts that a data set may be cut into.
const NUM_PARTS: RangeInclusive<usize> = 1..=100_000;

#[derive(Debug, Args)]
#[command(next_help_heading = "Several processes")]
pub(super) struct Parts {
    /// Embed one of N parts of the cases only, 1 to 100000
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(NUM_PARTS))]
    num_parts: Option<usize>,

    /// Which part, from 0 [default: SLURM_ARRAY_TASK_ID, else JOB_COMPLETION_INDEX]
    #[arg(long, value_name = "K", requires = "num_parts", allow_negative_numbers = true,
        value_parser = whole(0..=NUM_PARTS.end() - 1))]
    part_id: Option<usize>,

    /// Embed nothing: make the cache whole of parts that are all done, where the last of them could
    /// not see the others' files yet
    #[arg(long, requires = "num_parts", conflicts_with = "part_id")]
    finish: bool,
}

/// What was done.
pub(super) enum Done {
    /// All cases were embedded.
    All(EmbedSummary),
    /// One part of them was.
    Part(PartSummary),
    /// Parts were made one cache.
    Whole,
}

pub(super) fn run(
    parts: &Parts,
    request: &EmbedRequest,
    session: &Session,
) -> anyhow::Result<Done> {
    let Some(of) = parts.num_parts else {
        return Ok(Done::All(embed(request, &session.screen)?));
    };
    if parts.finish {
        finish_parts(request, of, &session.screen)?;
        return Ok(Done::Whole);
    }
    let index = parts.part_id.or(task_index()?).context(
        "--num-parts without --part-id, and neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX \
         says which part this is",
    )?;
    Ok(Done::Part(embed_part(request, Part::new(index, of)?, &session.screen)?))
}

/// How a part stands to the others.
pub(super) fn state(done: &PartSummary) -> String {
    let waiting = done.waiting_for.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let state = match waiting.as_str() {
        "" => "the cache is whole".to_owned(),
        _ => format!("done; the cache waits for part {waiting}"),
    };
    format!("{} of {}: {state}", done.part.index(), done.part.of())
}
