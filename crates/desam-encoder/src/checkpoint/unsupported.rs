//! Recognition of unsupported SAM variants by the names of their parameters, to report them by name.

use super::KeyLayout;

/// A recognised model that is not supported here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct UnsupportedModel {
    /// The model's name.
    pub name: &'static str,
    /// Name of a tensor that only this model has.
    pub evidence: String,
    /// Advice for the user; empty where there is none.
    pub advice: &'static str,
}

/// A tensor's name, without prefixes, and rank.
#[derive(Debug, Clone, Copy)]
pub(super) struct TensorName<'a> {
    pub(super) name: &'a str,
    pub(super) rank: usize,
}

/// Signature of a model: name fragments, any of which identifies it.
struct ModelSignature {
    name: &'static str,
    advice: &'static str,
    any_of: &'static [&'static str],
}

/// Checked in this order: models that extend SAM come before those that replace its encoder.
const MODELS: [ModelSignature; 5] = [
    ModelSignature {
        name: "SAM 2 (or SAM 2.1, or a model made from it, such as MedSAM-2)",
        advice: "",
        any_of: &[
            "image_encoder.trunk.",
            "sam_mask_decoder.",
            "sam_prompt_encoder.",
            "memory_attention.",
            "memory_encoder.",
            "vision_encoder.backbone.",
            "maskmem_tpos_enc",
        ],
    },
    ModelSignature {
        name: "HQ-SAM",
        advice: "its image encoder is SAM's: give the SAM that it was trained from",
        any_of: &[
            "mask_decoder.hf_token.",
            "mask_decoder.hf_mlp.",
            "mask_decoder.hq_token.",
            "mask_decoder.hq_mask_mlp.",
            "mask_decoder.compress_vit_feat.",
            "mask_decoder.compress_vit_conv1.",
            "mask_decoder.embedding_maskfeature.",
        ],
    },
    ModelSignature {
        name: "EfficientSAM",
        advice: "",
        any_of: &[
            "prompt_encoder.invalid_points.",
            "prompt_encoder.bbox_top_left_embeddings.",
            "mask_decoder.final_output_upscaling_layers.",
        ],
    },
    ModelSignature {
        name: "EfficientViT-SAM",
        advice: "",
        any_of: &["image_encoder.backbone.", "image_encoder.neck.input_ops."],
    },
    ModelSignature {
        name: "EdgeSAM or RepViT-SAM",
        advice: "",
        any_of: &["image_encoder.features.", "image_encoder.stem.", "image_encoder.fuse_stage"],
    },
];

/// Name fragment of a TinyViT without SAM's prefixes, and the beginning of such names in MobileSAM.
const TINY_VIT: &str = "patch_embed.seq.";
pub(super) const MOBILE_SAM: &str = "image_encoder.patch_embed.seq.";

const WHOLE: &str = "of a SAM, save the whole state dict: torch.save(sam.state_dict(), path)";

const UNMERGED: &str = "merge the updates into the weights (with peft: model.merge_and_unload()) and \
    save the whole state dict";

/// Recognises an unsupported model; `None` where the tensors may be a SAM's.
pub(super) fn recognise(tensors: &[TensorName<'_>], layout: KeyLayout) -> Option<UnsupportedModel> {
    let holding = |mark: &str| tensors.iter().find(|t| t.name.contains(mark));
    let starting = |start: &str| tensors.iter().find(|t| t.name.starts_with(start));
    let found = |name, evidence: &TensorName<'_>, advice| {
        Some(UnsupportedModel { name, evidence: evidence.name.to_owned(), advice })
    };
    let [patch, block, encoder] = match layout {
        KeyLayout::Original => {
            ["image_encoder.patch_embed.proj.weight", "image_encoder.blocks.", "image_encoder."]
        }
        KeyLayout::Transformers => [
            "vision_encoder.patch_embed.projection.weight",
            "vision_encoder.layers.",
            "vision_encoder.",
        ],
    };
    // Updates and adapters first: next to them all of SAM's own names may be intact.
    if let Some(update) = tensors.iter().find(|t| is_low_rank_update(t.name)) {
        return match starting(patch) {
            None => found("LoRA updates without the weights they belong to", update, UNMERGED),
            Some(_) => found("a SAM with LoRA updates beside its weights", update, UNMERGED),
        };
    }
    if let Some(evidence) = starting("image_encoder.l_adapter.") {
        return found("DAPSAM", evidence, "the library reads it, as `desam::adapted::AdaptedSam`");
    }
    let adapter = |t: &&TensorName<'_>| t.name.to_ascii_lowercase().contains("adapter");
    if let Some(adapter) = tensors.iter().find(adapter) {
        let name = "a SAM with adapter layers (such as SAM-Med2D or Medical SAM Adapter)";
        return found(name, adapter, "");
    }
    for model in &MODELS {
        if let Some(evidence) = model.any_of.iter().find_map(|mark| holding(mark)) {
            return found(model.name, evidence, model.advice);
        }
    }
    if let Some(volumetric) = tensors.iter().find(|t| t.name == patch && t.rank == 5) {
        return found("a SAM for volumes with 3-D patches (such as SAM-Med3D)", volumetric, "");
    }
    // Neither patches nor blocks of SAM's ViT, nor those of MobileSAM's TinyViT, but something under the
    // encoder's name.
    let supported = [patch, block, MOBILE_SAM].iter().any(|start| starting(start).is_some());
    if let (Some(other), false) = (starting(encoder), supported) {
        return found("a SAM over another image encoder than SAM's ViT or a TinyViT", other, "");
    }
    let no_parts = !tensors.iter().any(|t| super::names::split_at_part(t.name).is_some());
    if let (true, Some(tiny)) = (no_parts, holding(TINY_VIT)) {
        return found(
            "a TinyViT without SAM's name prefixes (an image encoder alone)",
            tiny,
            WHOLE,
        );
    }
    let plain = holding("patch_embed.proj").filter(|_| holding("blocks.0.").is_some());
    match (no_parts, plain) {
        (true, Some(vit)) => found(
            "a ViT without SAM's name prefixes (an image encoder alone, an MAE, a DINO)",
            vit,
            WHOLE,
        ),
        _ => None,
    }
}

/// Names of low-rank updates: of peft, of loralib, and of SAMed and its kin (`linear_a_q`,
/// `w_a_000`).
fn is_low_rank_update(name: &str) -> bool {
    let numbered = |component: &str| {
        let rest = component.strip_prefix("w_a_").or_else(|| component.strip_prefix("w_b_"));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    name.split('.').any(|component| {
        ["lora_", "linear_a_", "linear_b_"].iter().any(|start| component.starts_with(start))
            || component == "base_layer"
            || numbered(component)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(names: &[&str], layout: KeyLayout) -> Option<String> {
        let tensors: Vec<TensorName<'_>> =
            names.iter().map(|name| TensorName { name, rank: 4 }).collect();
        recognise(&tensors, layout).map(|found| found.name.to_owned())
    }

    /// Names as the programs save them: facebookresearch/sam2, transformers' Sam2Model,
    /// yformer/EfficientSAM, SysCV/sam-hq, transformers' SamHQModel,
    /// mit-han-lab/efficientvit, chongzhou96/EdgeSAM, huggingface/peft, hitachinsk/SAMed,
    /// OpenGVLab/SAM-Med2D.
    #[test]
    fn relatives_of_sam_are_named() {
        use KeyLayout::{Original, Transformers};
        let patch = "image_encoder.patch_embed.proj.weight";
        let block = "image_encoder.blocks.0.attn.qkv.weight";
        for (names, layout, expected) in [
            (
                &["image_encoder.trunk.pos_embed", "sam_mask_decoder.iou_token.weight"][..],
                Original,
                "SAM 2",
            ),
            (&["vision_encoder.backbone.blocks.0.attn.qkv.weight"], Transformers, "SAM 2"),
            (&[patch, block, "prompt_encoder.invalid_points.weight"], Original, "EfficientSAM"),
            (&[patch, block, "mask_decoder.hf_token.weight"], Original, "HQ-SAM"),
            (
                &["vision_encoder.layers.0.x", "mask_decoder.hq_token.weight"],
                Transformers,
                "HQ-SAM",
            ),
            (
                &["image_encoder.backbone.input_stem.op_list.0.conv.weight"],
                Original,
                "EfficientViT",
            ),
            (&["image_encoder.features.0.0.c.weight"], Original, "EdgeSAM"),
            (
                &["vision_encoder.layers.0.attn.qkv.lora_A.weight"],
                Transformers,
                "LoRA updates without",
            ),
            (
                &[patch, block, "image_encoder.l_adapter.embedding_generator.weight"],
                Original,
                "DAPSAM",
            ),
            (
                &["w_a_000", "w_b_000", "mask_decoder.iou_token.weight"],
                Original,
                "LoRA updates without",
            ),
            (
                &[patch, block, "image_encoder.blocks.0.attn.qkv.linear_a_q.weight"],
                Original,
                "a SAM with LoRA",
            ),
            (
                &[patch, block, "image_encoder.blocks.0.Adapter.channel.0.weight"],
                Original,
                "adapter",
            ),
            (&["image_encoder.conv1.weight"], Original, "another image encoder"),
            (
                &["patch_embed.seq.0.c.weight", "layers.0.blocks.0.conv1.c.weight"],
                Original,
                "a TinyViT",
            ),
            (&["patch_embed.proj.weight", "blocks.0.attn.qkv.weight"], Original, "a ViT"),
        ] {
            let found = name_of(names, layout).unwrap_or_default();
            assert!(found.starts_with(expected) || found.contains(expected), "{names:?}: {found}");
        }
    }

    #[test]
    fn sam_and_its_parts_are_not_taken_for_others() {
        use KeyLayout::{Original, Transformers};
        for (names, layout) in [
            (
                &["image_encoder.patch_embed.proj.weight", "image_encoder.blocks.0.norm1.weight"][..],
                Original,
            ),
            (&["mask_decoder.iou_token.weight", "mask_decoder.pimm.x"], Original),
            // ChaoningZhang/MobileSAM.
            (
                &["image_encoder.patch_embed.seq.0.c.weight", "image_encoder.norm_head.weight"],
                Original,
            ),
            (
                &["vision_encoder.layers.0.attn.qkv.weight", "vision_encoder.neck.conv1.weight"],
                Transformers,
            ),
            (&["encoder.stages.0.weight"], Original),
        ] {
            assert_eq!(name_of(names, layout), None, "{names:?}");
        }
    }

    #[test]
    fn a_patch_of_five_dimensions_is_one_of_a_volume() {
        let tensors = [TensorName { name: "image_encoder.patch_embed.proj.weight", rank: 5 }];
        let found = recognise(&tensors, KeyLayout::Original).unwrap();
        assert!(found.name.contains("3-D"), "{found:?}");
    }
}
