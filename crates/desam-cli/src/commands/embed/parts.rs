//! Distributed embedding: the cases divided into parts, one per process.

use crate::commands::Session;
use crate::commands::values::integer;
use crate::environment::task_index;
use crate::usage::{invalid, usage};
use clap::Args;
use desam::embed::{
    EmbedRequest, EmbedSummary, Part, PartSummary, embed, embed_part, finish_parts,
};
use std::ops::RangeInclusive;

/// Number of parts.
const NUM_PARTS: RangeInclusive<usize> = 1..=100_000;

/// Flags of distributed embedding.
#[derive(Debug, Args)]
#[command(next_help_heading = "Distributed embedding")]
pub(super) struct PartFlags {
    /// Divide the cases into N parts, 1 to 100000, and embed only one of them
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer(NUM_PARTS))]
    num_parts: Option<usize>,

    /// Index of the part, from 0 to N-1 [default: SLURM_ARRAY_TASK_ID, else JOB_COMPLETION_INDEX]
    #[arg(long, value_name = "K", requires = "num_parts", allow_negative_numbers = true,
        value_parser = integer(0..=NUM_PARTS.end() - 1))]
    part_id: Option<usize>,

    /// Only assemble the cache from finished parts; needed if the last part did not see the files of
    /// the others on a network file system
    #[arg(long, requires = "num_parts", conflicts_with = "part_id")]
    finish: bool,
}

/// Result of `desam embed`.
pub(super) enum EmbedOutcome {
    /// All cases, by this process alone.
    All(EmbedSummary),
    /// One part of the cases.
    Part(PartSummary),
    /// The cache, from parts that were finished before.
    Assembled,
}

pub(super) fn run(
    parts: &PartFlags,
    request: &EmbedRequest,
    session: &Session,
) -> anyhow::Result<EmbedOutcome> {
    let Some(of) = parts.num_parts else {
        return Ok(EmbedOutcome::All(embed(request, &session.terminal)?));
    };
    if parts.finish {
        finish_parts(request, of, &session.terminal)?;
        return Ok(EmbedOutcome::Assembled);
    }
    let part = parts.part(of)?;
    Ok(EmbedOutcome::Part(embed_part(request, part, &session.terminal)?))
}

impl PartFlags {
    /// The part of this process among `of` parts, from the flag or the scheduler.
    fn part(&self, of: usize) -> anyhow::Result<Part> {
        let index = match self.part_id {
            Some(index) => Some(index),
            None => task_index()?,
        };
        let index = index.ok_or_else(|| {
            usage(
                "--num-parts needs --part-id, unless SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX \
                 is set",
            )
        })?;
        Part::new(index, of).map_err(invalid)
    }

    /// Rejects a part that does not exist. Call this before any file is read.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.num_parts {
            Some(of) if !self.finish => self.part(of).map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// State of the whole cache after a part has finished.
pub(super) fn state(done: &PartSummary) -> String {
    let waiting = done.waiting_for.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let state = match waiting.as_str() {
        "" => "the cache is complete".to_owned(),
        _ => format!("done; the cache still lacks part {waiting}"),
    };
    format!("{} of {}: {state}", done.part.index(), done.part.of())
}
