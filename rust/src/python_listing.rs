//! `netexfil._core.Listing`: the sessions of captures as a file, piece by piece.

use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::listing::Row;
use crate::listing::parquet::Parquet;
use crate::listing::text::{Form, Lines};
use crate::listing::turned::Rules;
use crate::python::{Shared, poisoned};

/// What the writer made of some rows.
type Written = std::io::Result<Vec<u8>>;

/// A file that is being written.
enum File {
    Parquet(Box<Parquet>),
    Lines(Lines),
}

impl File {
    fn new(form: &str) -> PyResult<Self> {
        Ok(match form {
            "parquet" => Self::Parquet(Box::new(Parquet::new()?)),
            "jsonl" => Self::Lines(Lines::new(Form::Json)),
            "csv" => Self::Lines(Lines::new(Form::Csv)),
            "zeek" => Self::Lines(Lines::new(Form::Zeek)),
            _ => return Err(PyValueError::new_err("a form that is not written")),
        })
    }

    fn add(&mut self, rows: &[Row<'_>]) -> Written {
        match self {
            Self::Parquet(file) => file.add(rows),
            Self::Lines(file) => Ok(file.add(rows)),
        }
    }

    fn end(&mut self) -> Written {
        match self {
            Self::Parquet(file) => file.end(),
            Self::Lines(file) => Ok(file.end()),
        }
    }
}

/// An iterator over the pieces of a file.
#[pyclass(frozen, module = "netexfil._core")]
pub struct Listing {
    source: Shared,
    rules: Rules,
    outbound_only: bool,
    /// None once the file is complete.
    file: Mutex<Option<File>>,
}

impl Listing {
    pub fn new(source: Shared, rules: Rules, outbound_only: bool, form: &str) -> PyResult<Self> {
        Ok(Self { source, rules, outbound_only, file: Mutex::new(Some(File::new(form)?)) })
    }

    /// Some more rows, and the piece that they complete; an empty one where they do not. None: that was all.
    fn more(&self, file: &mut File) -> PyResult<Option<Vec<u8>>> {
        let mut written: Written = Ok(Vec::new());
        let mut each = |rows: &[Row<'_>]| written = file.add(rows);
        let left = self.source.lock().map_err(poisoned)?.list(&self.rules, self.outbound_only, &mut each);
        Ok(left.then_some(written?))
    }

    fn piece(&self) -> PyResult<Option<Vec<u8>>> {
        let mut held = self.file.lock().map_err(poisoned)?;
        let Some(file) = held.as_mut() else { return Ok(None) };
        while let Some(piece) = self.more(file)? {
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        let piece = file.end()?;
        *held = None;
        Ok(Some(piece))
    }
}

#[pymethods]
impl Listing {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        py.check_signals()?;
        Ok(py.detach(|| self.piece())?.map(|piece| PyBytes::new(py, &piece)))
    }
}
