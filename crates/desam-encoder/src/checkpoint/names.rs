//! Prefixes that training programs add to SAM's parameter names.

/// Components that module wrappers insert anywhere in a name: data-parallel training,
/// `torch.compile`, fully sharded training, activation checkpointing, DeepSpeed.
const INSERTED: [&str; 5] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
];

/// The parts of a SAM, in the original key layout and in that of transformers; every parameter's name
/// begins with one of these.
pub(super) const PARTS: [&str; 5] =
    ["image_encoder", "prompt_encoder", "mask_decoder", "vision_encoder", "shared_image_embedding"];

/// A name without the components that wrappers inserted: `module.sam._orig_mod.image_encoder.x` is
/// `sam.image_encoder.x`.
pub(super) fn unwrapped(name: &str) -> String {
    let kept: Vec<&str> = name.split('.').filter(|c| !INSERTED.contains(c)).collect();
    kept.join(".")
}

/// Splits an unwrapped name before its part of SAM: `sam.` and `image_encoder.x`. `None` where it
/// names no part.
pub(super) fn split_at_part(name: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    for component in name.split('.') {
        let rest = name.get(at + component.len()..).unwrap_or_default();
        // A part's name at the very end is not followed by a parameter's.
        if PARTS.contains(&component) && rest.len() > 1 {
            return name.split_at_checked(at);
        }
        at += component.len() + 1;
    }
    None
}

/// Whether a name outside SAM's parts is that of a parameter that is computed with: DAPSAM's prompt
/// generator, and SAMed's updates.
pub(super) fn is_beside_parts(name: &str) -> bool {
    name.starts_with("prompt_generator.") || crate::adapter::LoraConfig::is_adapter(name)
}

/// Whether a name is that of TinyViT's head for ImageNet's classes, which MobileSAM's file has and nothing
/// uses.
pub(super) fn is_classification_head(name: &str) -> bool {
    ["image_encoder.head.", "image_encoder.norm_head."].iter().any(|head| name.starts_with(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_split_from_names() {
        for (name, prefix, parameter) in [
            ("image_encoder.pos_embed", "", "image_encoder.pos_embed"),
            ("module.image_encoder.x", "", "image_encoder.x"),
            ("model.sam.mask_decoder.x.y", "model.sam.", "mask_decoder.x.y"),
            ("module._orig_mod.sam.vision_encoder.x", "sam.", "vision_encoder.x"),
            ("_orig_mod.module.model.prompt_encoder.x", "model.", "prompt_encoder.x"),
            ("image_encoder._orig_mod.blocks.0.x", "", "image_encoder.blocks.0.x"),
            ("mask_decoder._fsdp_wrapped_module.x", "", "mask_decoder.x"),
        ] {
            assert_eq!(split_at_part(&unwrapped(name)), Some((prefix, parameter)), "{name}");
        }
        for name in ["best_dice", "sam_mask_decoder.x", "image_encoder", "image_encoders.x", ""] {
            assert_eq!(split_at_part(&unwrapped(name)), None, "{name}");
        }
    }
}
