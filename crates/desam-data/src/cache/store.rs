//! Reader of a feature cache.

use super::checked::{VerifiedFiles, not_finite};
use super::{
    CacheCase, CacheHeader, CachePaths, CasePages, Entry, FeatureDtype, FeatureFile, TensorSpec,
};
use crate::preprocess::SliceImage;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use desam_core::{BinaryMask, ClassMask, ClassTable, ImageFeatures, LabelMask, Progress};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One slice whose features are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceRef {
    /// Index into [`FeatureCache::cases`].
    pub case: usize,
    /// The processed slice.
    pub z: usize,
    /// Whether its `M×M` mask has foreground.
    pub labelled: bool,
}

/// A complete cache on the disk, open for reading. It holds no features in memory: each call maps
/// the file it needs, so many threads may read at once.
#[derive(Debug, Clone)]
pub struct FeatureCache {
    paths: CachePaths,
    header: CacheHeader,
    features: Vec<TensorSpec>,
    slices: Vec<SliceRef>,
    /// The files of features, by case.
    files: Vec<(usize, FeatureFile)>,
    /// Verified files: of the cases, then of the features. Shared by clones.
    checked: Arc<VerifiedFiles>,
}

impl FeatureCache {
    /// Opens the cache in `dir`.
    ///
    /// Every file is opened and its seal, names, shapes, type and length are checked, which reads
    /// a few kilobytes of each. The same is checked again whenever a file is read. The numbers are
    /// compared with their checksum, and features with what is finite, when they are first read
    /// through this cache or a clone of it; [`FeatureCache::verify`] does so for all at once.
    ///
    /// # Errors
    /// When there is no cache, its header is broken or of another format, a run was interrupted
    /// and slices are missing, or a file is stale, truncated or corrupt, which is named.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let paths = CachePaths::new(dir);
        let header = CacheHeader::read(&paths)?
            .ok_or_else(|| Error::CacheNotFound { dir: paths.dir().into() })?;
        let features = header.recipe.feature_tensors();
        let slices = header.cases.iter().enumerate().flat_map(|(case, c)| {
            c.stored.iter().map(move |&z| SliceRef {
                case,
                z,
                labelled: c.labelled.binary_search(&z).is_ok(),
            })
        });
        let slices: Vec<SliceRef> = slices.collect();
        let files = header.cases.iter().enumerate();
        let files: Vec<(usize, FeatureFile)> =
            files.flat_map(|(n, c)| FeatureFile::of_case(c).map(move |file| (n, file))).collect();
        let checked = Arc::new(VerifiedFiles::new(header.cases.len() + files.len()));
        let cache = Self { paths, header, features, slices, files, checked };
        cache.check_complete()?;
        for case in 0..cache.header.cases.len() {
            cache.pages(case)?;
        }
        for &(case, file) in &cache.files {
            cache.entry(case, file)?;
        }
        Ok(cache)
    }

    /// The folder it lies in.
    pub fn dir(&self) -> &Path {
        self.paths.dir()
    }

    /// Its header: contents and recipe.
    pub fn header(&self) -> &CacheHeader {
        &self.header
    }

    /// The cases, in the order they were embedded.
    pub fn cases(&self) -> &[CacheCase] {
        &self.header.cases
    }

    /// The sites, each once, in the order of their first case.
    pub fn sites(&self) -> Vec<&str> {
        let mut sites: Vec<&str> = Vec::new();
        for case in &self.header.cases {
            if !sites.contains(&case.site.as_str()) {
                sites.push(&case.site);
            }
        }
        sites
    }

    /// The cases of one site, as indices into [`FeatureCache::cases`].
    pub fn site_cases(&self, site: &str) -> Vec<usize> {
        let cases = self.header.cases.iter().enumerate();
        cases.filter(|(_, c)| c.site == site).map(|(n, _)| n).collect()
    }

    /// All slices whose features are stored, by case, then by slice.
    pub fn slices(&self) -> &[SliceRef] {
        &self.slices
    }

    /// The slices of one case whose features are stored.
    pub fn case_slices(&self, case: usize) -> &[SliceRef] {
        let start = self.slices.partition_point(|s| s.case < case);
        let end = self.slices.partition_point(|s| s.case <= case);
        self.slices.get(start..end).unwrap_or_default()
    }

    /// All processed slices of one case, whether their features are stored or not.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn processed_slices(&self, case: usize) -> Result<Vec<SliceRef>> {
        let record = self.case(case)?;
        let slice = |z| SliceRef { case, z, labelled: record.labelled.contains(&z) };
        Ok((0..record.slices).map(slice).collect())
    }

    /// All processed slices of one case; those are labelled that hold one of the classes.
    ///
    /// # Errors
    /// As [`FeatureCache::class_mask`].
    pub fn class_slices(&self, case: usize, classes: &ClassTable) -> Result<Vec<SliceRef>> {
        let mut slices = self.processed_slices(case)?;
        if !classes.is_foreground() {
            for slice in slices.iter_mut().filter(|slice| slice.labelled) {
                slice.labelled = !self.class_mask(slice, classes)?.is_empty();
            }
        }
        Ok(slices)
    }

    /// Path of a case's image when the cache was made.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn image_path(&self, case: usize) -> Result<PathBuf> {
        Ok(self.header.data_root.join(&self.case(case)?.image))
    }

    /// Path of a case's ground truth when the cache was made.
    ///
    /// # Errors
    /// When there is no such case, or it has no ground truth.
    pub fn label_path(&self, case: usize) -> Result<PathBuf> {
        let case = self.case(case)?;
        let label = case.label.as_ref().ok_or_else(|| no_label(case))?;
        Ok(self.header.data_root.join(label))
    }

    /// Style views of each stored slice of a case.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn views(&self, case: usize) -> Result<usize> {
        Ok(self.case(case)?.views)
    }

    /// The style views of some cases in words, such as `gin (seed 0), 4 of each slice`; `none` where they
    /// have none. Equal words mean equal views of equal slices.
    pub fn describe_views(&self, cases: &[usize]) -> String {
        let counts: Vec<usize> = cases.iter().filter_map(|&case| self.views(case).ok()).collect();
        let Some(rule) = self.header.views.as_ref().filter(|_| counts.iter().any(|n| *n > 0))
        else {
            return "none".to_owned();
        };
        let count = match counts.split_first() {
            Some((first, rest)) if rest.iter().all(|n| n == first) => first.to_string(),
            _ => counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        format!("{rule}, {count} of each slice")
    }

    /// The features of one slice, `B = 1`, f32, on `device`.
    ///
    /// # Errors
    /// When the slice is not stored, or its file is missing, stale, truncated or corrupt, or holds
    /// what is not finite.
    pub fn features(&self, slice: &SliceRef, device: &Device) -> Result<ImageFeatures> {
        self.view_features(slice, 0, device)
    }

    /// The features of style view `view` of a slice, from 1; 0 is the slice as it is. `B = 1`, f32, on
    /// `device`.
    ///
    /// # Errors
    /// As [`FeatureCache::features`], also when there is no such view.
    pub fn view_features(
        &self,
        slice: &SliceRef,
        view: usize,
        device: &Device,
    ) -> Result<ImageFeatures> {
        let dtype = self.header.recipe.dtype;
        self.read(slice, view, |bytes, shape| Tensor::from_vec(widen(bytes, dtype), shape, device))
    }

    /// The features of one slice in the type that they are stored in.
    ///
    /// # Errors
    /// As [`FeatureCache::features`].
    pub fn stored_features(&self, slice: &SliceRef, device: &Device) -> Result<ImageFeatures> {
        self.stored_view_features(slice, 0, device)
    }

    /// The features of style view `view` of a slice in the type that they are stored in.
    ///
    /// # Errors
    /// As [`FeatureCache::view_features`].
    pub fn stored_view_features(
        &self,
        slice: &SliceRef,
        view: usize,
        device: &Device,
    ) -> Result<ImageFeatures> {
        let dtype = match self.header.recipe.dtype {
            FeatureDtype::F16 => DType::F16,
            FeatureDtype::F32 => DType::F32,
        };
        self.read(slice, view, |bytes, shape| Tensor::from_raw_buffer(bytes, dtype, shape, device))
    }

    /// The features of a slice or a view, each from its bytes and its shape.
    fn read(
        &self,
        slice: &SliceRef,
        view: usize,
        tensor: impl Fn(&[u8], &[usize]) -> candle_core::Result<Tensor>,
    ) -> Result<ImageFeatures> {
        let entry = self.checked_entry(slice.case, FeatureFile { z: slice.z, view })?;
        let mut tensors = Vec::with_capacity(self.features.len());
        for (n, spec) in self.features.iter().enumerate() {
            tensors.push(tensor(entry.bytes(n)?, &spec.shape)?);
        }
        match tensors.pop() {
            Some(embedding) => Ok(ImageFeatures { taps: tensors, embedding }),
            None => Err(entry.corrupt("it holds no embedding".into())),
        }
    }

    /// The processed image of a slice.
    ///
    /// # Errors
    /// When there is no such case or slice, or the case's file is not right.
    pub fn image(&self, slice: &SliceRef) -> Result<SliceImage> {
        self.checked_pages(slice.case)?.image(slice.z)
    }

    /// The `M×M` foreground of a slice.
    ///
    /// # Errors
    /// As [`FeatureCache::image`]; and when the case has no ground truth.
    pub fn mask(&self, slice: &SliceRef) -> Result<BinaryMask> {
        Ok(self.labels(slice, false)?.foreground())
    }

    /// The `M×M` classes of a slice.
    ///
    /// # Errors
    /// As [`FeatureCache::mask`]; [`Error::LabelsMerged`] where the cache does not tell labels apart.
    pub fn class_mask(&self, slice: &SliceRef, classes: &ClassTable) -> Result<ClassMask> {
        self.view_class_mask(slice, 0, classes)
    }

    /// The `M×M` classes of style view `view` of a slice, from 1, which move with the view's image; 0 is
    /// the slice as it is.
    ///
    /// # Errors
    /// As [`FeatureCache::class_mask`].
    pub fn view_class_mask(
        &self,
        slice: &SliceRef,
        view: usize,
        classes: &ClassTable,
    ) -> Result<ClassMask> {
        let labels = self.labels(slice, !classes.is_foreground())?;
        let mask = ClassMask::of_labels(labels, classes);
        match &self.header.views {
            Some(views) if view > 0 => {
                let image = &self.case(slice.case)?.image_blake3;
                let seed = views.view_seed(image, slice.z, view);
                Ok(mask.with_map(views.augment.mask(mask.map(), seed))?)
            }
            _ => Ok(mask),
        }
    }

    /// The `M×M` foreground of all processed slices of a case, stored or not.
    ///
    /// # Errors
    /// As [`FeatureCache::mask`].
    pub fn case_masks(&self, case: usize) -> Result<Vec<BinaryMask>> {
        let pages = self.checked_pages(case)?;
        let record = self.case(case)?;
        let labels = |z| pages.labels(z)?.ok_or_else(|| no_label(record));
        (0..pages.slices()).map(|z| Ok(labels(z)?.foreground())).collect()
    }

    /// The labels that occur in the masks of some cases, rising; `None` where the cache does not tell labels
    /// apart in one of them.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn label_values(&self, cases: &[usize]) -> Result<Option<Vec<u8>>> {
        let mut values = std::collections::BTreeSet::new();
        for &case in cases {
            match &self.case(case)?.label_values {
                Some(found) => values.extend(found),
                None if self.case(case)?.label.is_none() => {}
                None => return Ok(None),
            }
        }
        Ok(Some(values.into_iter().collect()))
    }

    /// The labels of a slice; with `apart` an error where the file has merged them.
    fn labels(&self, slice: &SliceRef, apart: bool) -> Result<LabelMask> {
        let pages = self.checked_pages(slice.case)?;
        let case = self.case(slice.case)?;
        if apart && !pages.has_labels() {
            let (site, id) = (case.site.clone(), case.id.clone());
            return Err(Error::LabelsMerged { dir: self.dir().into(), site, id });
        }
        pages.labels(slice.z)?.ok_or_else(|| no_label(case))
    }

    /// Verifies every file of the cache against its checksum.
    ///
    /// # Errors
    /// [`Error::CacheDamaged`] with every file that is not right.
    pub fn verify(&self, progress: &dyn Progress) -> Result<()> {
        let files = self.header.cases.len() + self.files.len();
        progress.begin("verifying the cache", files as u64);
        let mut damaged = Vec::new();
        for case in 0..self.header.cases.len() {
            if let Err(e) = self.verify_case(case) {
                damaged.push(e.to_string());
            }
            progress.advance(1, "images and masks");
        }
        for &(case, file) in &self.files {
            let entry = self.entry(case, file);
            if let Err(e) = entry.and_then(|e| self.verify_features(case, file, &e)) {
                damaged.push(e.to_string());
            }
            let case = self.case(case)?;
            progress.advance(1, &format!("{}/{} {file}", case.site, case.id));
        }
        progress.finish(&format!("{} of {files} files are right", files - damaged.len()));
        if damaged.is_empty() {
            Ok(())
        } else {
            Err(Error::CacheDamaged { dir: self.dir().into(), files, damaged })
        }
    }

    /// Compares all numbers of a case's images and masks, and which of its slices count as labelled.
    fn verify_case(&self, case: usize) -> Result<()> {
        let pages = self.pages(case)?;
        pages.entry().verify()?;
        let (found, expected) = (pages.labelled()?, &self.case(case)?.labelled);
        if found != *expected {
            let problem = format!(
                "its masks have foreground on slices {found:?}, but cache.json says {expected:?}"
            );
            return Err(pages.entry().corrupt(problem));
        }
        Ok(())
    }

    /// Compares all numbers of a slice's features, and looks for what is not finite.
    fn verify_features(&self, case: usize, file: FeatureFile, entry: &Entry) -> Result<()> {
        let odd = not_finite(entry, &self.features, self.header.recipe.dtype)?;
        let Some(odd) = odd else {
            return entry.verify();
        };
        if let Err(Error::CacheEntryCorrupt { path, problem }) = entry.verify() {
            let (tensor, element, value) = (odd.tensor, odd.element, odd.value);
            let problem = format!("{problem}; {tensor} holds {value} at element {element}");
            return Err(Error::CacheEntryCorrupt { path, problem });
        }
        let case = self.case(case)?;
        Err(Error::CacheNotFinite {
            path: self.paths.features(&case.site, &case.id, file),
            site: case.site.clone(),
            id: case.id.clone(),
            slice: file.z,
            tensor: odd.tensor,
            element: odd.element,
            value: odd.value,
        })
    }

    /// A file of features whose numbers have been checked.
    fn checked_entry(&self, case: usize, file: FeatureFile) -> Result<Entry> {
        let entry = self.entry(case, file)?;
        if let Ok(index) = self.files.binary_search(&(case, file)) {
            let index = self.header.cases.len() + index;
            self.checked.once(index, || self.verify_features(case, file, &entry))?;
        }
        Ok(entry)
    }

    /// A case's file, whose numbers have been checked.
    fn checked_pages(&self, case: usize) -> Result<CasePages> {
        let pages = self.pages(case)?;
        self.checked.once(case, || pages.entry().verify())?;
        Ok(pages)
    }

    fn case(&self, index: usize) -> Result<&CacheCase> {
        let len = self.header.cases.len();
        self.header.cases.get(index).ok_or(Error::CaseIndex { index, len })
    }

    fn pages(&self, case: usize) -> Result<CasePages> {
        let record = self.case(case)?;
        let path = self.paths.case(&record.site, &record.id);
        let mask_side = record.label.as_ref().map(|_| self.header.recipe.spec.mask_side());
        let pages = CasePages::open(&path, &self.header.case_seal(record), mask_side)?;
        let (found, expected) =
            ((pages.slices(), pages.side()), (record.slices, record.image_side));
        if found != expected {
            let problem =
                format!("slices and side of its images: expected {expected:?}, found {found:?}");
            return Err(pages.entry().corrupt(problem));
        }
        Ok(pages)
    }

    fn entry(&self, case: usize, file: FeatureFile) -> Result<Entry> {
        let record = self.case(case)?;
        let name = || (record.site.clone(), record.id.clone());
        if record.stored.binary_search(&file.z).is_err() {
            let (site, id) = name();
            return Err(Error::SliceNotStored { site, id, slice: file.z });
        }
        if file.view > record.views {
            let (site, id) = name();
            return Err(Error::ViewNotStored { site, id, view: file.view, views: record.views });
        }
        let path = self.paths.features(&record.site, &record.id, file);
        Entry::open(&path, &self.header.features_seal(record, file))?.expect(&self.features)
    }

    /// Rejects a cache whose run was interrupted, before errors about single files.
    fn check_complete(&self) -> Result<()> {
        let pages = self.header.cases.iter().map(|c| self.paths.case(&c.site, &c.id));
        let features = self.files.iter().filter_map(|&(case, file)| {
            let case = self.header.cases.get(case)?;
            Some(self.paths.features(&case.site, &case.id, file))
        });
        let missing: Vec<PathBuf> = pages.chain(features).filter(|path| !path.is_file()).collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let expected = self.header.cases.len() + self.files.len();
        Err(Error::CacheIncomplete {
            dir: self.dir().into(),
            present: expected - missing.len(),
            expected,
            missing: first.strip_prefix(self.dir()).unwrap_or(first).display().to_string(),
        })
    }
}

fn no_label(case: &CacheCase) -> Error {
    Error::NoGroundTruth { site: case.site.clone(), id: case.id.clone() }
}

/// Dequantizes stored little-endian numbers to f32; exact, since they are f16 or f32.
fn widen(bytes: &[u8], dtype: FeatureDtype) -> Vec<f32> {
    match dtype {
        FeatureDtype::F32 => {
            bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
        }
        FeatureDtype::F16 => {
            // In chunks that stay in the L1 cache; the conversion itself is vectorised.
            let mut out = vec![0.0; bytes.len() / 2];
            let mut piece = [f16::ZERO; 4096];
            for (values, raw) in out.chunks_mut(piece.len()).zip(bytes.chunks(2 * piece.len())) {
                let (narrow, _) = piece.split_at_mut(values.len());
                for (value, &chunk) in narrow.iter_mut().zip(raw.as_chunks().0) {
                    *value = f16::from_le_bytes(chunk);
                }
                narrow.convert_to_f32_slice(values);
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_is_exact_at_any_length() {
        for length in [0, 1, 4095, 4096, 4097, 10_000] {
            let values: Vec<f16> =
                (0..length).map(|n| f16::from_f32(n as f32 * 0.37 - 900.0)).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let expected: Vec<f32> = values.iter().map(|v| v.to_f32()).collect();
            assert_eq!(widen(&bytes, FeatureDtype::F16), expected);
            let bytes: Vec<u8> = expected.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(widen(&bytes, FeatureDtype::F32), expected);
        }
    }
}
