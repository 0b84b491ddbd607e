// Included by the module `toy`, and by the examples of the documentation, which need nothing else.

/// Writes a whole model of toy size: 64 pixels in, masks of 16.
pub(crate) fn model(folder: &std::path::Path) -> std::path::PathBuf {
    use desam::decoder::DecoderConfig;
    use desam::encoder::{FrozenSam, VitConfig, checkpoint};
    use desam::nn::params::{LoadOptions, Tensors, load};

    let vit = VitConfig { input_side: 64, ..VitConfig::tiny() };
    let config = DecoderConfig::tiny(&vit.spec());
    let decoder = load(Tensors::new(), &LoadOptions::seeded(10), |vb| config.build(vb)).unwrap();
    let mut tensors = FrozenSam::random(&vit, 9).unwrap().tensors;
    tensors.extend(decoder.tensors);
    let path = folder.join("model.safetensors");
    checkpoint::write(&path, &tensors, &Default::default()).unwrap();
    path
}

/// Makes a temporary folder the current one, with that model in the folder `run` and a volume of a few slices in
/// `t2.nii.gz`: the files that the documentation's examples name.
#[allow(dead_code, reason = "for examples of the documentation")]
pub(crate) fn documented_files() -> tempfile::TempDir {
    use desam::types::{Affine, Grid, Volume};

    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    std::fs::create_dir("run").unwrap();
    model("run".as_ref());
    std::fs::write("run/config.json", "{}").unwrap();
    let grid = Grid { dims: [40, 32, 4], affine: Affine::from_spacing([0.6, 0.6, 3.0]) };
    let voxels = (0..grid.len()).map(|at| (at * 7919 % 251) as f32).collect();
    let volume = Volume::new(grid, voxels).unwrap();
    desam::volume::nifti::write_volume("t2.nii.gz".as_ref(), &volume).unwrap();
    dir
}
