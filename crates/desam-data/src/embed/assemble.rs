//! Assembling one cache from the notes of its parts.

use super::part::Part;
use super::run::EmbedRun;
use crate::cache::{CacheCase, CacheHeader, CachePaths, FeatureCache};
use crate::{Error, Result};
use desam_core::files::read_regular;
use desam_volume::atomic::write_atomic;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// Completion marker of a shard, written when all its files are in place: the cache header of its
/// cases alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    part: Part,
    header: CacheHeader,
}

/// Removes a part's note, which may tell of files as they were.
pub(super) fn forget(run: &EmbedRun<'_>, part: Part) -> Result<()> {
    let path = run.paths().part(part.index(), part.of());
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(e)),
        _ => Ok(()),
    }
}

/// Rejects a part whose result would not fit those that are done, before its work instead of after it.
pub(super) fn check_others(run: &EmbedRun<'_>, part: Part) -> Result<()> {
    let ours = run.header(Vec::new());
    for index in 0..part.of() {
        if let Some(note) = read(run.paths(), Part::new(index, part.of())?)? {
            check_note(run, &ours, &note)?;
        }
    }
    Ok(())
}

/// Refuses a note of another recipe.
fn check_note(run: &EmbedRun<'_>, ours: &CacheHeader, note: &Note) -> Result<()> {
    if note.header.key == ours.key && note.header.views == ours.views {
        return Ok(());
    }
    let mut differences = ours.recipe.differences(&note.header.recipe);
    if note.header.views != ours.views {
        let [theirs, ours] = [&note.header.views, &ours.views]
            .map(|views| views.as_ref().map_or("none".into(), ToString::to_string));
        differences.push(format!("style views: the cache has {theirs}, requested {ours}"));
    }
    differences.push(format!("so says part {} of {}", note.part.index(), note.part.of()));
    Err(Error::CacheMismatch { dir: run.options().dir.clone(), differences })
}

/// Notes that a part is done, and makes the cache whole if it is the last. Returns the parts that
/// are still to come.
pub(super) fn hand_in(run: &EmbedRun<'_>, part: Part, header: &CacheHeader) -> Result<Vec<usize>> {
    write(run.paths(), &Note { part, header: header.clone() })?;
    match collect(run, part.of())? {
        FoundNotes::All(notes) => assemble(run, notes).map(|()| Vec::new()),
        // Another part was the last and has cleared the notes away meanwhile, or this is a part of a
        // cache that has long been whole. Its note stays, for the others may be run again as well.
        FoundNotes::MissingSlice(_) if is_whole(run, &header.cases)? => Ok(Vec::new()),
        FoundNotes::MissingSlice(missing) => Ok(missing),
    }
}

/// Makes the cache whole, where it is not yet; where it is, notes of parts that were run again go.
pub(super) fn finish(run: &EmbedRun<'_>, of: usize) -> Result<()> {
    let all = Part::new(0, of)?.of();
    match collect(run, all)? {
        FoundNotes::All(notes) => assemble(run, notes),
        FoundNotes::MissingSlice(missing) => {
            let dir = run.options().dir.clone();
            if !is_whole(run, &[])? {
                return Err(Error::PartsMissing { dir, missing, of });
            }
            // A part that was run again after all were done has left its note.
            clear(run, of);
            Ok(())
        }
    }
}

/// Whether there is a cache of all cases in their order, with every file, that tells of `mine` what
/// is so now.
fn is_whole(run: &EmbedRun<'_>, mine: &[CacheCase]) -> Result<bool> {
    let Some(header) = CacheHeader::read(run.paths())? else { return Ok(false) };
    let names = header.cases.iter().map(|c| (&c.site, &c.id));
    let asked = run.options().cases.iter().map(|c| (&c.site, &c.id));
    let told = names.eq(asked) && mine.iter().all(|case| header.cases.contains(case));
    Ok(told && FeatureCache::open(run.options().dir.as_path()).is_ok())
}

enum FoundNotes {
    All(Vec<Note>),
    MissingSlice(Vec<usize>),
}

/// The notes of all parts, or the parts without one.
fn collect(run: &EmbedRun<'_>, of: usize) -> Result<FoundNotes> {
    let (mut notes, mut missing) = (Vec::new(), Vec::new());
    for index in 0..of {
        match read(run.paths(), Part::new(index, of)?)? {
            Some(note) => notes.push(note),
            None => missing.push(index),
        }
    }
    Ok(if missing.is_empty() { FoundNotes::All(notes) } else { FoundNotes::MissingSlice(missing) })
}

/// Writes the header of all cases in their order, looks at every file it tells of, and removes the
/// notes.
fn assemble(run: &EmbedRun<'_>, notes: Vec<Note>) -> Result<()> {
    let dir = &run.options().dir;
    let of = notes.len();
    let mut told = std::collections::HashMap::new();
    let ours = run.header(Vec::new());
    for note in notes {
        check_note(run, &ours, &note)?;
        told.extend(note.header.cases.into_iter().map(|c| ((c.site.clone(), c.id.clone()), c)));
    }
    let mut cases = Vec::with_capacity(told.len());
    for case in &run.options().cases {
        let record = told.remove(&(case.site.clone(), case.id.clone()));
        cases.push(record.ok_or_else(|| Error::PartsLack {
            dir: dir.clone(),
            site: case.site.clone(),
            id: case.id.clone(),
        })?);
    }
    run.header(cases).write(run.paths())?;
    FeatureCache::open(dir.as_path())?;
    clear(run, of);
    Ok(())
}

/// Removes the completion markers. Another process that also finished last may have removed them
/// already, or have left other files here.
fn clear(run: &EmbedRun<'_>, of: usize) {
    for index in 0..of {
        std::fs::remove_file(run.paths().part(index, of)).ok();
    }
    std::fs::remove_dir(run.paths().parts()).ok();
}

fn write(paths: &CachePaths, note: &Note) -> Result<()> {
    let path = paths.part(note.part.index(), note.part.of());
    let text = serde_json::to_vec_pretty(note).map_err(|e| bad(&path, &e))?;
    crate::cache::make_parent(&path)?;
    Ok(write_atomic(&path, |w| w.write_all(&text))?)
}

fn read(paths: &CachePaths, part: Part) -> Result<Option<Note>> {
    let path = paths.part(part.index(), part.of());
    let text = match read_regular(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let note: Note = serde_json::from_slice(&text).map_err(|e| bad(&path, &e))?;
    note.header.check().map_err(|e| bad(&path, &e))?;
    if note.part != part {
        return Err(bad(
            &path,
            &format!("it is of part {} of {}", note.part.index(), note.part.of()),
        ));
    }
    Ok(Some(note))
}

fn bad(path: &std::path::Path, problem: &dyn std::fmt::Display) -> Error {
    Error::PartNote { path: PathBuf::from(path), problem: problem.to_string() }
}
