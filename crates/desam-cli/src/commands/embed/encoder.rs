//! What `--encoder` may say, and where it comes from.

use crate::commands::Session;
use anyhow::bail;
use desam::encoder::VitConfig;
use desam::encoder::checkpoint::is_model_folder;
use desam::model::EncoderChoice;
use desam::types::text::{did_you_mean, path_for_people, path_text};
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--encoder` may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encoder {
    Tiny,
    TinyRandom,
    Hub(String),
    File(PathBuf),
}

/// Names that are no files.
const NAMES: [&str; 6] = ["tiny", "tiny-random", "vit-b", "vit-l", "vit-h", "medsam"];

/// A file's name need not be UTF-8.
impl From<OsString> for Encoder {
    fn from(argument: OsString) -> Self {
        match argument.to_str() {
            Some("tiny") => Self::Tiny,
            Some("tiny-random") => Self::TinyRandom,
            Some(name) if NAMES.contains(&name) => Self::Hub(name.to_owned()),
            _ => Self::File(argument.into()),
        }
    }
}

impl Encoder {
    /// The encoder itself, downloaded where it has to be.
    pub(super) fn choice(
        &self,
        seed: Option<u64>,
        session: &Session,
    ) -> anyhow::Result<EncoderChoice> {
        if *self != Self::TinyRandom && seed.is_some() {
            bail!(
                "--encoder-seed: only the weights of --encoder tiny-random are drawn from a seed"
            );
        }
        match self {
            Self::Tiny => Ok(EncoderChoice::Builtin),
            Self::TinyRandom => {
                let seed = seed.unwrap_or(0);
                Ok(EncoderChoice::Random { config: VitConfig::tiny(), seed })
            }
            Self::Hub(name) => {
                Ok(EncoderChoice::File { path: download(name, session)?, name: Some(name.clone()) })
            }
            Self::File(path) if path.is_file() || is_model_folder(path) => {
                Ok(EncoderChoice::file(path))
            }
            Self::File(path) => bail!(
                "--encoder {}: no such file or folder of a model, and not one of {}{}",
                path_for_people(path),
                NAMES.join(", "),
                did_you_mean(&path_text(path), NAMES)
            ),
        }
    }
}

#[cfg(feature = "hub")]
fn download(name: &str, session: &Session) -> anyhow::Result<PathBuf> {
    use desam::encoder::hub::{HubModel, HubOptions, fetch};
    let environment = crate::environment::HubEnvironment::read();
    session.detail(&format!(
        "weights are kept in {:?}{}",
        environment.cache_dir,
        if environment.offline { ", offline" } else { "" }
    ));
    let mut options = HubOptions::default();
    options.cache_dir = environment.cache_dir;
    options.endpoint = environment.endpoint;
    options.token = environment.token;
    options.offline = environment.offline;
    let model = HubModel::preset(name)?;
    Ok(fetch(&model, &options, &session.screen)?)
}

#[cfg(not(feature = "hub"))]
fn download(name: &str, _session: &Session) -> anyhow::Result<PathBuf> {
    bail!(
        "--encoder {name}: this program was built without downloads (the feature `hub`); get the \
         checkpoint yourself and give its path, or build again with `--features hub`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_the_rest_are_files() {
        let read = |text: &str| Encoder::from(OsString::from(text));
        assert_eq!(read("tiny"), Encoder::Tiny);
        assert_eq!(read("tiny-random"), Encoder::TinyRandom);
        assert_eq!(read("vit-h"), Encoder::Hub("vit-h".into()));
        assert_eq!(read("./vit-h"), Encoder::File("./vit-h".into()));
        assert_eq!(read("sam.pth"), Encoder::File("sam.pth".into()));
    }
}
