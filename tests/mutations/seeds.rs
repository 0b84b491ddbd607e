//! Whole files of every format, to be mutated.

use desam_core::{Affine, Grid, LabelVolume, Volume};
use desam_volume::{nifti, volumes};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Write;
use std::path::Path;

mod images;
mod objects;

/// A file whose bytes are mutated.
pub(crate) struct Seed {
    pub(crate) name: &'static str,
    /// What is mutated.
    pub(crate) bytes: Vec<u8>,
    /// Makes the file from it: packs it, or leaves it as it is.
    pub(crate) wrap: fn(&[u8]) -> Vec<u8>,
    /// Bytes that the file unpacks to.
    pub(crate) content: usize,
}

/// The seeds of a target, written in `folder` where desam writes them.
pub(crate) fn of(target: &str, folder: &Path) -> Vec<Seed> {
    match target {
        "nifti" => nifti(folder),
        "metaimage" => metaimage(folder),
        "nrrd" => nrrd(folder),
        "dicom" => dicom(),
        "segmentation" => segmentation(folder),
        "image" => images::all(),
        "checkpoint" => checkpoint(),
        other => panic!("no seeds for {other}"),
    }
}

const DIMS: [usize; 3] = [24, 20, 9];

fn grid() -> Grid {
    let affine = Affine([[-0.5, 0.0, 0.1, 9.0], [0.0, -0.5, 0.0, 8.0], [0.1, 0.0, 3.0, 7.0]]);
    Grid { dims: DIMS, affine }
}

/// Labels that packing cannot shrink much, so that a mutation cannot unpack to much more either.
fn labels() -> LabelVolume {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    LabelVolume::new(grid(), (0..grid().len()).map(|_| rng.random()).collect()).unwrap()
}

fn as_it_is(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn plain(name: &'static str, bytes: Vec<u8>) -> Seed {
    Seed { name, bytes, wrap: as_it_is, content: 4 * grid().len() + 2048 }
}

/// A file that desam writes.
fn written(name: &'static str, path: &Path, write: impl FnOnce(&Path)) -> Seed {
    write(path);
    plain(name, std::fs::read(path).unwrap())
}

fn nifti(folder: &Path) -> Vec<Seed> {
    let values = labels().data().iter().map(|v| f32::from(*v) * 1.5).collect();
    let volume = Volume::new(grid(), values).unwrap();
    let path = folder.join("seed.nii");
    vec![
        written("decimals", &path, |p| nifti::write_volume(p, &volume).unwrap()),
        written("labels", &path, |p| nifti::write_labels(p, &labels()).unwrap()),
    ]
}

fn metaimage(folder: &Path) -> Vec<Seed> {
    let [i, j, k] = DIMS;
    let header = format!(
        "NDims = 3\nDimSize = {i} {j} {k}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    );
    let path = folder.join("seed.mha");
    vec![
        written("packed", &path, |p| volumes::write_labels(p, &labels()).unwrap()),
        plain("raw", [header.as_bytes(), labels().data()].concat()),
    ]
}

fn nrrd(folder: &Path) -> Vec<Seed> {
    let [i, j, k] = DIMS;
    let header = |encoding: &str| {
        format!(
            "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {i} {j} {k}\nspacings: 1 1 3\n\
             encoding: {encoding}\n\n"
        )
    };
    let text: Vec<String> = labels().data().iter().map(u8::to_string).collect();
    let path = folder.join("seed.nrrd");
    vec![
        written("packed", &path, |p| volumes::write_labels(p, &labels()).unwrap()),
        plain("raw", [header("raw").as_bytes(), labels().data()].concat()),
        plain("text", (header("text") + &text.join(" ")).into_bytes()),
    ]
}

fn dicom() -> Vec<Seed> {
    let slice = plain("slice", objects::slice());
    let syntaxes = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"];
    let names = ["implicit", "explicit", "big endian"];
    let frames = names.into_iter().zip(syntaxes);
    let frames = frames.map(|(name, syntax)| plain(name, objects::frames(syntax)));
    [slice].into_iter().chain(frames).collect()
}

fn segmentation(folder: &Path) -> Vec<Seed> {
    let series = folder.join("seed.dcm");
    std::fs::write(&series, objects::frames("1.2.840.10008.1.2.1")).unwrap();
    let grid = *volumes::read_volume(&series).unwrap().grid();
    let mask = (0..grid.len()).map(|v| u8::from(v % 5 < 2)).collect();
    let mask = LabelVolume::new(grid, mask).unwrap();
    let path = folder.join("mask.dcm");
    let ours = written("one segment", &path, |p| {
        volumes::write_mask_like(&series, p, &mask).unwrap();
    });
    let all = [
        ours,
        plain("several segments", objects::segments()),
        plain("label map", objects::label_map()),
    ];
    // Up to 256 slices of a segmentation may have no frame.
    let content = 256 * grid.slice_len();
    all.map(|seed| Seed { content, ..seed }).into()
}

fn checkpoint() -> Vec<Seed> {
    let values: Vec<u8> = (0..6_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 3], &values);
    let tensors = [("image_encoder.x", tensor.unwrap())];
    let tensors = safetensors::serialize(tensors, None).unwrap();
    vec![
        plain("safetensors", tensors),
        Seed { name: "pickle", bytes: pickle(), wrap: torch_file, content: 4096 },
        plain("zip", torch_file(&pickle())),
    ]
}

/// A state dict of one tensor, `[2, 3]`, as `torch.save` pickles it (protocol 2; opcodes from the
/// documentation of Python's `pickletools`).
fn pickle() -> Vec<u8> {
    let text = |s: &str| [&b"X"[..], &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    [
        &b"\x80\x02}("[..],
        &text("epoch"),
        b"K\x03",
        &text("model"),
        b"ccollections\nOrderedDict\n)R(",
        &text("module.image_encoder.x"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        b"K\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtRuu.",
    ]
    .concat()
}

/// A file of PyTorch's around a pickle.
fn torch_file(pickle: &[u8]) -> Vec<u8> {
    let storage: Vec<u8> = (0..6_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("made/data.pkl", pickle), ("made/data/0", &storage)] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
