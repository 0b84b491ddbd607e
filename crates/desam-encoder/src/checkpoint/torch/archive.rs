//! The zip archive that `torch.save` writes.

use crate::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// Limit on the pickle's length, against memory exhaustion; a tensor takes a few hundred bytes.
const LONGEST_PICKLE: u64 = 1 << 28;

/// An archive, and the folder in it that holds `data.pkl`.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    root: String,
}

impl Archive {
    /// # Errors
    /// When the file is no zip, is damaged, or is a zip of something else, which the error names.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = BufReader::new(desam_core::files::open_regular(path).map_err(Error::io(path))?);
        // The directory starts where the end record says, counted from the file's first byte. By
        // default the crate guesses that start from the directory's size, to allow for data in front
        // of the archive, and takes no account of the zip64 records which PyTorch writes in between:
        // 76 bytes that are the length of a whole entry where the archive's name has 21 letters.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, file).map_err(|e| {
            Error::checkpoint(path, format!("damaged zip: {}; get the file again", brief(&e)))
        })?;
        let names: Vec<String> =
            zip.file_names().filter_map(|n| n.ok().map(|n| n.into_owned())).collect();
        let Some(pickle) = names.iter().find(|n| *n == "data.pkl" || n.ends_with("/data.pkl"))
        else {
            return Err(Error::checkpoint(path, other_archive(&names)));
        };
        // PyTorch names the archive's folder after the file that it wrote, so any name is possible.
        let root = pickle.trim_end_matches("data.pkl").to_owned();
        if names.iter().any(|n| *n == format!("{root}constants.pkl")) {
            let reason = "it is a TorchScript archive (torch.jit.save), whose weights are part of a \
                          program; save them alone in Python: \
                          torch.save(torch.jit.load(path).state_dict(), other_path)";
            return Err(Error::checkpoint(path, reason));
        }
        let mut archive = Self { path: path.to_owned(), zip, root };
        // Older versions of PyTorch do not write this entry.
        if archive.read("byteorder", 64).is_ok_and(|order| order == b"big") {
            let reason =
                "it was saved on a big-endian machine; save it again on a little-endian one";
            return Err(Error::checkpoint(path, reason));
        }
        Ok(archive)
    }

    /// The pickle, which describes all tensors.
    pub(super) fn pickle(&mut self) -> Result<Vec<u8>> {
        self.read("data.pkl", LONGEST_PICKLE)
    }

    /// The bytes of a storage.
    pub(super) fn storage(&mut self, key: &str) -> Result<Vec<u8>> {
        self.read(&format!("data/{key}"), u64::MAX)
    }

    /// Length of a storage in bytes, without reading it.
    pub(super) fn storage_length(&mut self, key: &str) -> Result<u64> {
        let name = format!("{}data/{key}", self.root);
        let entry = self.zip.by_name(&name);
        Ok(entry.map_err(|e| entry_error(&self.path, &name, &e))?.size())
    }

    /// Reads a whole entry of at most `longest` bytes; reading to its end also checks its CRC.
    fn read(&mut self, name: &str, longest: u64) -> Result<Vec<u8>> {
        let name = format!("{}{name}", self.root);
        let problem = |e: &ZipError| entry_error(&self.path, &name, e);
        let refuse = |reason: String| Error::checkpoint(&self.path, reason);
        let Some(index) = self.zip.index_for_name(&name) else {
            return Err(problem(&ZipError::FileNotFound));
        };
        // The raw entry first: its header is checked before anything is decompressed or allocated.
        let raw = self.zip.by_index_raw(index).map_err(|e| problem(&e))?;
        let (size, crc, method) = (raw.size(), raw.crc32(), raw.compression());
        if method != CompressionMethod::Stored {
            let reason = format!(
                "{name} is compressed, which torch.save never does; save it again in Python: \
                 torch.save(torch.load(path, map_location=\"cpu\"), path)"
            );
            return Err(refuse(reason));
        }
        if size != raw.compressed_size() || size > longest {
            let reason = format!("{name} claims {size} bytes; get the file again");
            return Err(refuse(reason));
        }
        let mut bytes = Vec::new();
        let read = if crc == 0 {
            // The writer disabled checksums: torch.serialization.set_crc32_options(False).
            let mut raw = raw;
            raw.read_to_end(&mut bytes)
        } else {
            drop(raw);
            self.zip.by_index(index).map_err(|e| problem(&e))?.read_to_end(&mut bytes)
        };
        read.map_err(|e| refuse(format!("{name}: {e}; get the file again")))?;
        if bytes.len() as u64 != size {
            let reason = format!("{name} ends after {} of {size} bytes; get it again", bytes.len());
            return Err(refuse(reason));
        }
        Ok(bytes)
    }
}

fn entry_error(path: &Path, name: &str, error: &ZipError) -> Error {
    Error::checkpoint(path, format!("its entry {name}: {}; get the file again", brief(error)))
}

/// The `zip` crate's message without its prefix.
fn brief(error: &ZipError) -> String {
    match error {
        ZipError::Io(e) => e.to_string(),
        ZipError::FileNotFound => "is missing".to_owned(),
        other => other.to_string(),
    }
}

/// Description of a zip that is not a PyTorch checkpoint.
fn other_archive(names: &[String]) -> String {
    let ends = |suffix: &str| names.iter().any(|n| n.ends_with(suffix));
    let found = if ends(".npy") {
        "it is a NumPy .npz archive"
    } else if ends(".dcm") || ends(".nii") || ends(".nii.gz") {
        "it is a zip of images"
    } else if ends(".pth") || ends(".pt") || ends(".safetensors") || ends(".bin") {
        "it is a zip that a checkpoint was packed into; unpack it"
    } else {
        "the zip holds no data.pkl: not from torch.save"
    };
    format!("{found}; expected what torch.save writes, or .safetensors")
}
