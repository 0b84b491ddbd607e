//! A table of cases: a CSV file with the columns `image`, `label`, `case` and `site`.

use super::Case;
use super::survey::Survey;
use crate::{Error, Result};
use desam_core::files::open_regular;
use desam_core::text::DisplayPath as _;
use desam_core::text::bytes_text;
use desam_volume::volumes::{ReadOptions, VolumeFormat};
use std::path::{Path, PathBuf};

/// A CSV file, read whole.
pub(super) struct Table {
    path: PathBuf,
    columns: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Rows that could not be read.
    pub(super) problems: Vec<Error>,
}

/// One line of it.
pub(super) struct Row {
    line: u64,
    cells: csv::ByteRecord,
}

impl Row {
    /// A cell, empty where the row is short; what is not UTF-8 is replaced.
    pub(super) fn cell(&self, column: usize) -> String {
        String::from_utf8_lossy(self.bytes(column)).into_owned()
    }

    fn bytes(&self, column: usize) -> &[u8] {
        self.cells.get(column).unwrap_or_default()
    }

    /// A cell that names a file.
    fn path(&self, column: usize) -> PathBuf {
        #[cfg(unix)]
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(self.bytes(column));
        #[cfg(not(unix))]
        let name = self.cell(column);
        PathBuf::from(name)
    }
}

impl Table {
    /// Index of a column, by its name in letters of either case.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.eq_ignore_ascii_case(name))
    }

    fn wrong(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Table { path: self.path.clone(), line, problem: problem.into() }
    }
}

/// Reads a CSV file; spaces around cells are dropped. A row that is none is among the problems.
pub(super) fn read(path: &Path) -> Result<Table> {
    let fail = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        Error::Table { path: path.to_path_buf(), line, problem: error.to_string() }
    };
    let file = open_regular(path).map_err(Error::io("read", path))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let columns = reader.byte_headers().map_err(fail)?.iter();
    let columns = columns.map(|c| String::from_utf8_lossy(c).into_owned()).collect();
    let (path, rows, problems) = (path.to_path_buf(), Vec::new(), Vec::new());
    let mut table = Table { path, columns, rows, problems };
    for record in reader.byte_records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                table.rows.push(Row { line, cells: record });
            }
            // Of the rows after one that cannot be read at all nothing is known.
            Err(error) if error.is_io_error() => return Err(fail(error)),
            Err(error) => table.problems.push(fail(error)),
        }
    }
    Ok(table)
}

/// The cases of a table. Paths are taken from the table's folder; a label may be left out.
pub(super) fn survey(path: &Path, options: &ReadOptions) -> Result<Survey> {
    if options.reader_of(path).is_some() || VolumeFormat::of(path).is_ok() {
        let problem = "this is a volume; expected a folder of cases, or a CSV file with the \
                       columns image,label,case,site";
        return Err(Error::Table { path: path.to_path_buf(), line: 1, problem: problem.into() });
    }
    let mut table = read(path)?;
    let problems = std::mem::take(&mut table.problems);
    let need = |name: &str| {
        let missing = || format!("there is no column {name}; expected image,label,case,site");
        table.column(name).ok_or_else(|| table.wrong(1, missing()))
    };
    let (image, id, site) = (need("image")?, need("case")?, need("site")?);
    let label = table.column("label");
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut all = Survey { problems, ..Survey::default() };
    let case = |row: &Row| {
        let filled = |column, name: &str| match row.bytes(column) {
            [] => Err(table.wrong(row.line, format!("{name} is empty"))),
            _ => Ok(column),
        };
        let text = |column, name: &str| {
            let text = std::str::from_utf8(row.bytes(filled(column, name)?));
            text.map(str::to_owned).map_err(|_| {
                let found = bytes_text(row.bytes(column));
                table.wrong(row.line, format!("{name} is {found:?}, which is not UTF-8; rename it"))
            })
        };
        let (site, id) = (text(site, "site")?, text(id, "case")?);
        let image = folder.join(row.path(filled(image, "image")?));
        let label = label.map(|c| row.path(c)).filter(|l| !l.as_os_str().is_empty());
        let label = label.map(|l| folder.join(l));
        if let Some(gone) =
            [Some(&image), label.as_ref()].into_iter().flatten().find(|p| !p.exists())
        {
            return Err(table.wrong(row.line, format!("{} does not exist", gone.display_escaped())));
        }
        Ok(Some(Case { site, id, image, label }))
    };
    table.rows.iter().for_each(|row| all.take(case(row)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::testing::tree;
    use super::super::{Layout, discover};

    #[test]
    fn rows_are_cases() {
        let dir = tree(&["images/a.mha", "images/b.nrrd", "labels/a.nii.gz"]);
        let csv = dir.path().join("cases.csv");
        let write = |text: &str| std::fs::write(&csv, text).unwrap();
        write(
            "Site,image, label ,case,remark\nB,images/b.nrrd,,two,\"one, two\"\n\
             A,images/a.mha,labels/a.nii.gz,one,\n",
        );
        assert_eq!(Layout::of(&csv).unwrap(), Layout::Table);
        let found = discover(&csv).unwrap();
        let short: Vec<_> = found.iter().map(|c| (c.site.as_str(), c.id.as_str())).collect();
        assert_eq!(short, [("A", "one"), ("B", "two")]);
        assert_eq!(found[0].image, dir.path().join("images/a.mha"));
        assert_eq!(found[0].label, Some(dir.path().join("labels/a.nii.gz")));
        assert_eq!(found[1].label, None);
        for (text, says) in [
            ("image,label,case\nimages/a.mha,,x\n", "column site"),
            ("image,case,site\nimages/a.mha,x,A\nimages/none.mha,y,A\n", "line 3"),
            ("image,case,site\nimages/a.mha,,A\n", "case is empty"),
            ("image,case,site\nimages/a.mha,x\n", "line 2"),
            ("image,case,site\nimages/a.mha,x,A\nimages/b.nrrd,X,a\n", "claim it"),
            ("image,case,site\n", "no site"),
        ] {
            write(text);
            let error = discover(&csv).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        // A volume is no table, whether its name or its first bytes say so.
        for (name, bytes) in [("images/a.mha", &b""[..]), ("images/x", b"NRRD0004\n")] {
            let volume = dir.path().join(name);
            std::fs::write(&volume, bytes).unwrap();
            let error = discover(&volume).unwrap_err().to_string();
            assert!(error.contains("this is a volume"), "{error}");
        }
        // Every bad row is reported, and the good ones are kept.
        write(
            "image,case,site\nimages/none.mha,x,A\nimages/a.mha\nimages/a.mha,,A\n\
             images/a.mha,y,A\nimages/b.nrrd,Y,a\n",
        );
        let found = Layout::Table.survey(&csv).unwrap();
        assert_eq!((found.cases.len(), found.problems.len()), (1, 4), "{found:?}");
    }
}
