//! What all targets do: bytes become a file, the file is read both ways. A file of any bytes is a
//! whole volume or an error.

use desam_data::volumes;

/// Reads `bytes` as a file of this name.
pub fn read(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("the file can be written");
    if let Ok(volume) = volumes::read_volume(&path) {
        assert_eq!(volume.data().len(), volume.grid().len());
        assert!(volume.grid().affine.inverse().is_ok());
    }
    if let Ok(labels) = volumes::read_labels(&path) {
        assert_eq!(labels.data().len(), labels.grid().len());
    }
}
