//! Which decoder is trained: DeSAM, one of the paper's ablations, or SAM's own.

use serde::{Deserialize, Serialize};

/// A decoder of the paper, by the name it has in configurations, model files and on the command
/// line.
///
/// The paper describes the ablations in words and a figure (section 4.3, Fig. 3, Table 2). What the
/// words leave open is decided here, and said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// DeSAM: PRIM reads the prompt, predicts the IoU and hands its mask embedding to PIMM
    /// (sections 3.1 and 4.3, Fig. 3 d).
    #[default]
    Desam,
    /// PIMM alone, "generating a mask by directly using the image embedding from the encoder"
    /// (section 4.3, Fig. 3 a): the encoder's embedding stands where PRIM's mask embedding stood.
    /// No prompt is read, no IoU predicted, and every prompt has the same mask.
    PimmOnly,
    /// "PIMM and PRIM without IoU prediction head" (section 4.3, Fig. 3 b): the prompt reaches the
    /// mask through the mask embedding, and nothing says how good the mask is.
    NoIouHead,
    /// "PIMM and PRIM without mask embedding fusion" (section 4.3, Fig. 3 c): PIMM draws as in
    /// [`PimmOnly`](Self::PimmOnly), PRIM predicts the IoU beside it. Every prompt has the same
    /// mask; the IoU decides only whether there is one.
    NoMaskFusion,
    /// SAM's own mask decoder, fine-tuned on frozen features: the paper's MedSAM in whole box mode
    /// (section 4.1, Table 1). It has no PIMM and reads no taps; mask and IoU are those of SAM's
    /// first mask token, the one for a single mask.
    SamDecoder,
}

impl Variant {
    /// All of them, DeSAM first, then in the figure's order.
    pub const ALL: [Self; 5] =
        [Self::Desam, Self::PimmOnly, Self::NoIouHead, Self::NoMaskFusion, Self::SamDecoder];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Desam => "desam",
            Self::PimmOnly => "pimm-only",
            Self::NoIouHead => "no-iou-head",
            Self::NoMaskFusion => "no-mask-fusion",
            Self::SamDecoder => "sam-decoder",
        }
    }

    /// Whether it predicts how good a prompt's mask is.
    pub fn predicts_iou(self) -> bool {
        !matches!(self, Self::PimmOnly | Self::NoIouHead)
    }

    /// Whether two prompts of one image can have different masks.
    pub fn mask_follows_prompt(self) -> bool {
        !matches!(self, Self::PimmOnly | Self::NoMaskFusion)
    }

    /// Whether it has a PIMM.
    pub fn has_pimm(self) -> bool {
        self != Self::SamDecoder
    }
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|v| v.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("variant {text:?}: expected one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_on_the_command_line_and_in_files() {
        for variant in Variant::ALL {
            assert_eq!(variant.to_string().parse(), Ok(variant));
            let text = serde_json::to_string(&variant).unwrap();
            assert_eq!(text, format!("\"{variant}\""));
            assert_eq!(serde_json::from_str::<Variant>(&text).unwrap(), variant);
        }
        let message = "unet".parse::<Variant>().unwrap_err();
        assert!(message.contains("unet") && message.contains("no-mask-fusion"), "{message}");
        assert_eq!(Variant::default(), Variant::Desam);
    }
}
