//! Adapters in the image encoder.

use crate::commands::values::{enum_values, integer};
use crate::usage::usage;
use clap::Args;
use desam::adapted::AdapterChoice;
use desam::decoder::Variant;
use desam::encoder::adapter::AdapterKind;
use desam_study::train::TrainConfig;

/// Flags of fine-tuning the image encoder.
#[derive(Debug, Args)]
#[command(next_help_heading = "Adapters in the image encoder")]
pub(super) struct AdapterFlags {
    /// Fine-tune the image encoder through few parameters inside its blocks, and keep only those: dapsam
    /// as in DAPSAM's program, dapsam-intended as in its paper, lora as in SAMed. The encoder then
    /// runs in every step: slow without a GPU unless the encoder is small
    #[arg(long, value_name = "ADAPTER", value_parser = enum_values::<AdapterKind>())]
    adapter: Option<AdapterKind>,

    /// Side of the network's input in pixels, a multiple of the patch, such as 384; with --adapter
    /// [default: that of CACHE]
    #[arg(long, value_name = "PX", allow_negative_numbers = true,
        value_parser = integer(16..=16_384))]
    input_side: Option<usize>,

    /// Rank of a LoRA's updates, 1 to 1024; with --adapter lora [default: 4]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer(1..=1024))]
    rank: Option<usize>,

    /// Steps of a linear warm-up of the learning rate, which then decays by step, 0 to 1000000. 0: no
    /// warm-up, and decay by epoch [default: 250 with --adapter, else 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = integer(0..=1_000_000))]
    warmup_steps: Option<usize>,
}

impl AdapterFlags {
    /// The decoder where none is named: the adapter's own, or DeSAM's.
    pub(super) fn default_variant(&self) -> Variant {
        if self.adapter.is_some() { Variant::ClassDecoder } else { Variant::Desam }
    }

    /// Sets the adapter and the settings that come with it. Call this after the decoder is set and before
    /// flags of optimizer and schedule are applied.
    pub(super) fn apply(&self, config: TrainConfig) -> anyhow::Result<TrainConfig> {
        let Some(kind) = self.adapter else {
            let alone = [("--input-side", self.input_side), ("--rank", self.rank)];
            return match alone.into_iter().find(|(_, given)| given.is_some()) {
                Some((flag, _)) => Err(usage(format!("{flag} needs --adapter"))),
                None => Ok(config),
            };
        };
        let mut choice = AdapterChoice::new(kind).with_input_side(self.input_side);
        match self.rank {
            Some(_) if kind != AdapterKind::Lora => {
                return Err(usage("--rank needs --adapter lora".to_owned()));
            }
            Some(rank) => choice = choice.with_rank(rank),
            None => {}
        }
        Ok(config.with_adapter(choice))
    }

    /// Sets the warm-up. Call this last.
    pub(super) fn set_warmup(&self, config: &mut TrainConfig) {
        let steps = self.warmup_steps.map(|steps| u32::try_from(steps).unwrap_or(u32::MAX));
        config.warmup_steps = steps.unwrap_or(config.warmup_steps);
    }
}
