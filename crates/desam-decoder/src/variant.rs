//! Decoder variants: DeSAM, the paper's ablations, SAM's own decoder, and one with a mask token a class.

use desam_core::named;

named! {
    /// A decoder, by the name it has in configurations, model files and on the command line: DeSAM
    /// first, then in the order of Fig. 3.
    ///
    /// The paper describes the ablations in words and a figure (section 4.3, Fig. 3, Table 2). What the
    /// words leave open is decided and documented here.
    #[derive(Default)]
    pub enum Variant: "variant" {
        /// DeSAM: PRIM reads the prompt, predicts the IoU and hands its mask embedding to PIMM
        /// (sections 3.1 and 4.3, Fig. 3 d).
        #[default]
        Desam = "desam",
        /// PIMM alone, "generating a mask by directly using the image embedding from the encoder"
        /// (section 4.3, Fig. 3 a): the encoder's embedding stands where PRIM's mask embedding stood.
        /// No prompt is read, no IoU predicted, and every prompt has the same mask.
        PimmOnly = "pimm-only",
        /// "PIMM and PRIM without IoU prediction head" (section 4.3, Fig. 3 b): the prompt reaches the
        /// mask through the mask embedding, and nothing says how good the mask is.
        NoIouHead = "no-iou-head",
        /// "PIMM and PRIM without mask embedding fusion" (section 4.3, Fig. 3 c): PIMM decodes as in
        /// [`PimmOnly`](Self::PimmOnly), PRIM predicts the IoU independently of it. Every prompt has the same
        /// mask; the IoU decides only whether there is one.
        NoMaskFusion = "no-mask-fusion",
        /// SAM's own mask decoder, fine-tuned on frozen features: the paper's MedSAM in whole box mode
        /// (section 4.1, Table 1). It has no PIMM and reads no taps; mask and IoU are those of SAM's
        /// first mask token, the one for a single mask.
        SamDecoder = "sam-decoder",
        /// SAM's mask decoder with a mask token a class and no prompt from a user, behind an image encoder
        /// with adapters: DAPSAM's and SAMed's (not in the paper). It reads no taps and predicts no IoU.
        ClassDecoder = "class-decoder",
    }
}

impl Variant {
    /// Whether it has an IoU head, which predicts how good a prompt's mask is.
    pub fn predicts_iou(self) -> bool {
        !matches!(self, Self::PimmOnly | Self::NoIouHead | Self::ClassDecoder)
    }

    /// Whether two prompts of one image can have different masks.
    pub fn mask_follows_prompt(self) -> bool {
        !matches!(self, Self::PimmOnly | Self::NoMaskFusion | Self::ClassDecoder)
    }

    /// Whether it follows only an image encoder with adapters. The others train on frozen features, too.
    pub fn needs_adapter(self) -> bool {
        self == Self::ClassDecoder
    }

    /// Whether it has a PIMM.
    pub fn has_pimm(self) -> bool {
        !matches!(self, Self::SamDecoder | Self::ClassDecoder)
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
        let message = "unet".parse::<Variant>().unwrap_err().to_string();
        assert!(message.contains("unet") && message.contains("no-mask-fusion"), "{message}");
        assert_eq!(Variant::default(), Variant::Desam);
    }
}
