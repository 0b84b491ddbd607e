//! File format detection by magic number: files of a download cache have no extension.

use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// File format of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFormat {
    /// A zip, as `torch.save` writes it since PyTorch 1.6.
    Zip,
    Safetensors,
    /// Another format, with an error message that names it.
    Other(&'static str),
}

/// Start of every file in PyTorch's legacy format: `torch.serialization.MAGIC_NUMBER` as a pickled
/// integer of ten bytes.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Bytes to read: a tar header's length.
const START: u64 = 512;

impl FileFormat {
    /// Detects the format of a file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn detect(path: &Path) -> Result<Self> {
        let mut start = Vec::new();
        let file = desam_core::files::open_regular(path).map_err(Error::io(path))?;
        file.take(START).read_to_end(&mut start).map_err(Error::io(path))?;
        Ok(Self::of_start(&start))
    }

    fn of_start(start: &[u8]) -> Self {
        let contains = |part: &[u8]| start.windows(part.len()).any(|w| w == part);
        let text = start.trim_ascii_start();
        match start {
            [] => Self::Other("it is empty; get it again"),
            // The header of an entry, or the end record of an empty archive.
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            // Eight bytes of header length, then JSON.
            [_, _, _, _, _, _, _, _, b'{', ..] => Self::Safetensors,
            // 0x80 is the opcode PROTO, with which pickles of protocols 2 to 5 begin.
            [0x80, 2..=5, ..] if contains(LEGACY_MAGIC) => Self::Other(LEGACY),
            [0x80, 2..=5, ..] => Self::Other(
                "it is a pickle that torch.save did not write; load it in Python and write its \
                 state dict with torch.save(state_dict, path)",
            ),
            _ if start.get(257..262) == Some(b"ustar") || is_old_tar(start) => Self::Other(TAR),
            [0x1f, 0x8b, ..] => Self::Other("it is compressed with gzip; unpack it"),
            [0x89, b'H', b'D', b'F', ..] => Self::Other("it is HDF5 (Keras, TensorFlow)"),
            [b'G', b'G', b'U', b'F', ..] => Self::Other("it is GGUF"),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Other("it is a NumPy array"),
            [b'7', b'z', 0xbc, 0xaf, ..] => Self::Other("it is a 7z archive; unpack it"),
            _ if text.starts_with(b"version https://git-lfs") => Self::Other(
                "it is a Git LFS pointer, not the file it stands for; fetch that with git lfs pull",
            ),
            _ if text.starts_with(b"<") => {
                Self::Other("it is a web page, as a failed download leaves it; get it again")
            }
            _ => Self::Other("it starts neither like .safetensors nor like a zip of PyTorch"),
        }
    }
}

const LEGACY: &str = "it is in PyTorch's format from before version 1.6 (or was saved with \
    _use_new_zipfile_serialization=False), which is not read here; save it again in Python: \
    torch.save(torch.load(path, map_location=\"cpu\"), path)";

const TAR: &str = "it is a tar archive: either PyTorch's format from before version 0.1.10, which is \
    not read here (save it again in Python: torch.save(torch.load(path, map_location=\"cpu\"), \
    path)), or something that a checkpoint was packed into (unpack it)";

/// Whether it is a pre-POSIX tar, as the first releases of PyTorch wrote it, by its entries' names.
fn is_old_tar(start: &[u8]) -> bool {
    let name: &[u8] = start.split(|b| *b == 0).next().unwrap_or_default();
    start.len() == START as usize
        && [&b"sys_info"[..], b"pickle", b"storages", b"tensors"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(start: &[u8]) -> &'static str {
        match FileFormat::of_start(start) {
            FileFormat::Other(what) => what,
            format => panic!("{format:?}"),
        }
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        assert_eq!(FileFormat::of_start(b"PK\x03\x04rest"), FileFormat::Zip);
        assert_eq!(FileFormat::of_start(b"\x02\0\0\0\0\0\0\0{}"), FileFormat::Safetensors);
        // torch.save of PyTorch 1.5: the magic number in protocol 2.
        let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
        assert!(other(legacy).contains("before version 1.6"));
        assert!(other(b"\x80\x02}q\x00.").contains("torch.save did not write"));
        let mut tar = vec![0u8; 512];
        tar[..8].copy_from_slice(b"sys_info");
        assert!(other(&tar).contains("0.1.10"));
        tar[..8].copy_from_slice(b"anything");
        assert!(other(&tar).contains("starts neither"));
        tar[257..262].copy_from_slice(b"ustar");
        assert!(other(&tar).contains("tar archive"));
        assert!(other(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
        assert!(other(b"\n<!DOCTYPE html>").contains("web page"));
        assert!(other(b"\x89HDF\r\n\x1a\n").contains("HDF5"));
        assert!(other(b"\x1f\x8b\x08").contains("gzip"));
        assert!(other(b"").contains("empty"));
    }
}
