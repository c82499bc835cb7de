//! The Python module `netexfil._core`; only this file and `python_logs` name pyo3.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use crate::carve::{ByTuple, ByUid, Carved, Choose, Wanted, carve, name};
use crate::error::{Error, Note};
use crate::flow::Limits;
use crate::listing::Row;
use crate::listing::turned::Rules;
use crate::python_listing::Listing;
use crate::zeek::Keep;
use crate::reader::Threads;
use crate::side::Networks;
use crate::flow::key::{self, End};

/// Sessions are many small allocations made and freed in the same order: a fifth of the time goes into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something that hands out batches of one schema until it is drained.
pub trait Source: Send {
    fn schema(&self) -> SchemaRef;
    /// The next batch; `None` at the end. Damage is a note, never an error.
    fn next_batch(&mut self) -> Option<Result<RecordBatch, ArrowError>>;
    /// What was lost, complete once drained.
    fn notes(&self) -> Vec<Note>;
    /// Bytes read so far, where that is counted.
    fn counter(&self) -> Option<Arc<AtomicU64>> {
        None
    }
    /// See `Reader::hold`.
    fn hold(&mut self, limit: usize) -> Option<bool> {
        let _ = limit;
        Some(false)
    }
    /// See `Reader::unplaced`.
    fn unplaced(&self) -> bool {
        false
    }
    /// See `Reader::list`; what is no capture has nothing to list.
    fn list(&mut self, rules: &Rules, outbound_only: bool, each: &mut dyn FnMut(&[Row<'_>])) -> bool {
        let _ = (rules, outbound_only, each);
        false
    }
}

pub type Shared = Arc<Mutex<Box<dyn Source>>>;

/// Arrow's view of a shared source: every capsule pulls from the same place, so a consumer may ask for
/// the stream twice (DuckDB does, first for the schema) and still gets each batch once.
struct Reader {
    schema: SchemaRef,
    source: Shared,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.source.lock() {
            Ok(mut source) => source.next_batch(),
            Err(_) => Some(Err(ArrowError::ExternalError("the reader stopped on an internal error".into()))),
        }
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// One Arrow stream of sessions, read once. `notes` is complete when the stream is drained.
#[pyclass(frozen, module = "netexfil._core")]
pub struct Stream {
    source: Shared,
    counter: Option<Arc<AtomicU64>>,
}

impl Stream {
    pub fn new(source: Box<dyn Source>) -> Self {
        let counter = source.counter();
        Self { source: Arc::new(Mutex::new(source)), counter }
    }
}

pub fn poisoned<T>(_: T) -> PyErr {
    pyo3::exceptions::PyRuntimeError::new_err("the reader stopped on an internal error")
}

#[pymethods]
impl Stream {
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(&self, py: Python<'py>, requested_schema: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let schema = self.source.lock().map_err(poisoned)?.schema();
        let reader = Reader { schema, source: Arc::clone(&self.source) };
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), c"arrow_array_stream")
    }

    /// Bytes read so far (compressed size); may be asked from another thread while the stream is drained.
    #[getter]
    fn bytes_read(&self) -> u64 {
        self.counter.as_ref().map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Read all and keep it, to hand it out by `ts` and `uid`. False where that takes more than `limit` bytes: then it comes as it was read.
    fn hold(&self, py: Python<'_>, limit: usize) -> PyResult<bool> {
        loop {
            let held = py.detach(|| self.source.lock().map(|mut source| source.hold(limit)).map_err(poisoned))?;
            py.check_signals()?;
            if let Some(all) = held {
                return Ok(all);
            }
        }
    }

    /// Whether a session that is held runs between public addresses.
    #[getter]
    fn unplaced(&self) -> PyResult<bool> {
        Ok(self.source.lock().map_err(poisoned)?.unplaced())
    }

    /// What is held as a file, in pieces.
    #[pyo3(signature = (form, networks, watched, large, outbound_only=false))]
    fn file(&self, form: &str, networks: (Vec<String>, Vec<String>), watched: Vec<u16>, large: i64, outbound_only: bool) -> PyResult<Listing> {
        let keep = Keep::new(&networks.0, &networks.1, watched, false).ok_or_else(|| PyValueError::new_err("not a network"))?;
        Listing::new(Arc::clone(&self.source), Rules { keep, large }, outbound_only, form)
    }

    /// List of {file, place, kind, reason, count}.
    #[getter]
    fn notes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let notes = self.source.lock().map_err(poisoned)?.notes();
        notes.into_iter().map(|note| describe(py, &note)).collect()
    }
}

fn describe<'py>(py: Python<'py>, note: &Note) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("file", &note.file)?;
    row.set_item("place", note.place)?;
    row.set_item("kind", note.kind)?;
    row.set_item("reason", &note.reason)?;
    row.set_item("count", note.count)?;
    Ok(row)
}

pyo3::create_exception!(netexfil._core, CaptureError, PyValueError, "A file that is no capture, or of a kind that is not read.");

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Open { path, source } => match source.raw_os_error() {
                Some(number) => PyOSError::new_err((number, source.to_string(), path)),
                None => PyOSError::new_err(format!("{path}: {source}")),
            },
            refused @ Error::Refused { .. } => CaptureError::new_err(refused.to_string()),
        }
    }
}

impl Source for crate::reader::Reader {
    fn schema(&self) -> SchemaRef {
        self.schema()
    }

    fn next_batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        self.batch()
    }

    fn notes(&self) -> Vec<Note> {
        self.notes()
    }

    fn counter(&self) -> Option<Arc<AtomicU64>> {
        Some(self.counter())
    }

    fn hold(&mut self, limit: usize) -> Option<bool> {
        self.hold(limit)
    }

    fn unplaced(&self) -> bool {
        self.unplaced()
    }

    fn list(&mut self, rules: &Rules, outbound_only: bool, each: &mut dyn FnMut(&[Row<'_>])) -> bool {
        self.list(rules, outbound_only, each)
    }
}

/// Sessions of captures, which follow on from each other or ran in parallel. One that cannot be read becomes a note of
/// kind `unreadable`; where that is all of them, the first one's error is raised. `threads` read what takes `least` bytes or more, in portions of
/// so many frames at most.
#[pyfunction]
#[pyo3(signature = (paths, *, max_sessions=None, hello_bytes=None, networks=None, threads=1, least=None, portion=None))]
#[allow(clippy::too_many_arguments)] // keywords in Python
fn capture(
    py: Python<'_>,
    paths: Vec<String>,
    max_sessions: Option<usize>,
    hello_bytes: Option<usize>,
    networks: Option<(Vec<String>, Vec<String>)>,
    threads: usize,
    least: Option<u64>,
    portion: Option<usize>,
) -> PyResult<Stream> {
    let default = Limits::default();
    let limits = Limits { sessions: max_sessions.unwrap_or(default.sessions), hello: hello_bytes.unwrap_or(default.hello), ..default };
    let mut reader = py.detach(|| crate::reader::Reader::open(&paths, limits))?;
    let usual = Threads::default();
    reader.share(Threads { count: threads, least: least.unwrap_or(usual.least), portion: portion.unwrap_or(usual.portion) });
    if let Some((inside, private)) = networks {
        reader.place(Networks::new(&inside, &private).ok_or_else(|| PyValueError::new_err("not a network"))?);
    }
    Ok(Stream::new(Box::new(reader)))
}

/// A session to cut out: protocol number, both ends, first and last second, comment.
type Session = (u8, (String, u16), (String, u16), (f64, f64), String);

/// Say how far the reading is; an exception, and the signal behind a Ctrl-C, end it.
fn teller<'a>(progress: Option<&'a Py<PyAny>>, raised: &'a mut Option<PyErr>) -> impl FnMut(u64) -> bool + 'a {
    move |bytes| {
        let told = Python::attach(|py| py.check_signals().and_then(|()| progress.map_or(Ok(()), |tell| tell.call1(py, (bytes,)).map(drop))));
        *raised = told.err();
        raised.is_none()
    }
}

fn cut<C: Choose + Send>(
    py: Python<'_>, paths: &[String], choose: &mut C, comment: &str, out: &str, progress: Option<&Py<PyAny>>,
) -> PyResult<Carved> {
    let mut raised = None;
    let carved = py.detach(|| carve(paths, choose, comment, out, teller(progress, &mut raised)))?;
    raised.map_or(Ok(carved), Err)
}

fn written<'py>(py: Python<'py>, carved: &Carved) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("frames", carved.frames)?;
    row.set_item("bytes", carved.bytes)?;
    row.set_item("found", &carved.found)?;
    let notes = carved.notes.iter().map(|note| describe(py, note)).collect::<PyResult<Vec<_>>>()?;
    row.set_item("notes", notes)?;
    Ok(row)
}

/// Cut the frames of sessions, known by tuple and time, out of captures into a new pcapng file. Returns frames and bytes written, frames by
/// session, notes.
#[pyfunction]
#[pyo3(signature = (paths, sessions, comment, out, progress=None))]
fn carve_tuples<'py>(
    py: Python<'py>, paths: Vec<String>, sessions: Vec<Session>, comment: String, out: String, progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let wanted: Option<Vec<_>> = sessions.into_iter().map(|(proto, one, other, times, text)| Wanted::new(proto, (&one.0, one.1), (&other.0, other.1), times, text)).collect();
    let mut choose = ByTuple::new(wanted.ok_or_else(|| PyValueError::new_err("an address that is none"))?);
    written(py, &cut(py, &paths, &mut choose, &comment, &out, progress.as_ref())?)
}

/// The same for sessions of which only the uid is known. Also returns `ends`: protocol, originator and responder of each, None where it was not found.
#[pyfunction]
#[pyo3(signature = (paths, sessions, comment, out, hosts=Vec::new(), until=None, progress=None))]
#[allow(clippy::too_many_arguments)] // keywords in Python
fn carve_uids<'py>(
    py: Python<'py>, paths: Vec<String>, sessions: Vec<(String, String)>, comment: String, out: String, hosts: Vec<String>, until: Option<f64>, progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let hosts: Option<Vec<_>> = hosts.iter().map(|host| crate::carve::address(host)).collect();
    let mut choose = ByUid::new(sessions, hosts.ok_or_else(|| PyValueError::new_err("an address that is none"))?, until);
    let row = written(py, &cut(py, &paths, &mut choose, &comment, &out, progress.as_ref())?)?;
    let end = |(address, port): End| (key::text(&address), port);
    let ends: Vec<_> = choose.found().iter().map(|found| found.map(|(proto, orig, resp)| (name(proto), end(orig), end(resp)))).collect();
    row.set_item("ends", ends)?;
    Ok(row)
}

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Stream>()?;
    module.add_class::<Listing>()?;
    module.add_class::<crate::python_logs::Logs>()?;
    module.add_class::<crate::python_channels::Channels>()?;
    module.add_class::<crate::python_sieve::Sieve>()?;
    module.add_class::<crate::python_telemetry::Telemetry>()?;
    module.add_function(wrap_pyfunction!(crate::python_logs::head, module)?)?;
    module.add_function(wrap_pyfunction!(crate::python_telemetry::object_lines, module)?)?;
    module.add("CaptureError", module.py().get_type::<CaptureError>())?;
    module.add_function(wrap_pyfunction!(capture, module)?)?;
    module.add_function(wrap_pyfunction!(carve_tuples, module)?)?;
    module.add_function(wrap_pyfunction!(carve_uids, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
