//! The two phases of a run: prepare the cases, encode their slices.

use super::{EmbedOptions, EmbedSummary, Part};
use crate::cache::{
    CacheCase, CacheHeader, CachePaths, CacheRecipe, CasePages, FORMAT_VERSION, Seal, SlicePolicy,
    case_source, human_bytes,
};
use crate::layout::Case;
use crate::lock::{self, Lock};
use crate::preprocess::{LabelRoundTrip, PreparedVolume, SiteRoundTrip};
use crate::{Error, Result};
use candle_core::Device;
use desam_core::text::DisplayPath as _;
use desam_core::{ImageEncoder, Progress, Volume};
use desam_volume::volumes::{
    VolumeFormat, align_labels, hash_with, load_labels, load_labels_of, load_volume,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct EmbedRun<'a> {
    pub(super) options: &'a EmbedOptions,
    pub(super) encoder: &'a dyn ImageEncoder,
    pub(super) device: &'a Device,
    pub(super) progress: &'a dyn Progress,
    /// Slices that are in place: embedded in this run or by an earlier one.
    pub(super) finished: AtomicUsize,
    pub(super) paths: CachePaths,
    pub(super) recipe: CacheRecipe,
    key: String,
    pub(super) data_root: PathBuf,
    /// The locks that keep other processes from writing to the cache during the run.
    _locks: Vec<Lock>,
}

/// Extent of a cache that a run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheAccess {
    Whole,
    Part(Part),
}

/// A case whose images and masks are in place.
struct ReadyCase {
    record: CacheCase,
    bytes: u64,
    /// Round-trip loss of its labels, if it has labels.
    labels: Option<LabelRoundTrip>,
}

/// Cases whose images and masks are in place.
pub(super) struct PreparedCases {
    pub(super) header: CacheHeader,
    /// Size of their files.
    bytes: u64,
    /// Round-trip loss of their labels, by site.
    labels: Vec<SiteRoundTrip>,
}

impl<'a> EmbedRun<'a> {
    pub(super) fn paths(&self) -> &CachePaths {
        &self.paths
    }

    pub(super) fn options(&self) -> &EmbedOptions {
        self.options
    }

    pub(super) fn new(
        options: &'a EmbedOptions,
        encoder: &'a dyn ImageEncoder,
        device: &'a Device,
        progress: &'a dyn Progress,
        access: CacheAccess,
    ) -> Result<Self> {
        let recipe = CacheRecipe {
            encoder: options.encoder.clone(),
            spec: encoder.spec().clone(),
            preprocess: options.preprocess.clone(),
            dtype: options.dtype,
            slices: options.slices,
            precision: options.precision,
            segment: options.read.segment,
            channel: options.read.channel,
        };
        recipe.validate()?;
        check_names(&options.cases)?;
        check_view_sites(options)?;
        let _locks = locks(options, &recipe, access, progress)?;
        let paths = CachePaths::new(&options.dir);
        if let Some(old) = CacheHeader::read(&paths)? {
            let differences = recipe.differences(&old.recipe);
            if !differences.is_empty() {
                return Err(Error::CacheMismatch { dir: options.dir.clone(), differences });
            }
            let gone = old
                .cases
                .iter()
                .filter(|o| !options.cases.iter().any(|c| (&c.site, &c.id) == (&o.site, &o.id)));
            let gone = gone.count();
            if let Some(note) = lost_views(&old, options) {
                progress.warn(&format!("{}: {note}", options.dir.display_escaped()));
            }
            if gone > 0 {
                progress.say(&format!(
                    "{gone} cases of {} are no longer in the data; their files are left there, \
                     unread",
                    options.dir.display_escaped()
                ));
            }
        }
        let key = recipe.key()?;
        let data_root = absolute(&options.data_root)?;
        let finished = AtomicUsize::new(0);
        Ok(Self {
            options,
            encoder,
            device,
            progress,
            finished,
            paths,
            recipe,
            key,
            data_root,
            _locks,
        })
    }

    /// First phase: every volume is read, its images and masks are stored, its slices counted.
    pub(super) fn prepare_cases(&self, cases: &[&Case]) -> Result<PreparedCases> {
        self.progress.begin("preparing volumes", cases.len() as u64);
        let mut ready = Vec::with_capacity(cases.len());
        for case in cases {
            if self.progress.is_cancelled() {
                let (what, done) = ("cases prepared", ready.len());
                return Err(Error::Cancelled { what, done, total: cases.len() });
            }
            ready.push(self.prepare_case(case).map_err(in_case(&case.site, &case.id))?);
            self.progress.advance(1, &format!("{}/{}", case.site, case.id));
        }
        let slices: usize = ready.iter().map(|r| r.record.stored.len()).sum();
        self.progress.finish(&format!("{} cases, {slices} slices to embed", ready.len()));
        let bytes = ready.iter().map(|r| r.bytes).sum();
        let labels = ready.iter().filter_map(|r| Some((r.record.site.as_str(), r.labels?)));
        let labels = SiteRoundTrip::by_site(labels);
        self.report_round_trip(&labels);
        let header = self.header(ready.into_iter().map(|r| r.record).collect());
        Ok(PreparedCases { header, bytes, labels })
    }

    /// Reports the round-trip loss of labels, before hours of encoding.
    fn report_round_trip(&self, sites: &[SiteRoundTrip]) {
        let (rule, side) = (self.recipe.preprocess.labels, self.recipe.spec.mask_side());
        for site in sites {
            let (name, line) = (&site.site, site.line());
            self.progress.detail(&format!("site {name}: labels in masks of {side}²: {line}"));
            if let Some(warning) = site.warning(rule, side) {
                self.progress.warn(&warning);
            }
        }
    }

    /// Refuses a cache of nothing: all labels may vanish in masks that are too small.
    pub(super) fn expect_slices(&self, prepared: &PreparedCases) -> Result<()> {
        let cases = &prepared.header.cases;
        let wanted = self.recipe.slices != SlicePolicy::None && !cases.is_empty();
        if wanted && cases.iter().all(|case| case.stored.is_empty()) {
            let mask_side = self.recipe.spec.mask_side();
            return Err(Error::NothingToEmbed { cases: cases.len(), mask_side });
        }
        Ok(())
    }

    /// The header of a cache of `cases`.
    pub(super) fn header(&self, cases: Vec<CacheCase>) -> CacheHeader {
        CacheHeader {
            format: FORMAT_VERSION,
            key: self.key.clone(),
            recipe: self.recipe.clone(),
            data_root: self.data_root.clone(),
            views: self.options.views.as_ref().map(|views| views.recipe.clone()),
            cases,
        }
    }

    fn prepare_case(&self, case: &Case) -> Result<ReadyCase> {
        if case.label.is_none() && self.recipe.slices == SlicePolicy::Labelled {
            return Err(Error::NoGroundTruth { site: case.site.clone(), id: case.id.clone() });
        }
        let hash = |path: &Path| hash_with(path, &self.options.read);
        let image_blake3 = hash(&case.image)?;
        let label_blake3 = case.label.as_deref().map(hash).transpose()?;
        let source = case_source(&image_blake3, label_blake3.as_deref());
        let seal = Seal { key: self.key.clone(), source };
        let path = self.paths.case(&case.site, &case.id);
        let mask_side = case.label.as_ref().map(|_| self.recipe.spec.mask_side());
        let open = || CasePages::open(&path, &seal, mask_side);
        let right = |pages: CasePages| pages.entry().verify().map(|()| pages);
        // Any unreadable entry is simply regenerated, and so is one that does not tell labels apart.
        let pages = match open().and_then(right) {
            Ok(pages) if pages.has_labels() => pages,
            _ => {
                self.write_pages(case, &path, &seal)?;
                open()?
            }
        };
        let labelled = pages.labelled()?;
        let stored = match self.recipe.slices {
            SlicePolicy::Labelled => labelled.clone(),
            SlicePolicy::All => (0..pages.slices()).collect(),
            SlicePolicy::None => Vec::new(),
        };
        let record = CacheCase {
            site: case.site.clone(),
            id: case.id.clone(),
            image: self.relative(&case.image)?,
            label: case.label.as_deref().map(|l| self.relative(l)).transpose()?,
            image_blake3,
            label_blake3,
            slices: pages.slices(),
            image_side: pages.side(),
            labelled,
            label_values: case.label.as_ref().map(|_| pages.label_values()).transpose()?,
            stored,
            views: self.options.views.as_ref().map_or(0, |views| views.of_site(&case.site)),
        };
        Ok(ReadyCase { record, bytes: pages.entry().len(), labels: self.round_trip(case)? })
    }

    /// Label loss of a case in the round trip to the masks and back, whether or not its masks were
    /// cached already.
    fn round_trip(&self, case: &Case) -> Result<Option<LabelRoundTrip>> {
        let Some(path) = &case.label else { return Ok(None) };
        let options = &self.options.read;
        let is_foreign = options.reader_of(path).is_some();
        // A segmentation may leave out slices: only its image says how many there are.
        let labels = if !is_foreign && VolumeFormat::of(path)? == VolumeFormat::Dicom {
            let image = load_volume(&case.image, options)?.value;
            load_labels_of(path, options, image.grid())?.value
        } else {
            load_labels(path, &options.for_labels())?.value
        };
        let (config, side) = (&self.recipe.preprocess, self.recipe.spec.mask_side());
        let traced = config.trace_labels(labels.grid(), &labels, side).map_err(in_file(path))?;
        Ok(Some(traced.round_trip))
    }

    fn write_pages(&self, case: &Case, path: &Path, seal: &Seal) -> Result<()> {
        let options = &self.options.read;
        let image = load_volume(&case.image, options)?;
        let labels = match &case.label {
            Some(path) => {
                let labels = load_labels_of(path, options, image.value.grid())?;
                let labels = align_labels(&image, labels, path).map_err(in_file(path))?;
                Some((labels.report(self.progress), path))
            }
            None => None,
        };
        let prepared = self.prepare(&case.image, &image.report(self.progress))?;
        let labels = match labels {
            Some((labels, path)) => Some(prepared.labels(&labels).map_err(in_file(path))?),
            None => None,
        };
        let images = (0..prepared.len()).map(|z| prepared.image(z)).collect::<Result<Vec<_>>>()?;
        CasePages::write(path, seal, &images, labels.as_deref())
    }

    pub(super) fn prepare_volume(&self, image: &Path) -> Result<PreparedVolume> {
        self.prepare(image, &load_volume(image, &self.options.read)?.report(self.progress))
    }

    fn prepare(&self, path: &Path, volume: &Volume) -> Result<PreparedVolume> {
        let prepared = self.recipe.preprocess.prepare(volume, &self.recipe.spec);
        let prepared = prepared.map_err(in_file(path))?;
        for warning in prepared.warnings() {
            self.progress.warn(&format!("{}: {warning}", path.display_escaped()));
        }
        Ok(prepared)
    }

    /// Second phase: says the size, encodes what is missing.
    pub(super) fn encode_cases(&self, prepared: &PreparedCases) -> Result<EmbedSummary> {
        let (header, mut bytes) = (&prepared.header, prepared.bytes);
        let slices: usize = header.cases.iter().map(|c| c.stored.len()).sum();
        let views: usize = header.cases.iter().map(|c| c.stored.len() * c.views).sum();
        let total = slices + views;
        let and_views = match &header.views {
            Some(rule) if views > 0 => format!(" and {views} views of them ({})", rule.augment),
            _ => String::new(),
        };
        self.progress.say(&format!(
            "features of {slices} slices{and_views} in {}: {} ({} a slice) in {}",
            self.recipe.dtype,
            human_bytes(self.recipe.estimate(total)),
            human_bytes(self.recipe.estimate(1)),
            self.options.dir.display_escaped()
        ));
        let mut reused = 0;
        self.progress.begin("embedding", total as u64);
        for case in &header.cases {
            let done = match self.encode_case(header, case) {
                Err(Error::Core(desam_core::Error::Cancelled)) => {
                    let (what, done) = ("slices embedded", self.finished.load(Ordering::Relaxed));
                    return Err(Error::Cancelled { what, done, total });
                }
                done => done.map_err(in_case(&case.site, &case.id))?,
            };
            bytes += done.bytes;
            reused += done.reused;
        }
        let computed = total - reused;
        let (cases, labels) = (header.cases.len(), prepared.labels.clone());
        let summary = EmbedSummary { cases, slices, views, computed, reused, bytes, labels };
        let what = if views > 0 { "slices and views" } else { "slices" };
        self.progress.finish(&format!(
            "{computed} {what} embedded, {reused} were there already; {} in all",
            human_bytes(bytes)
        ));
        Ok(summary)
    }

    /// `path` relative to the data root, or absolute where it lies elsewhere.
    fn relative(&self, path: &Path) -> Result<PathBuf> {
        let path = absolute(path)?;
        Ok(path.strip_prefix(&self.data_root).map(Path::to_path_buf).unwrap_or(path))
    }
}

/// Locks the cache's folder for one run, or for the parts of one.
fn locks(
    options: &EmbedOptions,
    recipe: &CacheRecipe,
    access: CacheAccess,
    progress: &dyn Progress,
) -> Result<Vec<Lock>> {
    let dir = &options.dir;
    let CacheAccess::Part(part) = access else {
        return Ok(vec![lock::folder(dir, progress)?]);
    };
    let agreement = recipe
        .agreement()
        .with("views", options.views.as_ref().map_or("none".into(), |views| format!("{views:?}")))
        .with("number of parts", part.of().to_string())
        .with("cases", super::part::fingerprint(&options.cases, &options.read)?);
    let folder = lock::shared_folder(dir, &agreement, progress)?;
    // Released in this order.
    Ok(vec![lock::part(dir, part.index(), part.of(), progress)?, folder])
}

/// Independent of the current folder, symbolic links kept.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("find", path))
}

/// Checks the names that become paths in the cache: plain, and unique on any file system.
fn check_names(cases: &[Case]) -> Result<()> {
    let mut seen = std::collections::HashMap::new();
    for case in cases {
        crate::cache::check_names(&case.site, &case.id)?;
        let name = (case.site.to_lowercase(), case.id.to_lowercase());
        if let Some(first) = seen.insert(name, &case.image) {
            return Err(Error::DuplicateCase {
                site: case.site.clone(),
                id: case.id.clone(),
                first: first.clone(),
                second: case.image.clone(),
            });
        }
    }
    Ok(())
}

/// A warning where a run leaves out or replaces style views that the cache holds.
fn lost_views(old: &CacheHeader, options: &EmbedOptions) -> Option<String> {
    let rule = old.views.as_ref()?;
    let same = options.views.as_ref().filter(|views| views.recipe == *rule);
    let kept = |case: &CacheCase| same.map_or(0, |views| views.of_site(&case.site));
    let mut sites: Vec<&str> = Vec::new();
    for case in old.cases.iter().filter(|case| case.views > kept(case)) {
        if !sites.contains(&case.site.as_str()) {
            sites.push(&case.site);
        }
    }
    if sites.is_empty() {
        return None;
    }
    let sites = sites.join(", ");
    Some(match &options.views {
        None => format!(
            "none of the style views {rule} of {sites} are requested; their files stay, unread"
        ),
        Some(new) if same.is_none() => {
            format!("the style views {rule} of {sites} are replaced by {}", new.recipe)
        }
        Some(_) => format!(
            "fewer style views {rule} of {sites} are requested than there are; the files of the \
             others stay, unread"
        ),
    })
}

/// Checks that the sites which get views exist, and that their slices are stored.
fn check_view_sites(options: &EmbedOptions) -> Result<()> {
    if options.views.is_some() && options.slices == SlicePolicy::None {
        return Err(Error::ViewsOfNothing);
    }
    let sites = options.views.iter().filter_map(|views| views.sites.as_ref()).flatten();
    for site in sites {
        if !options.cases.iter().any(|case| &case.site == site) {
            let mut found: Vec<String> = options.cases.iter().map(|c| c.site.clone()).collect();
            found.dedup();
            return Err(Error::ViewSite { site: site.clone(), found });
        }
    }
    Ok(())
}

/// Names the file in an error about what was read from it.
fn in_file<E: Into<Error>>(path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |source| Error::UnusableVolume { path, source: Box::new(source.into()) }
}

/// Names the case in an error, unless the error does so already.
fn in_case<'n>(site: &'n str, id: &'n str) -> impl FnOnce(Error) -> Error + 'n {
    move |source| match source {
        Error::NoGroundTruth { .. } => source,
        _ => Error::Case { site: site.into(), id: id.into(), source: Box::new(source) },
    }
}
