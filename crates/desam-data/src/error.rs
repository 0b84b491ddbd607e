//! Errors of layouts, preprocessing, caches and embedding, with what mends them.

use desam_core::text::DisplayPath as _;
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of `desam-data`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a volume that could not be read or written.
    #[error(transparent)]
    File(#[from] desam_volume::Error),
    /// A folder or file that another process is writing to.
    #[error(
        "{subject} is in use: {holder} is writing to it; wait until that process has ended, or write \
         elsewhere"
    )]
    InUse {
        /// The folder, the part of a folder, or the file.
        subject: String,
        /// The process that is writing.
        holder: Box<crate::lock::Holder>,
    },
    /// A folder that other processes share under other settings.
    #[error(
        "{subject} is in use: {holder} and perhaps others are writing to it with other settings ({}); \
         wait until they have ended, or write elsewhere",
        differences.join("; ")
    )]
    InUseOtherwise {
        /// The folder.
        subject: String,
        /// One of the processes that are writing.
        holder: Box<crate::lock::Holder>,
        /// The settings that differ, in words.
        differences: Vec<String>,
    },
    /// A data folder without a single site.
    #[error(
        "{}: no site found; expected folders SITE/ that hold CaseXX.nii.gz and \
         CaseXX_segmentation.nii.gz (any format), or a CSV file image,label,case,site",
        dir.display_escaped()
    )]
    NoSites {
        /// The data folder.
        dir: PathBuf,
    },
    /// An image whose ground truth is missing.
    #[error(
        "site {site}, case {id}: {} has no label file; expected one such as {expected}",
        image.display_escaped()
    )]
    MissingLabel {
        /// The site.
        site: String,
        /// The case.
        id: String,
        /// The image.
        image: PathBuf,
        /// An example of the label's name.
        expected: String,
    },
    /// Ground truth whose image is missing.
    #[error("site {site}, case {id}: {} has no image; expected one such as {expected}", label.display_escaped())]
    MissingImage {
        /// The site.
        site: String,
        /// The case.
        id: String,
        /// The label file.
        label: PathBuf,
        /// An example of the image's name.
        expected: String,
    },
    /// Ground truth whose name begins with those of two images.
    #[error(
        "site {site}: {} may be the label of {first} and of {second}; name it as its image",
        label.display_escaped()
    )]
    AmbiguousLabel {
        /// The site.
        site: String,
        /// The label file.
        label: PathBuf,
        /// One image, by its case.
        first: String,
        /// Another one.
        second: String,
    },
    /// Two files that claim to be the same case.
    #[error(
        "site {site}, case {id}: both {} and {} claim it; remove or rename one",
        first.display_escaped(), second.display_escaped()
    )]
    DuplicateCase {
        /// The site.
        site: String,
        /// The case.
        id: String,
        /// The file found first.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A data set that holds cases directly and in a folder, which may be a site or misplaced.
    #[error(
        "{} holds cases directly and in its folder {folder}; if its folders are sites, move the other cases",
        dir.display_escaped()
    )]
    MixedLayout {
        /// The data folder.
        dir: PathBuf,
        /// The folder in it.
        folder: String,
    },
    /// An invalid table of cases.
    #[error("{}, line {line}: {problem}", path.display_escaped())]
    Table {
        /// The CSV file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The problem with the line.
        problem: String,
    },
    /// A file name that is not UTF-8, so that no case can be named after it.
    #[error("{}: the name is not UTF-8; rename it", path.display_escaped())]
    FileName {
        /// The file or folder.
        path: PathBuf,
    },
    /// An invalid train/validation split.
    #[error(
        "cannot split {cases} cases with a validation fraction of {fraction}: \
         expected at least 2 cases and a fraction between 0 and 1"
    )]
    Split {
        /// Cases to split.
        cases: usize,
        /// The requested fraction.
        fraction: f64,
    },
    /// An invalid preprocessing configuration.
    #[error("preprocessing: {field} is {found}; expected {expected}")]
    PreprocessConfig {
        /// The field.
        field: &'static str,
        /// The given value.
        found: String,
        /// The accepted values.
        expected: &'static str,
    },
    /// A list of style changes that makes no sense.
    #[error("list of augmentations: {0}")]
    StyleSteps(String),
    /// A number of style views that is not possible.
    #[error("{count} style views of a slice: 1 to {} are possible", crate::cache::MAX_VIEWS)]
    ViewCount {
        /// The requested number.
        count: usize,
    },
    /// Style views requested for a cache without features.
    #[error("style views are features, and a cache of images and masks alone has none")]
    ViewsOfNothing,
    /// Style views requested for a site that does not exist.
    #[error("style views of site {site:?}: the data set has {}", found.join(", "))]
    ViewSite {
        /// The requested site.
        site: String,
        /// The sites of the data set.
        found: Vec<String>,
    },
    /// An invalid augmentation setting.
    #[error("augmentation: {field} must be 0 to {most}, found {found}")]
    AugmentConfig {
        /// The field.
        field: &'static str,
        /// The given value.
        found: f64,
        /// The largest accepted value.
        most: f64,
    },
    /// An intensity histogram of an image in colour.
    #[error("an image in colour has no histogram of grey levels, by which intensities are matched")]
    ColorHistogram,
    /// Percentile landmarks that no standard scale can be made of or applied to.
    #[error("standardisation of intensities by landmarks: {0}")]
    Landmarks(String),
    /// A volume that has no distribution of values to match.
    #[error("source matching: {0}")]
    SourceMatching(String),
    /// Values that do not fill a slice.
    #[error(
        "a slice of {height} × {width} pixels and {found} values; expected as many, and at least one"
    )]
    PlaneSize {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Number of given values.
        found: usize,
    },
    /// A slice without a value above 0, so that percentiles of those do not exist.
    #[error("a slice of {count} pixels has no value above 0, of which its percentiles would be")]
    NothingPositive {
        /// Number of pixels.
        count: usize,
    },
    /// An image with non-finite voxels.
    #[error(
        "{count} of {of} voxels are not finite, the first at {first:?} is {value}; \
         replace them before segmenting"
    )]
    NotFinite {
        /// Number of voxels that are not finite.
        count: usize,
        /// Number of voxels in the image.
        of: usize,
        /// Index of the first one, `(i, j, k)`.
        first: [usize; 3],
        /// Value of the first one.
        value: f32,
    },
    /// A volume whose geometry cannot be prepared.
    #[error("volume of {dims:?} voxels, {spacing:?} mm: {problem}")]
    Geometry {
        /// Voxels along `i`, `j`, `k`.
        dims: [usize; 3],
        /// Spacing in mm.
        spacing: [f64; 3],
        /// The problem with the geometry.
        problem: String,
    },
    /// A volume that was read and cannot be used.
    #[error("{}: {source}", path.display())]
    UnusableVolume {
        /// The volume's file.
        path: PathBuf,
        /// The error.
        source: Box<Error>,
    },
    /// A slice beyond the last.
    #[error("slice index {index} is out of range: there are {len} slices")]
    SliceIndex {
        /// The requested slice.
        index: usize,
        /// Number of slices.
        len: usize,
    },
    /// An invalid choice.
    #[error("{what}: {found:?} is not one of {choices}")]
    Choice {
        /// The setting.
        what: &'static str,
        /// The unknown name.
        found: String,
        /// The known names.
        choices: &'static str,
    },
    /// An invalid cache recipe.
    #[error("feature cache: {0}")]
    CacheRecipe(String),
    /// A folder that holds no cache, or one whose run ended before the volumes were prepared.
    #[error(
        "{}: no feature cache here (no cache.json); run embed, or its missing parts",
        dir.display_escaped()
    )]
    CacheNotFound {
        /// The folder.
        dir: PathBuf,
    },
    /// A cache's header that cannot be read.
    #[error("{}: {problem}; remove the cache and run embed again", path.display_escaped())]
    CacheHeader {
        /// The header's file.
        path: PathBuf,
        /// The problem with the header.
        problem: String,
    },
    /// A cache of another recipe than the requested one.
    #[error(
        "{}: this cache was made with other settings ({}); write to another folder, or remove this one",
        dir.display_escaped(), differences.join("; ")
    )]
    CacheMismatch {
        /// The cache's folder.
        dir: PathBuf,
        /// The settings that differ, in words.
        differences: Vec<String>,
    },
    /// An invalid part of a run.
    #[error("part {index} of {of}: expected an index from 0 to N - 1, and N from 1 to 100000")]
    Part {
        /// The requested part.
        index: usize,
        /// The number of parts.
        of: usize,
    },
    /// Parts of a run that are not done.
    #[error(
        "{}: of {of} parts these are unfinished: {}; run them again, they continue where they stopped",
        dir.display_escaped(), list(missing)
    )]
    PartsMissing {
        /// The cache's folder.
        dir: PathBuf,
        /// The parts, ascending.
        missing: Vec<usize>,
        /// The number of parts.
        of: usize,
    },
    /// A case that no part embedded, though all are done.
    #[error(
        "{}: no part embedded {site}/{id}: the data has changed between the parts; run all of them \
         again, valid files are kept",
        dir.display_escaped()
    )]
    PartsLack {
        /// The cache's folder.
        dir: PathBuf,
        /// The case's site.
        site: String,
        /// The case.
        id: String,
    },
    /// An unreadable note of a finished part.
    #[error("{}: {problem}; remove it and run this part again", path.display_escaped())]
    PartNote {
        /// The note's file.
        path: PathBuf,
        /// The problem with the note.
        problem: String,
    },
    /// A cache of an older version, which merged all labels into one foreground.
    #[error(
        "{}: {site}/{id} holds its foreground alone, as older versions stored it, where labels are \
         expected; run embed again, which keeps the features",
        dir.display_escaped()
    )]
    LabelsMerged {
        /// The cache.
        dir: PathBuf,
        /// The case's site.
        site: String,
        /// The case.
        id: String,
    },
    /// A cache whose run was interrupted, or that files are missing of.
    #[error(
        "{}: the cache is incomplete: {present} of {expected} files are there, the first missing is \
         {missing}; run embed again, it makes only what is missing",
        dir.display_escaped()
    )]
    CacheIncomplete {
        /// The cache's folder.
        dir: PathBuf,
        /// Number of files that are there: one a case, with its images and masks, and one a stored slice and
        /// view, with its features.
        present: usize,
        /// Number of files by the cache's header.
        expected: usize,
        /// The first missing file, relative to the folder.
        missing: String,
    },
    /// A stale cache file, made from other inputs.
    #[error(
        "{}: stale: its {what} is {found}, expected {expected}; run embed again, \
         which replaces it",
        path.display_escaped()
    )]
    CacheEntryStale {
        /// The file.
        path: PathBuf,
        /// The property that differs: `cache key` or `source hash`.
        what: &'static str,
        /// The expected value.
        expected: String,
        /// The value in the file.
        found: String,
    },
    /// A truncated cache file.
    #[error(
        "{}: truncated: its header promises {expected} bytes or more, {found} are there; \
         run embed again, which replaces it",
        path.display_escaped()
    )]
    CacheEntryTruncated {
        /// The file.
        path: PathBuf,
        /// Length that the header promises, bytes.
        expected: u64,
        /// Actual length of the file, bytes.
        found: u64,
    },
    /// A corrupt cache file.
    #[error("{}: corrupt: {problem}; run embed again, which replaces it", path.display_escaped())]
    CacheEntryCorrupt {
        /// The file.
        path: PathBuf,
        /// The problem with the file.
        problem: String,
    },
    /// Non-finite stored features whose checksum is right.
    #[error(
        "{}: slice {slice} of {site}/{id}: its {tensor} holds {value} at element {element}, and features \
         must be finite; check the encoder's weights, remove this file and run embed again",
        path.display()
    )]
    CacheNotFinite {
        /// The file.
        path: PathBuf,
        /// The case's site.
        site: String,
        /// The case.
        id: String,
        /// Index of the processed slice.
        slice: usize,
        /// Name of the tensor.
        tensor: String,
        /// Index of the element, in the order of the file.
        element: usize,
        /// Value of the element.
        value: f32,
    },
    /// Damaged files of a cache, found by [`crate::cache::FeatureCache::verify`].
    #[error(
        "{}: {} of {files} files are damaged:\n{}",
        dir.display_escaped(), damaged.len(), damaged.join("\n")
    )]
    CacheDamaged {
        /// The cache's folder.
        dir: PathBuf,
        /// Number of files that were read.
        files: usize,
        /// One message for each damaged file.
        damaged: Vec<String>,
    },
    /// A case beyond the last.
    #[error("case index {index} is out of range: there are {len} cases")]
    CaseIndex {
        /// The requested case.
        index: usize,
        /// Number of cases.
        len: usize,
    },
    /// A slice whose features are not in the cache.
    #[error(
        "site {site}, case {id}: the features of slice {slice} are not stored; \
         embed all slices instead of the labelled ones"
    )]
    SliceNotStored {
        /// The site.
        site: String,
        /// The case.
        id: String,
        /// Index of the processed slice.
        slice: usize,
    },
    /// A style view that is not in the cache.
    #[error("site {site}, case {id}: there is no style view {view}; the cache holds {views}")]
    ViewNotStored {
        /// The site.
        site: String,
        /// The case.
        id: String,
        /// The requested view, from 1.
        view: usize,
        /// Stored views of each slice.
        views: usize,
    },
    /// A case that has an image but no ground truth, where that is needed.
    #[error(
        "site {site}, case {id}: there is no ground truth; add a label file, \
         or embed all slices instead of the labelled ones"
    )]
    NoGroundTruth {
        /// The site.
        site: String,
        /// The case.
        id: String,
    },
    /// A case that could not be embedded.
    #[error("site {site}, case {id}: {source}")]
    Case {
        /// The site.
        site: String,
        /// The case.
        id: String,
        /// The error.
        source: Box<Error>,
    },
    /// A case whose name cannot be a file name.
    #[error(
        "site {site:?}, case {id:?}: the name of the case {problem}; cases need plain file names, rename it"
    )]
    CaseName {
        /// The site.
        site: String,
        /// The case.
        id: String,
        /// The problem with the name.
        problem: &'static str,
    },
    /// A site whose name cannot be a folder name or stand in a list.
    #[error("site {site:?}: its name {problem}; sites need plain file names, rename it")]
    SiteName {
        /// The site.
        site: String,
        /// The problem with the name.
        problem: &'static str,
    },
    /// Cases of which no slice would be stored.
    #[error(
        "of the {cases} cases no slice has ground truth in masks of {mask_side} × {mask_side} \
         pixels, so there is nothing to embed; choose a larger input side or a finer spacing, or \
         look at the labels"
    )]
    NothingToEmbed {
        /// Number of cases whose volumes and labels were read.
        cases: usize,
        /// Side of the masks, pixels.
        mask_side: usize,
    },
    /// Features beyond the range of the stored type, or NaN.
    #[error(
        "slice {slice}: the encoder's {tensor} holds {value}, which {dtype} cannot hold; {advice}"
    )]
    FeatureRange {
        /// Index of the processed slice.
        slice: usize,
        /// The features: a tap or the embedding.
        tensor: String,
        /// The value.
        value: f32,
        /// The stored type.
        dtype: crate::cache::FeatureDtype,
        /// The remedy.
        advice: &'static str,
    },
    /// An invalid phantom style.
    #[error("phantom site {site:?}: {problem}")]
    PhantomStyle {
        /// The site.
        site: String,
        /// The problem with the style.
        problem: String,
    },
    /// A set of phantoms that cannot be written.
    #[error("phantoms: {0}")]
    PhantomConfig(String),
    /// The work was cancelled; what was finished before is kept, and the next run continues there.
    #[error(
        "cancelled: {done} of {total} {what}; finished work is kept, and the next run continues there"
    )]
    Cancelled {
        /// The unit of work, such as `slices embedded`.
        what: &'static str,
        /// Number of finished units.
        done: usize,
        /// Number of all units.
        total: usize,
    },
    /// A shape, prompt or tensor error from below.
    #[error(transparent)]
    Core(#[from] desam_core::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Formats numbers as a list: `2, 5, 7`.
fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// An [`Io`](desam_volume::Error::Io) error, for `map_err`.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let io = desam_volume::Error::io(action, path);
        move |source| Self::File(io(source))
    }
}
