//! Subjects beyond DeSAM: other published methods, each with one file of reference vectors and one of
//! its configuration.

mod activations;
mod dapsam;
mod dapsam_data;
mod gradients;
mod lora;
mod tinyvit;
mod training;

use super::reference_folder::ReferenceFolder;
use super::reference_vectors::ReferenceVectors;
use super::report::{GradientCheck, Skipped, Stage};
use crate::Result;
use desam::files::read_json;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// A subject: the name of its files, and the function that compares it.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) run: fn(&SubjectFiles<'_>) -> Result<SubjectReport>,
}

/// All subjects, in the order of the report.
pub(super) const SUBJECTS: [Subject; 5] = [
    Subject { name: "dapsam", run: dapsam::dapsam },
    Subject { name: "dapsam_intended", run: dapsam::intended },
    Subject { name: "dapsam_data", run: dapsam_data::dapsam_data },
    Subject { name: "lora", run: lora::lora },
    Subject { name: "tinyvit", run: tinyvit::tinyvit },
];

/// The files of a subject.
pub(super) struct SubjectFiles<'a> {
    pub(super) folder: &'a ReferenceFolder,
    pub(super) vectors: ReferenceVectors,
    json: PathBuf,
}

/// Results of a subject.
#[derive(Default)]
pub(super) struct SubjectReport {
    pub(super) stages: Vec<Stage>,
    pub(super) gradients: Vec<GradientCheck>,
    pub(super) skipped: Vec<Skipped>,
}

/// The file next to a subject's vectors.
#[derive(serde::Deserialize)]
struct SubjectJson<T> {
    config: T,
}

impl Subject {
    /// The name of its vectors.
    pub(super) fn file(&self) -> String {
        format!("{}.safetensors", self.name)
    }

    /// Compares the subject, if the folder has its files.
    pub(super) fn compare(&self, folder: &ReferenceFolder) -> Result<Option<SubjectReport>> {
        let Some(vectors) = folder.vectors(&self.file())? else {
            return Ok(None);
        };
        if !folder.on.precision.is_f32() {
            let reason = format!("only in f32, not in {}", folder.on.precision);
            let skipped = vec![Skipped { what: self.name.to_owned(), reason }];
            return Ok(Some(SubjectReport { skipped, ..SubjectReport::default() }));
        }
        let json = folder.dir.join(self.file()).with_extension("json");
        (self.run)(&SubjectFiles { folder, vectors, json }).map(Some)
    }
}

impl SubjectFiles<'_> {
    /// The configuration that the vectors were computed with.
    fn config<T: DeserializeOwned>(&self) -> Result<T> {
        let read: SubjectJson<T> = read_json(&self.json)?;
        Ok(read.config)
    }
}
