//! Writes small NIfTI and Analyze files to a folder and reads each with the `nifti` crate.
//!
//! ```text
//! cargo run --manifest-path scripts/packages/nifti/Cargo.toml -- FOLDER
//! for file in FOLDER/*; do desam info "$file"; done
//! ```
//!
//! All files hold the values 0 to 23 on a grid of 2×3×4, at 0.5 × 0.5 × 3 mm.

use flate2::{Compression, write::GzEncoder};
use nifti::{IntoNdArray, NiftiObject, ReaderOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

/// A NIfTI-1 header of the grid above, followed by the four bytes "no extension".
struct Header([u8; 352]);

impl Header {
    fn new() -> Self {
        let mut header = Self([0; 352]);
        header.i32(0, 348);
        for (axis, size) in [3, 2, 3, 4, 1, 1, 1, 1].into_iter().enumerate() {
            header.i16(40 + 2 * axis, size);
        }
        header.i16(70, 4).i16(72, 16); // i16, 16 bits
        for (axis, size) in [1.0, 0.5, 0.5, 3.0].into_iter().enumerate() {
            header.f32(76 + 4 * axis, size);
        }
        header.f32(108, 352.0).f32(112, 1.0); // vox_offset, scl_slope
        header.bytes(344, b"n+1\0");
        header
    }

    fn bytes(&mut self, at: usize, value: &[u8]) -> &mut Self {
        self.0[at..at + value.len()].copy_from_slice(value);
        self
    }

    fn i16(&mut self, at: usize, value: i16) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    fn i32(&mut self, at: usize, value: i32) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    fn f32(&mut self, at: usize, value: f32) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    fn with_voxels(&self) -> Vec<u8> {
        [&self.0[..], &voxels()].concat()
    }
}

fn voxels() -> Vec<u8> {
    (0i16..24).flat_map(i16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The same volume as NIfTI-2, whose header has 540 bytes.
fn nifti_2() -> Vec<u8> {
    let mut header = vec![0; 544];
    let mut put = |at: usize, value: &[u8]| header[at..at + value.len()].copy_from_slice(value);
    put(0, &540i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &4i16.to_le_bytes());
    put(14, &16i16.to_le_bytes());
    for (axis, size) in [3i64, 2, 3, 4, 1, 1, 1, 1].into_iter().enumerate() {
        put(16 + 8 * axis, &size.to_le_bytes());
    }
    for (axis, size) in [1f64, 0.5, 0.5, 3.0].into_iter().enumerate() {
        put(104 + 8 * axis, &size.to_le_bytes());
    }
    put(168, &544i64.to_le_bytes());
    put(176, &1f64.to_le_bytes());
    [header, voxels()].concat()
}

/// Writes the files and gives the path to open for each, with what is special about it.
fn write_files(folder: &Path) -> io::Result<Vec<(&'static str, PathBuf)>> {
    fs::create_dir_all(folder)?;
    let mut files = Vec::new();
    let mut put = |what, name: &str, bytes: Vec<u8>| -> io::Result<()> {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        files.push((what, path));
        Ok(())
    };
    let plain = Header::new().with_voxels();
    put("NIfTI-1", "plain.nii", plain.clone())?;
    put("gzip, lower case", "packed.nii.gz", gzip(&plain)?)?;
    put("gzip, upper case", "PACKED.NII.GZ", gzip(&plain)?)?;
    let (head, tail) = plain.split_at(360);
    put("gzip of two members (pigz, bgzip)", "members.nii.gz", [gzip(head)?, gzip(tail)?].concat())?;
    put("NIfTI-2", "second.nii", nifti_2())?;
    let mut nan = Header::new();
    put("scl_slope NaN", "slope_nan.nii", nan.f32(112, f32::NAN).with_voxels())?;
    let mut none = Header::new();
    put("pixdim of 0", "spacing.nii", none.f32(88, 0.0).with_voxels())?;
    let mut large = Header::new();
    large.i16(42, 20_000).i16(44, 20_000).i16(46, 100);
    put("400 bytes that promise 80 GB", "promise.nii", large.with_voxels())?;
    let mut wide = Header::new();
    wide.i16(40, 5).i16(48, 1).i16(50, 1);
    put("five dimensions, the last two 1", "five.nii", wide.with_voxels())?;
    let mut analyze = Header::new();
    analyze.bytes(344, &[0; 4]).f32(108, 0.0).f32(112, 0.0);
    fs::write(folder.join("analyze.img"), voxels())?;
    put("Analyze 7.5", "analyze.hdr", analyze.0[..348].to_vec())?;
    Ok(files)
}

fn describe(path: &Path) -> Result<String, nifti::NiftiError> {
    let object = ReaderOptions::new().read_file(path)?;
    let pixdim = object.header().pixdim;
    let values = object.into_volume().into_ndarray::<f32>()?;
    Ok(format!(
        "{:?}, spacing {:?}, last value {:?}",
        values.shape(),
        &pixdim[1..4],
        values.last()
    ))
}

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("usage: nifti-evidence FOLDER");
        return ExitCode::from(2);
    };
    let files = match write_files(Path::new(&folder)) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    };
    for (what, path) in files {
        match describe(&path) {
            Ok(text) => println!("{what:34} {text}"),
            Err(error) => println!("{what:34} refused: {error}"),
        }
    }
    ExitCode::SUCCESS
}
