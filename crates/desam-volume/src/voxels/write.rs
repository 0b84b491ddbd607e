//! Helpers of all writers: gzip, and protection of the image's own files.

use crate::{Error, Result};
use flate2::{Compression, GzBuilder};
use std::io::{BufWriter, IntoInnerError, Result as IoResult, Write};
use std::path::Path;

/// Writes `content` gzip-compressed, without name and time in the gzip header, so that the same content
/// gives the same bytes.
pub(crate) fn gzip(
    out: &mut dyn Write,
    content: impl FnOnce(&mut dyn Write) -> IoResult<()>,
) -> IoResult<()> {
    let encoder = GzBuilder::new().mtime(0).write(out, Compression::default());
    let mut buffered = BufWriter::with_capacity(1 << 16, encoder);
    content(&mut buffered)?;
    buffered.into_inner().map_err(IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// Rejects output files that are among the files being read: a mask may share the folder of its image,
/// and the names of two-file formats derive from one name.
pub(crate) fn expect_others<'a>(
    read: impl IntoIterator<Item = &'a Path>,
    written: impl IntoIterator<Item = &'a std::path::PathBuf>,
) -> Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    let read: Vec<_> = read.into_iter().filter_map(real).collect();
    match written.into_iter().find(|w| real(w).is_some_and(|w| read.contains(&w))) {
        None => Ok(()),
        Some(path) => Err(Error::Unwritable {
            path: path.clone(),
            problem: "it belongs to the image that this mask is of; choose another name".into(),
        }),
    }
}
