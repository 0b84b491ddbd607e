//! `--encoder`: built in, random, downloaded or from a file.

use crate::commands::Session;
use crate::usage::usage;
use anyhow::bail;
use desam::encoder::VitConfig;
use desam::encoder::checkpoint::is_model_folder;
use desam::model::EncoderChoice;
use desam::types::text::{did_you_mean, path_for_people, path_text};
use std::ffi::OsString;
use std::path::PathBuf;

/// Value of `--encoder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EncoderArg {
    Tiny,
    TinyRandom,
    Hub(String),
    File(PathBuf),
}

/// Reserved names; anything else is a path.
const NAMES: [&str; 6] = ["tiny", "tiny-random", "vit-b", "vit-l", "vit-h", "medsam"];

/// From an `OsString`, because a path need not be UTF-8.
impl From<OsString> for EncoderArg {
    fn from(argument: OsString) -> Self {
        match argument.to_str() {
            Some("tiny") => Self::Tiny,
            Some("tiny-random") => Self::TinyRandom,
            Some(name) if NAMES.contains(&name) => Self::Hub(name.to_owned()),
            _ => Self::File(argument.into()),
        }
    }
}

impl EncoderArg {
    /// Rejects a seed for weights that are not random. Call this before any file is read.
    pub(super) fn check_seed(&self, seed: Option<u64>) -> anyhow::Result<()> {
        if *self != Self::TinyRandom && seed.is_some() {
            return Err(usage("--encoder-seed is only for --encoder tiny-random"));
        }
        Ok(())
    }

    /// The encoder for the library; downloads the weights if necessary.
    pub(super) fn choice(
        &self,
        seed: Option<u64>,
        session: &Session,
    ) -> anyhow::Result<EncoderChoice> {
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
                "--encoder {}: no such checkpoint file or model folder, and not one of {}{}",
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
        "download folder: {:?}{}",
        environment.cache_dir,
        if environment.offline { ", offline" } else { "" }
    ));
    let mut options = HubOptions::default();
    options.cache_dir = environment.cache_dir;
    options.endpoint = environment.endpoint;
    options.token = environment.token;
    options.offline = environment.offline;
    let model = HubModel::preset(name)?;
    Ok(fetch(&model, &options, &session.terminal)?)
}

#[cfg(not(feature = "hub"))]
fn download(name: &str, _session: &Session) -> anyhow::Result<PathBuf> {
    bail!(
        "--encoder {name}: this program was built without downloads (feature `hub`); download the \
         checkpoint and give its path, or rebuild with `--features hub`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_encoders_and_anything_else_is_a_path() {
        let read = |text: &str| EncoderArg::from(OsString::from(text));
        assert_eq!(read("tiny"), EncoderArg::Tiny);
        assert_eq!(read("tiny-random"), EncoderArg::TinyRandom);
        assert_eq!(read("vit-h"), EncoderArg::Hub("vit-h".into()));
        assert_eq!(read("./vit-h"), EncoderArg::File("./vit-h".into()));
        assert_eq!(read("sam.pth"), EncoderArg::File("sam.pth".into()));
    }
}
