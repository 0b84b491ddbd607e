//! The checkpoint that a decoder to train starts from.

use super::ModelRecord;
use crate::{Error, Result};
use desam_core::ClassTable;
use desam_core::text::DisplayPath as _;
use desam_encoder::Checkpoint;
use desam_nn::params::Tensors;
use std::path::{Path, PathBuf};

/// Parameters that a decoder starts from.
pub(super) struct DecoderStart {
    pub(super) tensors: Tensors,
    /// The classes of a checkpoint that was chosen as the start.
    pub(super) classes: Option<StartClasses>,
}

impl From<Tensors> for DecoderStart {
    fn from(tensors: Tensors) -> Self {
        Self { tensors, classes: None }
    }
}

/// The classes of a checkpoint.
pub(super) struct StartClasses {
    path: PathBuf,
    /// As its record names them; `None` without a record.
    named: Option<ClassTable>,
}

/// Opens a checkpoint whose mask decoder is to be the start.
///
/// # Errors
/// When there is no such file, it cannot be read, or it holds another model.
pub(super) fn open_start(path: &Path) -> Result<DecoderStart> {
    if !path.exists() {
        let reason = "there is no such file; expected the checkpoint whose mask decoder training starts \
                      from: a model file, the folder of a run, or a SAM; check the path";
        return Err(Error::file(path, reason));
    }
    let checkpoint = Checkpoint::open(path)?;
    checkpoint.expect_sam()?;
    let named = ModelRecord::read(&checkpoint.metadata, path)?.map(|record| record.classes);
    let classes = Some(StartClasses { path: path.to_owned(), named });
    Ok(DecoderStart { tensors: checkpoint.part("mask_decoder."), classes })
}

impl StartClasses {
    /// What does not carry over to a decoder of `classes`: `redrawn` of the checkpoint's parameters have
    /// another shape. Of as many classes each takes the parameters of the one at its position, whatever its
    /// name; one class may well start from another.
    pub(super) fn warning(&self, classes: &ClassTable, redrawn: usize) -> Option<String> {
        let from = self.path.display_escaped();
        let own = self.named.as_ref();
        let own = own.map_or("no named classes".to_owned(), |named| format!("classes {named}"));
        if redrawn > 0 {
            return Some(format!(
                "{from} has {own}, this training {classes}: {redrawn} of its parameters, the last layers, \
                 are for another number of classes and are drawn from the seed"
            ));
        }
        let named = self.named.as_ref().filter(|named| named.is_several())?;
        if named.len() != classes.len() || named.names().eq(classes.names()) {
            return None;
        }
        let pairs = named.names().zip(classes.names()).filter(|(theirs, ours)| theirs != ours);
        let pairs: Vec<String> =
            pairs.map(|(theirs, ours)| format!("{ours} from {theirs}")).collect();
        Some(format!(
            "{from} has {own}, this training {classes}: by their position {} would start; name the \
             classes in its order unless that is meant",
            pairs.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(named: Option<&str>) -> StartClasses {
        let named = named.map(|named| named.parse().unwrap());
        StartClasses { path: "old/model.safetensors".into(), named }
    }

    #[test]
    fn parameters_for_another_number_of_classes_are_redrawn() {
        let zones: ClassTable = "pz=1,tz=2".parse().unwrap();
        let warning = start(Some("foreground")).warning(&zones, 2).unwrap();
        for words in
            ["old/model.safetensors has classes foreground", "pz=1,tz=2", "2 of its parameters"]
        {
            assert!(warning.contains(words), "{warning}");
        }
        let unrecorded = start(None).warning(&zones, 2).unwrap();
        assert!(unrecorded.contains("has no named classes"), "{unrecorded}");
    }

    #[test]
    fn classes_in_another_order_are_warned_of() {
        let swapped = "tz=2,pz=1".parse().unwrap();
        let warning = start(Some("pz=1,tz=2")).warning(&swapped, 0).unwrap();
        assert!(warning.contains("tz from pz, pz from tz would start"), "{warning}");
        // The same names, other labels: another data set numbers the same structures otherwise.
        let relabelled = "pz=10,tz=20".parse().unwrap();
        assert_eq!(start(Some("pz=1,tz=2")).warning(&relabelled, 0), None);
        // One class may start from another.
        let zone = "tz=2".parse().unwrap();
        assert_eq!(start(Some("foreground")).warning(&zone, 0), None);
        assert_eq!(start(None).warning(&swapped, 0), None);
    }

    #[test]
    fn a_missing_file_is_named_with_what_was_expected() {
        let error = open_start(Path::new("nope")).err().unwrap().to_string();
        assert!(error.starts_with("nope: there is no such file"), "{error}");
        assert!(error.contains("folder of a run") && error.contains("check the path"), "{error}");
    }
}
