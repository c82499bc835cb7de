//! `netexfil._core.Listing`: the sessions of captures as a file, piece by piece.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::listing::Row;
use crate::listing::parquet::Parquet;
use crate::listing::turned::Rules;
use crate::python::{Shared, poisoned};

/// What the writer made of some rows.
type Written = std::io::Result<Vec<u8>>;

/// An iterator over the pieces of a file.
#[pyclass(frozen, module = "netexfil._core")]
pub struct Listing {
    source: Shared,
    rules: Rules,
    outbound_only: bool,
    /// None once the file is complete.
    file: Mutex<Option<Parquet>>,
}

impl Listing {
    pub fn new(source: Shared, rules: Rules, outbound_only: bool) -> std::io::Result<Self> {
        Ok(Self { source, rules, outbound_only, file: Mutex::new(Some(Parquet::new()?)) })
    }

    /// Some more rows, and the piece that they complete; an empty one where they do not. None: that was all.
    fn more(&self, file: &mut Parquet) -> PyResult<Option<Vec<u8>>> {
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
