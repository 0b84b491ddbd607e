//! Atomic writer of `.safetensors` files.

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use desam_core::Destination;
use desam_nn::params::Tensors;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes tensors as f32 under their names, with `metadata`, as `.safetensors`.
///
/// The write is atomic: a temporary file in the same folder is written, synced, then renamed. Symbolic
/// links are followed; devices and FIFOs are written to directly. The same tensors and metadata give
/// the same bytes. At most one tensor is copied at a time.
///
/// # Errors
/// When the folder cannot be written to or a tensor cannot be copied to the host.
pub fn write(
    path: impl AsRef<Path>,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write_as(path.as_ref(), tensors, metadata, Stored::F32)
}

/// [`write()`] as f16, each value rounded to nearest: half the size.
///
/// # Errors
/// As [`write()`], and when a value is not finite as f16.
pub fn write_f16(
    path: impl AsRef<Path>,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write_as(path.as_ref(), tensors, metadata, Stored::F16)
}

/// Element type of a file.
#[derive(Debug, Clone, Copy)]
enum Stored {
    F32,
    F16,
}

impl Stored {
    /// Its name in the header, and the size of an element in bytes.
    fn spelled(self) -> (&'static str, usize) {
        match self {
            Self::F32 => ("F32", 4),
            Self::F16 => ("F16", 2),
        }
    }
}

fn write_as(
    path: &Path,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
    stored: Stored,
) -> Result<()> {
    let header = header(path, tensors, metadata, stored)?;
    let target = match Destination::of(path).map_err(Error::io(path))? {
        Destination::Stream(mut file) => {
            // A device or FIFO must not be replaced by a rename.
            put_all(path, &mut file, &header, tensors, stored)?;
            // Best effort: most special files cannot be synced.
            file.sync_all().ok();
            return Ok(());
        }
        Destination::File(target) => target,
        _ => return Err(Error::io(path)(std::io::ErrorKind::Unsupported.into())),
    };
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = desam_core::temporary::create_in(folder).map_err(Error::io(folder))?;
    put_all(path, file.as_file_mut(), &header, tensors, stored)?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    file.persist(&target).map_err(|e| Error::io(path)(e.error))?;
    // Syncing the folder makes the rename itself durable; where that fails, the file is in place.
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
    Ok(())
}

/// Writes header and elements.
fn put_all(
    path: &Path,
    file: &mut File,
    header: &str,
    tensors: &Tensors,
    stored: Stored,
) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io(path));
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    for (name, tensor) in tensors {
        for value in host(tensor)? {
            match (stored, half::f16::from_f32(value)) {
                (Stored::F32, _) => put(&value.to_le_bytes())?,
                // f16 ends at 65504; larger values would round to infinity.
                (Stored::F16, half) if half.is_finite() => put(&half.to_le_bytes())?,
                (Stored::F16, _) => {
                    let reason = format!("{name} holds {value}, which f16 cannot");
                    return Err(Error::checkpoint(path, reason));
                }
            }
        }
    }
    out.flush().map_err(Error::io(path))
}

fn host(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// JSON header, padded with blanks so that the elements start at a multiple of 8.
fn header(
    path: &Path,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
    stored: Stored,
) -> Result<String> {
    let (dtype, bytes) = stored.spelled();
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut at = 0usize;
    for (name, tensor) in tensors {
        let end = at + bytes * tensor.elem_count();
        let entry = json!({"dtype": dtype, "shape": tensor.dims(), "data_offsets": [at, end]});
        if name == "__metadata__" || entries.insert(name.clone(), entry).is_some() {
            let reason = "a tensor may not be called __metadata__";
            return Err(Error::checkpoint(path, reason));
        }
        at = end;
    }
    let mut header = Value::Object(entries).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;
    use candle_core::Tensor;
    use proptest::prelude::*;

    fn sample() -> (Tensors, BTreeMap<String, String>) {
        let t = |v: &[f32], shape: &[usize]| Tensor::from_slice(v, shape, &Device::Cpu).unwrap();
        let tensors = Tensors::from([
            ("b.weight".to_owned(), t(&[1.0, -2.5, 3.25, 0.0, 7.0, f32::MIN_POSITIVE], &[2, 3])),
            ("a.bias".to_owned(), t(&[9.0], &[1])),
            ("scalar".to_owned(), t(&[4.0], &[])),
            ("none".to_owned(), t(&[], &[0, 3])),
        ]);
        let text = "quotes \" and \\ and \u{e9}".to_owned();
        (
            tensors,
            BTreeMap::from([("config".to_owned(), text), ("seed".to_owned(), "1".to_owned())]),
        )
    }

    fn values(t: &Tensor) -> (Vec<usize>, Vec<u32>) {
        let flat = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (t.dims().to_vec(), flat.into_iter().map(f32::to_bits).collect())
    }

    #[test]
    fn a_round_trip_keeps_all_bits_and_two_writes_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (tensors, metadata) = sample();
        let (one, two) = (dir.path().join("one.safetensors"), dir.path().join("two.safetensors"));
        write(&one, &tensors, &metadata).unwrap();
        write(&two, &tensors, &metadata).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let read = Checkpoint::open(&one).unwrap();
        assert_eq!(read.metadata, metadata);
        assert!(read.tensors.keys().eq(tensors.keys()));
        for (name, tensor) in &tensors {
            assert_eq!(values(tensor), values(&read.tensors[name]), "{name}");
        }
        // Nothing but the two files is left behind.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn f16_rounds_to_nearest_even_and_refuses_overflow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("half.safetensors");
        let t = |v: f32| Tensor::new(&[v], &Device::Cpu).unwrap();
        // IEEE 754: f16 has 11 significant bits, hence 1 + 2⁻¹¹ lies halfway and goes to even.
        let tensors = Tensors::from([
            ("a".to_owned(), t(1.0 + 2f32.powi(-11))),
            ("b".to_owned(), t(1.0 + 3.0 * 2f32.powi(-11))),
        ]);
        write_f16(&path, &tensors, &BTreeMap::new()).unwrap();
        let read = Checkpoint::open(&path).unwrap().tensors;
        let value = |name: &str| read[name].to_vec1::<f32>().unwrap()[0];
        assert_eq!((value("a"), value("b")), (1.0, 1.0 + 2f32.powi(-9)));
        let large = Tensors::from([("large".to_owned(), t(1e5))]);
        let error = write_f16(&path, &large, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("large holds 100000"), "{error}");
    }

    #[test]
    fn the_crate_that_defines_the_format_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let (tensors, metadata) = sample();
        write(&path, &tensors, &metadata).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("b.weight").unwrap().shape(), [2, 3]);
        assert_eq!(read.len(), 4);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        std::fs::write(&path, b"old").unwrap();
        let (mut tensors, metadata) = sample();
        tensors.insert("__metadata__".into(), tensors["scalar"].clone());
        assert!(write(&path, &tensors, &metadata).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert!(write(dir.path().join("no/such/x.safetensors"), &tensors, &metadata).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_devices_are_written_into() {
        use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (tensors, metadata) = sample();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("x.safetensors"), b"old").unwrap();
        symlink("x.safetensors", at("link.safetensors")).unwrap();
        symlink("/dev/null", at("null.safetensors")).unwrap();
        write(at("link.safetensors"), &tensors, &metadata).unwrap();
        assert!(at("link.safetensors").symlink_metadata().unwrap().is_symlink());
        assert!(Checkpoint::open(at("x.safetensors")).is_ok());
        write(at("null.safetensors"), &tensors, &metadata).unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        // As the umask says, as any other file.
        std::fs::write(at("plain"), b"").unwrap();
        let mode = |name: &str| std::fs::metadata(at(name)).unwrap().mode();
        assert_eq!(mode("x.safetensors"), mode("plain"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A cut file, and one with bytes changed in its header, never panics; a cut one is never
        /// accepted.
        #[test]
        fn damaged_files_are_errors(cut in 0usize..1000, at in 0usize..200, byte in any::<u8>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.safetensors");
            let (tensors, metadata) = sample();
            write(&path, &tensors, &metadata).unwrap();
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..cut % whole.len()]).unwrap();
            prop_assert!(Checkpoint::open(&path).is_err());
            let mut changed = whole;
            let at = at % changed.len();
            changed[at] = byte;
            std::fs::write(&path, &changed).unwrap();
            let _ = Checkpoint::open(&path);
        }
    }
}
