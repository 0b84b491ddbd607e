//! The classes of a run by its settings, compared with those of its model.

use super::RUN_CONFIG_FILE;
use crate::{Error, Result};
use desam_core::ClassTable;
use desam_core::files::read_regular_to_string;
use serde::Deserialize;
use std::path::Path;

/// The part of a run's settings that the model's record repeats.
#[derive(Deserialize)]
struct RunSettings {
    train: TrainSettings,
}

#[derive(Deserialize)]
struct TrainSettings {
    #[serde(default)]
    classes: ClassTable,
}

/// Checks that the run in folder `run` was trained for the classes that the record in its `model` names:
/// otherwise the model's masks would carry the labels of other structures. A model outside a run's folder has
/// nothing to be compared with, and prediction needs no other setting: a file that cannot be read says nothing.
///
/// # Errors
/// When they differ; both files are named.
pub(super) fn check_run_classes(run: &Path, model: &Path, classes: &ClassTable) -> Result<()> {
    let config = run.join(RUN_CONFIG_FILE);
    let text = if model == run { None } else { read_regular_to_string(&config).ok() };
    let settings = text.and_then(|text| serde_json::from_str::<RunSettings>(&text).ok());
    match settings.map(|settings| settings.train.classes) {
        Some(trained) if trained != *classes => Err(Error::file(
            model,
            format!(
                "its record names the classes {classes}, {RUN_CONFIG_FILE} beside it {trained}; one of the \
                 two was altered or is of another run: get both files again from where it was trained"
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_other_classes_than_its_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model.safetensors");
        let zones: ClassTable = "pz=1,tz=2".parse().unwrap();
        let check = |config: &str, classes: &ClassTable| {
            std::fs::write(dir.path().join(RUN_CONFIG_FILE), config).unwrap();
            check_run_classes(dir.path(), &model, classes).map_err(|e| e.to_string())
        };
        let config = r#"{"train": {"classes": "pz=1,tz=2", "epochs": 3}, "decoder": {}}"#;
        check(config, &zones).unwrap();
        let error = check(config, &"tz=2,pz=1".parse().unwrap()).unwrap_err();
        for words in ["model.safetensors: its record", "tz=2,pz=1", "config.json", "pz=1,tz=2"] {
            assert!(error.contains(words), "{error}");
        }
        // Older settings have no classes, and mean one foreground.
        assert!(check(r#"{"train": {}}"#, &zones).is_err());
        check(r#"{"train": {}}"#, &ClassTable::default()).unwrap();
        // What is no run's settings says nothing, nor does a file outside a run.
        check("{}", &zones).unwrap();
        check_run_classes(&model, &model, &ClassTable::default()).unwrap();
    }
}
