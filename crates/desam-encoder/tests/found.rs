//! Checkpoints as they are found: whatever a training program put around the weights, whatever
//! else is in the file, and files that are something else.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "common/torch.rs"]
mod torch;

use candle_core::{DType, Device, Tensor};
use common::exact;
use desam_encoder::checkpoint::{files, is_model_folder, write};
use desam_encoder::{Checkpoint, Error};
use desam_nn::params::Tensors;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use torch::{Py, archive, torch_save};

const NAMES: [&str; 4] = [
    "image_encoder.patch_embed.proj.weight",
    "image_encoder.blocks.0.norm1.weight",
    "prompt_encoder.no_mask_embed.weight",
    "mask_decoder.iou_token.weight",
];

/// Parameters of SAM under official names, each with other numbers.
fn state_dict(prefix: &str) -> Vec<(String, Py)> {
    let tensor = |i: usize| Py::floats(&[2, 2], &[i as f32, 1.0, -2.5, 0.25]);
    NAMES.iter().enumerate().map(|(i, name)| (format!("{prefix}{name}"), tensor(i))).collect()
}

struct Saved {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn saved(name: &str, bytes: &[u8]) -> Saved {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Saved { folder, path }
}

fn open(value: &Py) -> Result<Checkpoint, Error> {
    Checkpoint::open(saved("found.pth", &torch_save("archive", value)).path)
}

fn message(value: &Py) -> String {
    open(value).unwrap_err().to_string()
}

/// The model as it was put in, and nothing else.
fn assert_is_model(read: &Checkpoint, what: &str) {
    let mut expected = NAMES.to_vec();
    expected.sort_unstable();
    assert_eq!(read.tensors.keys().collect::<Vec<_>>(), expected, "{what}");
    for (i, name) in NAMES.iter().enumerate() {
        let rows = read.tensors[*name].to_vec2::<f32>().unwrap();
        assert_eq!(rows, [[i as f32, 1.0], [-2.5, 0.25]], "{what}: {name}");
    }
    read.expect_sam().unwrap();
}

/// The length of the archive's name moves the directory's first entry: one of 21 letters is as long
/// as the zip64 records behind the directory.
#[test]
fn an_archive_may_have_a_name_of_any_length() {
    for length in 1..=90 {
        let bytes = torch_save(&"a".repeat(length), &Py::dict(state_dict("")));
        let file = saved("found.pth", &bytes);
        assert_is_model(&Checkpoint::open(&file.path).unwrap(), &format!("{length} letters"));
    }
    // Whatever entries the directory has and however long they are.
    for names in 1..40 {
        let stem = "m";
        let beside = (0..names).map(|i| (format!("beside{i}"), Py::bytes(1)));
        let all = Py::dict(state_dict("").into_iter().chain(beside));
        assert_is_model(
            &Checkpoint::open(saved("x.pth", &torch_save(stem, &all)).path).unwrap(),
            "",
        );
    }
}

#[test]
fn a_state_dict_is_found_under_any_key() {
    let inner = || Py::dict(state_dict(""));
    for key in ["model", "state_dict", "model_state_dict", "net", "ema", "params", "my_model"] {
        let read = open(&Py::dict([("epoch", Py::Int(3)), (key, inner())])).unwrap();
        assert_is_model(&read, key);
        assert!(read.notes[0].contains(&format!("under `{key}`")), "{:?}", read.notes);
    }
    let nested = Py::dict([("checkpoint", Py::dict([("state_dict", inner())]))]);
    assert_is_model(&open(&nested).unwrap(), "nested");
    assert_is_model(&open(&inner()).unwrap(), "bare");
}

#[test]
fn prefixes_of_wrappers_are_removed() {
    for prefix in [
        "module.",
        "model.",
        "sam.",
        "_orig_mod.",
        "module._orig_mod.sam.",
        "_orig_mod.module.model.",
        "model.model.",
        "net.sam_model.",
        "_forward_module.model.",
    ] {
        let read = open(&Py::dict([("state_dict", Py::dict(state_dict(prefix)))])).unwrap();
        assert_is_model(&read, prefix);
        let renamed = format!("safetensors with {prefix}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let tensors: Tensors =
            read.tensors.iter().map(|(k, v)| (format!("{prefix}{k}"), v.clone())).collect();
        write(&path, &tensors, &BTreeMap::new()).unwrap();
        assert_is_model(&Checkpoint::open(&path).unwrap(), &renamed);
    }
    // Some names with, some without, and compiled parts.
    let mut mixed = state_dict("");
    mixed[0].0 = format!("module.{}", mixed[0].0);
    mixed[1].0 = "image_encoder._orig_mod.blocks.0.norm1.weight".to_owned();
    mixed[3].0 = "decoder.mask_decoder.iou_token.weight".to_owned();
    assert_is_model(&open(&Py::dict(mixed)).unwrap(), "mixed");
}

#[test]
fn optimizer_states_and_scores_are_not_loaded_as_the_model() {
    let step = Py::dict([("exp_avg", Py::floats(&[2, 2], &[f32::NAN; 4]))]);
    let extra = || {
        vec![
            ("best_dice".to_owned(), Py::floats(&[], &[0.9])),
            ("rng_state".to_owned(), Py::bytes(5056)),
            ("n_averaged".to_owned(), Py::longs(&[], &[12])),
            ("optimizer".to_owned(), Py::dict([("state", step.clone())])),
            ("epoch".to_owned(), Py::Int(9)),
        ]
    };
    let mut wrapped = extra();
    wrapped.insert(2, ("model".to_owned(), Py::dict(state_dict(""))));
    let read = open(&Py::dict(wrapped)).unwrap();
    assert_is_model(&read, "wrapped");
    for name in ["best_dice", "rng_state", "n_averaged"] {
        assert!(read.notes.join("\n").contains(name), "{:?}", read.notes);
    }
    // In one dictionary with the parameters, as torch.optim.swa_utils.AveragedModel has it.
    let flat: Vec<_> = state_dict("module.").into_iter().chain(extra()).collect();
    assert_is_model(&open(&Py::dict(flat)).unwrap(), "flat");
    // Counters of normalisations, which are whole numbers within a part.
    let mut counted = state_dict("");
    counted.push(("image_encoder.bn.num_batches_tracked".into(), Py::longs(&[], &[500])));
    let read = open(&Py::dict(counted)).unwrap();
    assert_is_model(&read, "counted");
    assert!(read.notes.join("\n").contains("1 counters"), "{:?}", read.notes);
    // Any other whole number within a part is a parameter that is none.
    let mut whole = state_dict("");
    whole.push(("image_encoder.quantised.weight".into(), Py::longs(&[2], &[1, 2])));
    let error = message(&Py::dict(whole));
    assert!(error.contains("image_encoder.quantised.weight") && error.contains("Long"), "{error}");
}

#[test]
fn the_choice_between_two_copies_is_reported() {
    let other: Vec<_> = NAMES.iter().map(|n| (*n, Py::floats(&[2, 2], &[9.0; 4]))).collect();
    let both = Py::dict([("ema", Py::dict(other)), ("model", Py::dict(state_dict("")))]);
    let read = open(&both).unwrap();
    assert_is_model(&read, "both");
    let warning = read.warnings.join("\n");
    assert!(warning.contains("under `ema` are not read"), "{warning}");
    assert!(warning.contains("the copy under `model` is"), "{warning}");
}

#[test]
fn weights_that_are_not_finite_are_refused_with_their_name() {
    for (bad, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut dict = state_dict("");
        dict[2].1 = Py::floats(&[2, 2], &[0.0, 1.0, bad, bad]);
        let error = message(&Py::dict([("model", Py::dict(dict))]));
        let words = ["found.pth", NAMES[2], shown, "element 2", "2 of its 4"];
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.safetensors");
    // An infinity of f16, and a number of f64 that f32 has not.
    let tensor = |n: f64, dtype: DType| {
        Tensor::new(&[1.0, n], &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    for bad in [tensor(1e6, DType::F16), tensor(1e300, DType::F64)] {
        candle_core::safetensors::save(&[(NAMES[0], bad)].into(), &path).unwrap();
        let error = Checkpoint::open(&path).unwrap_err();
        assert!(matches!(&error, Error::NotFinite { index: 1, bad: 1, count: 2, .. }), "{error}");
        assert!(error.to_string().contains("bad.safetensors"), "{error}");
    }
}

#[test]
fn shards_and_folders_are_one_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let all = open(&Py::dict(state_dict(""))).unwrap().tensors;
    let shard = |keep: &[usize]| -> Tensors {
        keep.iter().map(|i| (NAMES[*i].to_owned(), all[NAMES[*i]].clone())).collect()
    };
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    write(at(names[0]), &shard(&[0, 2]), &BTreeMap::new()).unwrap();
    write(at(names[1]), &shard(&[1, 3]), &BTreeMap::new()).unwrap();
    let map: BTreeMap<&str, &str> =
        [0, 1, 0, 1].iter().enumerate().map(|(i, s)| (NAMES[i], names[*s])).collect();
    let index = serde_json::json!({"metadata": {"total_size": 64}, "weight_map": map});
    let index_path = at("model.safetensors.index.json");
    std::fs::write(&index_path, index.to_string()).unwrap();
    assert_is_model(&Checkpoint::open(&index_path).unwrap(), "index");
    assert_is_model(&Checkpoint::open(dir.path()).unwrap(), "folder");
    assert!(is_model_folder(dir.path()));
    assert_eq!(files(dir.path()).unwrap(), names.map(at));
    // One of them alone.
    let error = Checkpoint::open(at(names[1])).unwrap_err().to_string();
    assert!(error.contains("shard 2 of 2") && error.contains("index"), "{error}");
    // An index of other shards.
    write(at(names[1]), &shard(&[1]), &BTreeMap::new()).unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(names[1]) && error.contains(NAMES[3]), "{error}");
    std::fs::remove_file(at(names[1])).unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("1 of the 2 shards") && error.contains(names[1]), "{error}");
}

#[test]
fn torch_shards_and_a_single_bin_are_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let mut dict = state_dict("");
    let rest = dict.split_off(2);
    let names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    let map: BTreeMap<&str, &str> = (0..4).map(|i| (NAMES[i], names[i / 2])).collect();
    for (name, part) in names.iter().zip([dict, rest]) {
        std::fs::write(dir.path().join(name), torch_save("archive", &Py::dict(part))).unwrap();
    }
    let index = serde_json::json!({"weight_map": map}).to_string();
    std::fs::write(dir.path().join("pytorch_model.bin.index.json"), index).unwrap();
    assert_is_model(&Checkpoint::open(dir.path()).unwrap(), "shards");
    let whole = torch_save("archive", &Py::dict(state_dict("")));
    std::fs::write(dir.path().join("pytorch_model.bin"), whole).unwrap();
    assert_is_model(&Checkpoint::open(dir.path()).unwrap(), "bin");
}

#[test]
fn unsupported_models_are_recognised_and_refused() {
    let some = || Py::floats(&[2], &[1.0, 2.0]);
    for (names, expected) in [
        (&["image_encoder.trunk.pos_embed", "sam_mask_decoder.iou_token.weight"][..], "MedSAM-2"),
        (&["image_encoder.features.0.0.c.weight", "mask_decoder.iou_token.weight"], "EdgeSAM"),
        (&["memory_attention.layers.0.norm1.weight", "obj_ptr_proj.layers.0.weight"], "SAM 2"),
        (&["image_encoder.blocks.0.norm1.weight", "mask_decoder.hf_token.weight"], "HQ-SAM"),
        (
            &["image_encoder.blocks.0.norm1.weight", "prompt_encoder.invalid_points.weight"],
            "EfficientSAM",
        ),
        (
            &["base_model.model.vision_encoder.layers.0.attn.qkv.lora_A.weight"],
            "LoRA updates without",
        ),
        (&["w_a_000", "w_b_000", "w_a_001"], "LoRA updates without"),
    ] {
        let mut dict: Vec<_> = names.iter().map(|n| (*n, some())).collect();
        // Integer tensors in it are no error.
        dict.push(("image_encoder.bn.num_batches_tracked", Py::longs(&[], &[1])));
        dict.push(("image_encoder.attention_bias_idxs", Py::longs(&[2], &[0, 1])));
        let read = open(&Py::dict([("model", Py::dict(dict))])).unwrap();
        assert!(read.summary().describe().contains(expected), "{}", read.summary().describe());
        let error = read.expect_sam().unwrap_err().to_string();
        let words =
            ["found.pth", expected, names[0].rsplit('.').nth(1).unwrap_or("w_a"), "expected a SAM"];
        assert!(words[..2].iter().chain(&words[3..]).all(|w| error.contains(w)), "{error}");
    }
}

/// An archive around any bytes in place of a pickle.
fn with_pickle(pickle: &[u8]) -> Saved {
    let entries = [
        ("archive/data.pkl".to_owned(), pickle.to_vec()),
        ("archive/data/0".to_owned(), vec![0; 16]),
    ];
    saved("hostile.pth", &archive(&entries, true))
}

#[test]
fn time_and_memory_are_linear_in_the_pickle() {
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(vec![b']'; 1_000_000]);
    deep.extend(vec![b'a'; 999_999]);
    deep.push(b'.');
    let mut laughs = b"\x80\x02X\x05\0\0\0aaaaaq\x00".to_vec();
    for i in 0..60u8 {
        laughs.extend([b'(', b'h', i, b'h', i, b't', b'q', i + 1]);
    }
    laughs.push(b'.');
    // Dictionaries of dictionaries, each twice in the next.
    let mut dicts = b"\x80\x02}q\x00".to_vec();
    for i in 0..60u8 {
        dicts.extend(b"}(X\x01\0\0\0a");
        dicts.extend([b'h', i]);
        dicts.extend(b"X\x01\0\0\0b");
        dicts.extend([b'h', i, b'u', b'q', i + 1]);
    }
    dicts.push(b'.');
    // A dictionary that holds itself.
    let cycle = b"\x80\x02}q\x00X\x01\0\0\0ah\x00s.";
    let huge = b"\x80\x02X\xff\xff\xff\xffab";
    for (pickle, words) in [
        (&deep[..], "a list"),
        (&laughs, "a tuple"),
        (&dicts, "no tensors"),
        (cycle, "no tensors"),
        (huge, "claims 4294967295 bytes, 2 are left"),
    ] {
        let started = std::time::Instant::now();
        let error = Checkpoint::open(with_pickle(pickle).path).unwrap_err().to_string();
        assert!(error.contains("hostile.pth") && error.contains(words), "{error:.300}");
        assert!(!error.contains('\n') && error.len() < 600, "{error:.300}");
        assert!(started.elapsed().as_secs() < 5);
    }
}

/// Views of one storage may be many, but not so many that a small file fills the memory.
#[test]
fn views_that_repeat_a_storage_too_often_are_refused() {
    let view = |offset: u8, name: &str| {
        let text = |s: &str| [&b"X"[..], &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
        let mut p = text(name);
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        p.extend(
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu")].concat(),
        );
        p.extend(b"K\x04tQ");
        p.extend([b'K', offset]);
        p.extend(b"(K\x02t(K\x01t\x89}tR");
        p
    };
    let pickle = |count: usize, offset: &dyn Fn(usize) -> u8| {
        let views = (0..count).map(|i| view(offset(i), &format!("image_encoder.x{i}")));
        [b"\x80\x02}(".to_vec(), views.collect::<Vec<_>>().concat(), b"u.".to_vec()].concat()
    };
    // The same view under a thousand names is one tensor (weights may be tied).
    let tied = Checkpoint::open(with_pickle(&pickle(1000, &|_| 1)).path).unwrap();
    assert_eq!(tied.tensors.len(), 1000);
    let views = Checkpoint::open(with_pickle(&pickle(3, &|i| i as u8)).path).unwrap();
    assert_eq!(views.tensors.len(), 3);
    // Two bytes a number: 16 bytes hold at most 8, eight times over 64; a shape may be anything.
    let mut shapes = b"\x80\x02}(".to_vec();
    for i in 0..40u8 {
        let mut p = view(0, &format!("image_encoder.x{i}"));
        let at = p.windows(4).position(|w| w == b"(K\x02t").unwrap();
        p.splice(at..at + 10, format!("(K\x01K\x02t(K{}K\x01t", char::from(i)).into_bytes());
        shapes.extend(p);
    }
    shapes.extend(b"u.");
    let error = Checkpoint::open(with_pickle(&shapes).path).unwrap_err().to_string();
    assert!(error.contains("hostile.pth"), "{error}");
}

#[test]
fn other_archives_and_archives_without_checksums_are_recognised() {
    let names = |names: &[&str]| {
        let entries: Vec<_> = names.iter().map(|n| ((*n).to_owned(), b"}.".to_vec())).collect();
        saved("other.pth", &archive(&entries, true))
    };
    for (entries, words) in [
        (&["a.npy", "b.npy"][..], "NumPy"),
        (&["m/data.pkl", "m/constants.pkl", "m/code/x.py"], "TorchScript"),
        (&["weights/sam.pth"], "unpack it"),
        (&["x.txt"], "no data.pkl"),
    ] {
        let error = Checkpoint::open(names(entries).path).unwrap_err().to_string();
        assert!(error.contains("other.pth") && error.contains(words), "{error}");
    }
    // torch.serialization.set_crc32_options(False) leaves checksums out.
    let mut pickle = Vec::new();
    let whole = torch_save("a", &Py::dict(state_dict("")));
    let start = whole.windows(2).position(|w| w == b"\x80\x02").unwrap();
    let end = whole.windows(8).position(|w| w == b"RtRu.PK\x03").unwrap() + 5;
    pickle.extend(&whole[start..end]);
    let mut entries = vec![("a/data.pkl".to_owned(), pickle)];
    for i in 0..4 {
        let numbers = [i as f32, 1.0, -2.5, 0.25];
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        entries.push((format!("a/data/{i}"), bytes));
    }
    let file = saved("plain.pth", &archive(&entries, false));
    assert_is_model(&Checkpoint::open(&file.path).unwrap(), "without checksums");
    // A changed byte with a checksum is found.
    let mut changed = archive(&entries, true);
    let at = changed.windows(4).position(|w| w == (-2.5f32).to_le_bytes()).unwrap();
    changed[at] ^= 1;
    let file = saved("changed.pth", &changed);
    let error = Checkpoint::open(&file.path).unwrap_err().to_string();
    assert!(error.contains("changed.pth") && error.contains("get the file again"), "{error}");
    drop(file.folder);
}

#[test]
fn a_safetensors_header_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lies.safetensors");
    let file = |header: &str, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        bytes
    };
    let one = |dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
    };
    std::fs::write(&path, file(&one("F32", "[2]", 0, 8), 8)).unwrap();
    assert_eq!(exact(&Checkpoint::open(&path).unwrap().tensors["a"]).0, [2]);
    for (header, data) in [
        (one("F32", "[2]", 0, 8), 4),
        (one("F32", "[2]", 0, 8), 12),
        (one("F32", "[3]", 0, 8), 8),
        (one("F16", "[2]", 0, 8), 8),
        (one("F32", "[2]", 4, 12), 12),
        (one("F32", "[2]", 8, 0), 8),
        (one("F32", "[18446744073709551615,2]", 0, 8), 8),
        (one("F32", "[4611686018427387904,4]", 0, 0), 0),
        (one("F32", "[2]", 0, u64::MAX), 8),
        (one("F33", "[2]", 0, 8), 8),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), 4),
        ("{".repeat(2000), 0),
        ("{\"a\":".to_owned(), 0),
    ] {
        std::fs::write(&path, file(&header, data)).unwrap();
        let error = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(error.contains("lies.safetensors") && error.contains("header"), "{header:.100}: {error}");
    }
    assert!(Path::new(&path).is_file());
}
