//! A data set in a format that no crate here knows, read by a registered reader: its layout is found,
//! verified and embedded as if the volumes were NIfTI.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[allow(dead_code, reason = "some helpers serve other tests")]
mod toy;

use candle_core::Device;
use desam_core::{Affine, BoxError, ClassTable, Grid, LabelVolume, Quiet, Volume};
use desam_data::cache::FeatureCache;
use desam_data::embed::{Part, embed, embed_part};
use desam_data::layout::{Layout, discover, discover_with, list_folder, list_folder_with};
use desam_data::verify::{VerifyOptions, verify_with};
use desam_volume::volumes::{
    ReadOptions, VolumeReader, hash_with, load_labels, load_volume, read_labels,
    write_mask_like_with,
};
use std::path::Path;
use std::sync::Arc;
use toy::{Bench, ToyEncoder, changed};

/// Numbers as text: three dimensions, three spacings in mm, then the voxels.
#[derive(Debug)]
struct TextReader;

fn parse(path: &Path) -> Result<(Grid, Vec<f32>), BoxError> {
    let text = std::fs::read_to_string(path)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, std::num::ParseFloatError>>()?;
    let (head, voxels) = numbers.split_first_chunk::<6>().ok_or("fewer than six numbers")?;
    let [i, j, k, x, y, z] = *head;
    let grid =
        Grid { dims: [i, j, k].map(|n| n as usize), affine: Affine::from_spacing([x, y, z]) };
    Ok((grid, voxels.iter().map(|v| *v as f32).collect()))
}

impl VolumeReader for TextReader {
    fn endings(&self) -> &[&str] {
        &[".voxels.txt", ".vox"]
    }

    fn read_volume(&self, path: &Path, _: &ReadOptions) -> Result<Volume, BoxError> {
        let (grid, voxels) = parse(path)?;
        Ok(Volume::new(grid, voxels)?)
    }

    fn read_labels(&self, path: &Path, _: &ReadOptions) -> Result<LabelVolume, BoxError> {
        let (grid, voxels) = parse(path)?;
        Ok(LabelVolume::new(grid, voxels.into_iter().map(|v| v as u8).collect())?)
    }
}

fn write(path: &Path, grid: &Grid, voxels: impl Iterator<Item = f64>) {
    let head = grid.dims.map(|n| n as f64).into_iter().chain(grid.spacing());
    let numbers: Vec<String> = head.chain(voxels).map(|v| v.to_string()).collect();
    std::fs::write(path, numbers.join(" ")).unwrap();
}

fn options() -> ReadOptions {
    ReadOptions::default().with_reader(Arc::new(TextReader))
}

/// The phantoms of `bench` once more as text, on grids of their spacing at the origin; half of the
/// images with either ending.
fn as_text(bench: &Bench) -> std::path::PathBuf {
    let text = bench.path("text");
    for (index, case) in discover(&bench.path("data")).unwrap().iter().enumerate() {
        let site = text.join(&case.site);
        std::fs::create_dir_all(&site).unwrap();
        let ending = ["voxels.txt", "VOX"][index % 2];
        let image = load_volume(&case.image, &ReadOptions::default()).unwrap().value;
        let path = site.join(format!("{}.{ending}", case.id));
        write(&path, image.grid(), image.data().iter().map(|v| f64::from(*v)));
        let labels = read_labels(case.label.as_ref().unwrap()).unwrap();
        let path = site.join(format!("{}_segmentation.vox", case.id));
        write(&path, labels.grid(), labels.data().iter().map(|v| f64::from(*v)));
    }
    text
}

#[test]
fn a_registered_reader_is_used_for_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let grid = Grid { dims: [3, 2, 2], affine: Affine::from_spacing([0.5, 0.75, 3.0]) };
    let path = dir.path().join("a.vox");
    write(&path, &grid, (0..12).map(f64::from));
    let volume = load_volume(&path, &options()).unwrap().value;
    assert_eq!((volume.grid(), volume.data()[11]), (&grid, 11.0));
    assert_eq!(load_labels(&path, &options()).unwrap().value.data()[7], 7);
    // Without the reader it is no volume.
    let error = load_volume(&path, &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, desam_volume::Error::UnknownFormat { .. }), "{error}");
    // A mask of it is written in a format of ours, on its grid.
    let mask = LabelVolume::new(grid, (0..12).map(|v| v % 2).collect()).unwrap();
    let out = dir.path().join("mask.nii.gz");
    write_mask_like_with(&path, &out, &mask, &options(), &ClassTable::default()).unwrap();
    assert_eq!(read_labels(&out).unwrap(), mask);
    // What the reader says is an error of that file; hashes follow its bytes.
    let hash = hash_with(&path, &options()).unwrap();
    std::fs::write(&path, "3 2 2 1 1 x").unwrap();
    assert_ne!(hash_with(&path, &options()).unwrap(), hash);
    let error = load_volume(&path, &options()).unwrap_err();
    assert!(matches!(error, desam_volume::Error::Reader { .. }), "{error}");
    assert!(error.to_string().contains("a.vox: invalid float literal"), "{error}");
}

#[test]
fn a_data_set_of_a_foreign_format_is_found_verified_and_embedded() {
    let bench = Bench::new();
    let text = as_text(&bench);
    let read = options();
    assert!(discover(&text).is_err());
    let cases = discover_with(&text, &read).unwrap();
    assert_eq!(Layout::of_with(&text, &read).unwrap(), Layout::Saml);
    let native = bench.options("native");
    let names = |cases: &[desam_data::layout::Case]| -> Vec<_> {
        cases.iter().map(|c| (c.site.clone(), c.id.clone())).collect()
    };
    assert_eq!(names(&cases), names(&native.cases));
    let site = text.join(&cases[0].site);
    assert!(list_folder(&site).unwrap().volumes.is_empty());
    assert_eq!(list_folder_with(&site, &read).unwrap().volumes.len(), 2);

    let verified = VerifyOptions { read: read.clone(), ..VerifyOptions::default() };
    let report = verify_with(&text, &verified, &Quiet).unwrap();
    assert!(report.is_fit(), "{report:#?}");

    let options = changed(bench.options("cache"), |c| {
        c.cases = cases;
        c.data_root = text;
        c.read = read;
    });
    let whole = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert!(whole.slices > 0);
    // The second time everything is there.
    let again = embed(&options, &ToyEncoder::new(), &Device::Cpu, &Quiet).unwrap();
    assert_eq!((again.computed, again.reused), (0, whole.slices));
    let cache = FeatureCache::open(&options.dir).unwrap();
    assert_eq!(cache.slices().len(), whole.slices);
    // In parts, too.
    let parts = changed(options.clone(), |c| c.dir = bench.path("parts"));
    for index in 0..2 {
        let part = Part::new(index, 2).unwrap();
        let encoder = ToyEncoder::new();
        embed_part(&parts, part, &encoder, &Device::Cpu, &Quiet).unwrap();
    }
    let header = |dir: &Path| std::fs::read(dir.join("cache.json")).unwrap();
    assert!(header(&parts.dir) == header(&options.dir), "other headers");
}
