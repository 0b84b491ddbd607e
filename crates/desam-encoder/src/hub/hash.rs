//! SHA-256, the hub's and the cache's name of a large file.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Whether `text` is a SHA-256 in hexadecimal.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A digest in hexadecimal.
pub(super) fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Hashes a whole file.
pub(super) fn feed(hasher: &mut Sha256, mut file: impl Read) -> std::io::Result<u64> {
    let mut buffer = vec![0u8; 1 << 20];
    let mut total = 0;
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => return Ok(total),
        }
        total += read as u64;
    }
}

pub(super) fn sha256_of(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let file = desam_core::files::open_regular(path).map_err(Error::io(path))?;
    feed(&mut hasher, file).map_err(Error::io(path))?;
    Ok(hexadecimal(hasher))
}
