//! `netexfil._core.Telemetry`: what Python calls to read telemetry by columns.

use std::sync::{Arc, Mutex};

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::python::Stream;
use crate::python_logs::{One, broken};
use crate::telemetry::{How, Table, Taken, Values, Wish};

type Path = Vec<String>;

/// Lines of known layouts, collected by columns; see `netexfil/endpoint/columns.py`.
#[pyclass(frozen, module = "netexfil._core")]
#[derive(Default)]
pub struct Telemetry {
    table: Mutex<Table>,
}

/// The rows of one kind of record.
#[pyclass(module = "netexfil._core")]
pub struct Rows {
    taken: Option<Taken>,
}

/// The number of lines of a block of which each begins with a brace; 0 where one does not.
#[pyfunction]
pub fn object_lines(block: &[u8]) -> usize {
    let begins = |at: usize| block.get(at) == Some(&b'{');
    let ends = memchr::memchr_iter(b'\n', block);
    ends.map(|at| at + 1).chain([0]).try_fold(0, |count, at| begins(at).then_some(count + 1)).unwrap_or(0)
}

#[pymethods]
impl Telemetry {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Take lines like this one from now on: the number of their kind; None where they cannot be.
    fn learn(&self, line: &[u8], there: Vec<Path>, keys: Vec<Path>, whole: Vec<Path>, wanted: Vec<(Path, String)>) -> PyResult<Option<usize>> {
        let how = |name: &str| How::named(name).ok_or_else(|| PyValueError::new_err(format!("no column is made by {name}")));
        let wanted = wanted.into_iter().map(|(path, name)| Ok((path, how(&name)?))).collect::<PyResult<Vec<_>>>()?;
        let mut table = self.table.lock().map_err(broken)?;
        Ok(table.learn(line, &Wish { there, keys, whole, wanted }))
    }

    /// Take the lines of `block` from byte `at` on, up to the first of no known layout: where that one begins, and how many were taken.
    fn feed(&self, block: &[u8], at: usize, line: i64, eid: i64) -> PyResult<(usize, i64)> {
        Ok(self.table.lock().map_err(broken)?.feed(block, at, line, eid))
    }

    /// Rows that wait, by kind.
    fn waiting(&self) -> PyResult<Vec<usize>> {
        Ok(self.table.lock().map_err(broken)?.waiting())
    }

    /// Bytes of values that wait.
    fn kept(&self) -> PyResult<usize> {
        Ok(self.table.lock().map_err(broken)?.kept)
    }

    /// The rows of one kind.
    fn take(&self, kind: usize) -> PyResult<Rows> {
        Ok(Rows { taken: self.table.lock().map_err(broken)?.take(kind) })
    }
}

#[pymethods]
impl Rows {
    /// For each column: a JSON array of its different values or, where the core converted it, of the values it left.
    fn left<'py>(&mut self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.taken.iter_mut().flat_map(|taken| &mut taken.columns).map(|column| PyBytes::new(py, &column.left.done())).collect()
    }

    /// All rows: the columns `line` and `eid`, and each of `outputs`: (name, number of the column, DuckDB type, the values of `left` converted).
    fn stream(&mut self, outputs: Vec<(String, usize, String, Bound<'_, PyList>)>) -> PyResult<Stream> {
        let taken = self.taken.take().ok_or_else(|| PyValueError::new_err("taken before"))?;
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        for (name, at, kind, values) in outputs {
            let column = taken.columns.get(at).ok_or_else(|| PyValueError::new_err("no such column"))?;
            let array = match &column.values {
                Values::Words { codes, .. } => words(codes, &kind, &values)?,
                Values::Times(times) => {
                    let mut times = times.clone();
                    for (row, value) in column.odd.iter().zip(values.extract::<Vec<Option<f64>>>()?) {
                        if let Some(slot) = times.get_mut(*row) {
                            *slot = value;
                        }
                    }
                    Arc::new(Float64Array::from(times))
                }
                Values::Whole(numbers) => {
                    let mut numbers = numbers.clone();
                    for (row, value) in column.odd.iter().zip(values.extract::<Vec<Option<i64>>>()?) {
                        if let Some(slot) = numbers.get_mut(*row) {
                            *slot = value;
                        }
                    }
                    Arc::new(Int64Array::from(numbers))
                }
                Values::Texts(texts) => {
                    let odd = values.extract::<Vec<Option<String>>>()?;
                    let mut all: Vec<Option<&str>> = texts.iter().collect();
                    for (row, value) in column.odd.iter().zip(&odd) {
                        if let Some(slot) = all.get_mut(*row) {
                            *slot = value.as_deref();
                        }
                    }
                    Arc::new(StringArray::from(all))
                }
            };
            columns.push((name, array));
        }
        columns.push(("line".into(), Arc::new(Int64Array::from(taken.lines))));
        columns.push(("eid".into(), Arc::new(Int64Array::from(taken.ids))));
        batch(columns).map(|batch| Stream::new(Box::new(One::new(batch)))).map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

fn batch(columns: Vec<(String, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<_> = columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
}

/// A column from its different values and which row has which.
fn words(codes: &[i32], kind: &str, values: &Bound<'_, PyList>) -> PyResult<ArrayRef> {
    Ok(match kind {
        "VARCHAR" => {
            let values: Vec<Option<String>> = values.extract()?;
            let keys: Int32Array = codes.iter().map(|code| values.get(place(*code))?.as_ref().map(|_| *code)).collect();
            let words = StringArray::from_iter_values(values.iter().map(|value| value.as_deref().unwrap_or_default()));
            let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(words));
            Arc::new(array.map_err(|error| PyValueError::new_err(error.to_string()))?)
        }
        "DOUBLE" => Arc::new(Float64Array::from(spread::<f64>(codes, values)?)),
        "BIGINT" => Arc::new(Int64Array::from(spread::<i64>(codes, values)?)),
        "INTEGER" => Arc::new(Int32Array::from(spread::<i32>(codes, values)?)),
        "BOOLEAN" => Arc::new(BooleanArray::from(spread::<bool>(codes, values)?)),
        _ => return Err(PyValueError::new_err(format!("no column of {kind}"))),
    })
}

fn spread<'py, T>(codes: &[i32], values: &Bound<'py, PyList>) -> PyResult<Vec<Option<T>>>
where
    T: Copy + for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    let values: Vec<Option<T>> = values.extract()?;
    Ok(codes.iter().map(|code| values.get(place(*code)).copied().flatten()).collect())
}

fn place(code: i32) -> usize {
    usize::try_from(code).unwrap_or(usize::MAX)
}
