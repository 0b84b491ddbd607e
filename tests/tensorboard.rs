//! Event files, read back by a reader that shares nothing with the writer: checksums bit by bit,
//! protocol buffers field by field.

use crate::support::{phantoms, toy_vit};
use desam::embed::{EmbedRequest, embed};
use desam::model::EncoderChoice;
use desam::{Mode, Progress, Quiet};
use desam_study::train::{Preset, RunOptions, TrainConfig, TrainRequest, train_with};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Kills a run after some steps.
struct KillAfter(AtomicU64);

impl Progress for KillAfter {
    fn begin(&self, _task: &str, _steps: u64) {}
    fn advance(&self, _steps: u64, _note: &str) {
        assert!(self.0.fetch_sub(1, Ordering::Relaxed) > 1, "killed");
    }
    fn finish(&self, _summary: &str) {}
    fn say(&self, _message: &str) {}
}

/// Castagnoli's polynomial by long division, then TensorFlow's mask.
fn masked_crc(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for bit in data.iter().flat_map(|byte| (0..8).map(move |i| u32::from(byte >> i & 1))) {
        let out = (crc & 1) ^ bit;
        crc = (crc >> 1) ^ (out * 0x82f6_3b78);
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file, whose checksums must fit.
fn records(bytes: &[u8]) -> Vec<&[u8]> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(word(at + 8), masked_crc(&bytes[at..at + 8]));
        let data = &bytes[at + 12..at + 12 + length];
        assert_eq!(word(at + 12 + length), masked_crc(data));
        found.push(data);
        at += 16 + length;
    }
    found
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint without an end");
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(n);
    *bytes = rest;
    taken
}

fn message(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Fixed64(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let n = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, n))
            }
            5 => Field::Fixed32(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// An event: time, step, and what it says.
#[derive(Debug)]
struct Read {
    time: f64,
    step: u64,
    version: Option<String>,
    start: bool,
    scalars: BTreeMap<String, f32>,
}

fn event(record: &[u8]) -> Read {
    let mut read =
        Read { time: 0.0, step: 0, version: None, start: false, scalars: BTreeMap::new() };
    for field in message(record) {
        match field {
            (1, Field::Fixed64(bits)) => read.time = f64::from_bits(bits),
            (2, Field::Varint(step)) => read.step = step,
            (3, Field::Bytes(text)) => {
                read.version = Some(String::from_utf8(text.to_vec()).unwrap());
            }
            (5, Field::Bytes(summary)) => {
                for (number, value) in message(summary) {
                    let Field::Bytes(value) = value else { panic!("{value:?}") };
                    assert_eq!(number, 1);
                    let value = message(value);
                    let [(1, Field::Bytes(tag)), (2, Field::Fixed32(bits))] = value[..] else {
                        panic!("{value:?}")
                    };
                    let tag = String::from_utf8(tag.to_vec()).unwrap();
                    assert!(read.scalars.insert(tag, f32::from_bits(bits)).is_none());
                }
            }
            (7, Field::Bytes(log)) => read.start = message(log) == [(1, Field::Varint(1))],
            other => panic!("{other:?}"),
        }
    }
    read
}

fn files(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.join("tensorboard")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

fn events(file: &Path) -> Vec<Read> {
    let bytes = std::fs::read(file).unwrap();
    let events: Vec<Read> = records(&bytes).into_iter().map(event).collect();
    assert_eq!(events[0].version.as_deref(), Some("brain.Event:2"));
    assert!(events[1..].iter().all(|e| e.version.is_none()));
    events
}

/// Values by tag and step, as TensorBoard holds them: a start makes it forget what came later.
fn curves(files: &[PathBuf]) -> BTreeMap<(String, u64), f32> {
    let mut curves = BTreeMap::new();
    for event in files.iter().flat_map(|file| events(file)) {
        if event.start {
            curves.retain(|(_, step), _| *step < event.step);
        }
        let scalars = event.scalars.into_iter();
        curves.extend(scalars.map(|(tag, value)| ((tag, event.step), value)));
    }
    curves
}

#[test]
fn event_files_hold_every_step_and_epoch_also_of_a_run_that_was_continued() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let encoder = EncoderChoice::Random { config: toy_vit(), seed: 2 };
    embed(&EmbedRequest::new(phantoms(root.path(), 1), &cache, encoder), &Quiet).unwrap();
    let mut config = TrainConfig::preset(Preset::Paper, "A", Mode::Points);
    (config.epochs, config.batch, config.clip_norm) = (2, 3, Some(1.0));
    // A clock that starts in 2033 and goes by a quarter of a second.
    let options = |resume, from: u64| {
        let mut now = Duration::from_secs(from);
        let clock = move || {
            now += Duration::from_millis(250);
            now
        };
        RunOptions::default().with_resume(resume).with_tensorboard(true).with_clock(clock)
    };
    let whole = root.path().join("whole");
    let request = |out| TrainRequest::new(&cache, out, &config);
    let summary = train_with(&request(&whole), &mut options(false, 2_000_000_000), &Quiet).unwrap();
    let [file] = &files(&whole)[..] else { panic!("{:?}", files(&whole)) };
    assert_eq!(file.file_name().unwrap(), "events.out.tfevents.2000000000.desam.0");
    let read = events(file);
    assert!(read.windows(2).all(|pair| pair[0].time < pair[1].time));
    assert_eq!(read[0].time, 2_000_000_000.25);
    assert!(read.iter().all(|event| !event.start));

    let expected = curves(&files(&whole));
    let curve = |tag: &str| -> Vec<f32> {
        expected.iter().filter(|((t, _), _)| t == tag).map(|(_, value)| *value).collect()
    };
    let steps = curve("step/loss").len();
    assert!(steps >= 6 && steps % 2 == 0, "{steps}");
    assert!(["step/learning_rate", "step/gradient_norm"].iter().all(|t| curve(t).len() == steps));
    let rows = |of: fn(&desam_study::train::EpochRecord) -> f64| -> Vec<f32> {
        summary.history.iter().map(|row| of(row) as f32).collect()
    };
    assert_eq!(curve("epoch/train_loss"), rows(|r| r.train_loss));
    assert_eq!(curve("epoch/train_dice_loss"), rows(|r| r.train_dice_loss));
    assert_eq!(curve("epoch/validation_loss"), rows(|r| r.validation_loss));
    assert_eq!(curve("epoch/validation_dice_loss"), rows(|r| r.validation_dice_loss));
    assert_eq!(curve("epoch/validation_dice"), rows(|r| r.validation_dice));
    assert!(expected.contains_key(&("epoch/validation_dice".to_owned(), steps as u64 / 2)));
    // Means over slices: every step but an epoch's last has the same number of them.
    assert!(curve("step/loss").iter().all(|loss| loss.is_finite() && *loss > 0.0));

    // The same run, killed in its second epoch: its second file goes on after the first epoch.
    let parts = root.path().join("parts");
    let killer = KillAfter(AtomicU64::new(steps as u64 / 2 + 1));
    let mut first = options(false, 2_000_000_000);
    let run = || train_with(&request(&parts), &mut first, &killer);
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    let [file] = &files(&parts)[..] else { panic!("{:?}", files(&parts)) };
    assert_eq!(events(file).last().unwrap().step, steps as u64 / 2 + 1);
    train_with(&request(&parts), &mut options(true, 2_000_000_100), &Quiet).unwrap();
    let both = files(&parts);
    assert_eq!(both.len(), 2);
    let second = events(&both[1]);
    assert!(second[1].start && second[1].step == steps as u64 / 2 + 1, "{:?}", second[1]);
    assert!(curves(&both) == expected);
    // A finished run writes none.
    train_with(&request(&parts), &mut options(true, 2_000_000_200), &Quiet).unwrap();
    assert_eq!(files(&parts).len(), 2);
}
