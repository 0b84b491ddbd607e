//! Files as they come: formats of volumes, layouts of data sets.

use crate::common::{run, world};
use desam::data::nifti::{read_labels, read_volume};

/// The same volume in three formats: the same mask, each in the format of its input.
#[test]
fn a_folder_of_several_formats() {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|n| folder.path().join(n));
    std::fs::create_dir(&input).unwrap();
    let case = world.data.join("A/Case00.nii.gz");
    std::fs::copy(&case, input.join("a.nii.gz")).unwrap();
    let volume = read_volume(&case).unwrap();
    let bytes: Vec<u8> = volume.data().iter().flat_map(|v| v.to_le_bytes()).collect();
    let affine = volume.grid().affine.0;
    let [i, j, k] = volume.grid().dims;
    // Both formats' world is LPS.
    let sign = [-1.0, -1.0, 1.0];
    let cell = |row: usize, column: usize| sign[row] * affine[row][column];
    let column = |c: usize| [0, 1, 2].map(|r| cell(r, c));
    let text = |v: [f64; 3], gap: &str| v.map(|x| x.to_string()).join(gap);
    let matrix = [0, 1, 2].map(|c| text(column(c), " ")).join(" ");
    let directions = [0, 1, 2].map(|c| format!("({})", text(column(c), ","))).join(" ");
    let mha = format!(
        "NDims = 3\nTransformMatrix = {matrix}\nOffset = {}\nDimSize = {i} {j} {k}\n\
         ElementType = MET_FLOAT\nElementDataFile = b.raw\n",
        text(column(3), " ")
    );
    std::fs::write(input.join("b.mhd"), mha).unwrap();
    std::fs::write(input.join("b.raw"), &bytes).unwrap();
    let nrrd = format!(
        "NRRD0004\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: {i} {j} {k}\n\
         space directions: {directions}\nspace origin: ({})\nendian: little\nencoding: raw\n\n",
        text(column(3), ",")
    );
    std::fs::write(input.join("c.nrrd"), [nrrd.as_bytes(), &bytes].concat()).unwrap();
    run(args!["predict", "--model", world.run, "--input", input, "--output", output]).expect(0);
    let mut names: Vec<_> =
        std::fs::read_dir(&output).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.nii.gz", "b.mhd", "b.zraw", "c.nrrd"]);
    let first = read_labels(&output.join("a.nii.gz")).unwrap();
    assert!(first.data().contains(&1));
    for name in ["b.mhd", "c.nrrd"] {
        let mask = desam::data::volumes::read_labels(&output.join(name)).unwrap();
        assert_eq!(mask.data(), first.data(), "{name}");
        assert!(mask.grid().matches(first.grid(), 1e-4), "{name}");
        let facts = run(args!["info", output.join(name), "--json"]).expect(0).json();
        assert_eq!((facts["kind"].as_str(), facts["axes"].as_str()), (Some("volume"), Some("LPS")));
    }
    // A mask may have another format than its volume.
    let (volume, mask) = (input.join("b.mhd"), folder.path().join("mask.nii.gz"));
    run(args!["predict", "--model", world.run, "--input", volume, "--output", mask]).expect(0);
    assert_eq!(read_labels(&mask).unwrap().data(), first.data());
}

#[test]
fn a_table_of_cases_is_embedded() {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("cases.csv");
    let file = |name: &str| world.data.join(name).display().to_string();
    let row = format!(
        "image,label,case,site\n{},{},one,Z\n",
        file("A/Case00.nii.gz"),
        file("A/Case00_segmentation.nii.gz")
    );
    std::fs::write(&table, row).unwrap();
    let facts = run(args!["info", table, "--json"]).expect(0).json();
    assert_eq!((facts["layout"].as_str(), facts["cases"].as_u64()), (Some("table"), Some(1)));
    let cache = folder.path().join("cache");
    run(args!["embed", "--data", table, "--out", cache, "--encoder", "tiny"]).expect(0);
    assert!(cache.join("cases/Z/one.safetensors").is_file());
}

#[test]
fn data_is_verified_before_it_is_used() {
    let world = world();
    let good = run(args!["verify", "--data", world.data]).expect(0);
    assert!(good.stdout.contains("fit to be trained on"), "{good:#?}");
    assert!(good.stdout.contains("vit-h"), "{good:#?}");
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("A");
    std::fs::create_dir(&site).unwrap();
    for (from, to) in [("A/Case00", "x"), ("A/Case00", "y"), ("A/Case01", "z")] {
        for end in [".nii.gz", "_segmentation.nii.gz"] {
            let from = world.data.join(format!("{from}{end}"));
            std::fs::copy(from, site.join(format!("{to}{end}"))).unwrap();
        }
    }
    // One patient under two names, and a label in the place of an image.
    std::fs::copy(site.join("z_segmentation.nii.gz"), site.join("z.nii.gz")).unwrap();
    let bad = run(args!["verify", "--data", folder.path()]).fails_with(&["A/y", "A/z", "a label?"]);
    assert!(bad.stdout.contains("NOT fit"), "{bad:#?}");
    let json = run(args!["verify", "--data", folder.path(), "--json", "-q"]).expect(1).json();
    assert_eq!((json["fit"].as_bool(), json["layout"].as_str()), (Some(false), Some("saml")));
    assert_eq!(json["cases"].as_array().unwrap().len(), 3);
    assert!(json["cache"][0]["all_bytes"].as_u64().unwrap() > 0, "{json}");
}
