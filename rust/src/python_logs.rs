//! `netexfil._core`: what Python calls to read logs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::Note;
use crate::python::{Source, Stream};
use crate::side::{Networks, Side};
use crate::zeek::{self, Ecs, Field, File, Hot, Keep, Kind, Log, Plan, Reader, Sums, Tally};

/// name, kind, names in logs, required, filled
pub type FieldSpec = (String, String, Vec<String>, bool, bool);
/// path, is JSON, what it is called, first byte, byte after the last
pub type FileSpec = (String, bool, String, u64, Option<u64>);
/// outside addresses, inside hosts, servers, whether all rows are looked at: see `zeek::Hot`
pub type HotSpec = (Vec<String>, Vec<String>, Vec<String>, bool);
/// bytes of a silent upload, watched ports, ports that are read from, ranks of protocols, most channels: see `zeek::Sums`
pub type SumSpec = (i64, Vec<u16>, Vec<u16>, Vec<u64>, usize);
/// how many rows, who read from inside on which day, channels
type Summed = (u64, Vec<(String, i32)>, Stream);
/// inside networks, networks that are not public
pub type NetworkSpec = (Vec<String>, Vec<String>);

/// Reads log files; see `netexfil/read/logs.py`.
#[pyclass(frozen, module = "netexfil._core")]
pub struct Logs {
    reader: Arc<Mutex<Reader>>,
    done: Arc<AtomicU64>,
    sums: Option<Arc<Mutex<Sums>>>,
}

pub fn broken<T>(_: T) -> PyErr {
    pyo3::exceptions::PyRuntimeError::new_err("the reader stopped on an internal error")
}

pub fn plan(logs: Vec<(String, Vec<FieldSpec>)>, names: &Bound<'_, PyDict>, (inside, private): NetworkSpec, watched: Option<Vec<u16>>) -> PyResult<Plan> {
    let mut made = Plan::default();
    for (name, fields) in logs {
        let fields = fields.into_iter().map(field).collect::<PyResult<Vec<_>>>()?;
        made.places.insert(name.clone(), made.logs.len());
        made.logs.push(Log { name, fields });
    }
    let get = |key: &str| names.get_item(key)?.ok_or_else(|| PyValueError::new_err(format!("no {key}")));
    let aliases: HashMap<String, String> = get("aliases")?.extract()?;
    for (alias, log) in aliases {
        match made.places.get(&log).copied() {
            Some(place) => drop(made.places.insert(alias, place)),
            None => drop(made.places.remove(&alias)),
        }
    }
    made.words = get("words")?.extract()?;
    made.signs = get("signs")?.extract()?;
    made.names = get("names")?.extract()?;
    made.wraps = get("wraps")?.extract()?;
    made.ecs = Ecs {
        datasets: get("datasets")?.extract()?,
        logs: get("dataset_logs")?.extract()?,
        names: get("ecs")?.extract()?,
        duration: get("event_duration")?.extract()?,
    };
    let no_network = || PyValueError::new_err("not a network");
    made.keep = watched.map(|watched| Keep::new(&inside, &private, watched, true).ok_or_else(no_network)).transpose()?;
    made.networks = Some(Arc::new(Networks::new(&inside, &private).ok_or_else(no_network)?));
    Ok(made)
}

pub fn files(found: Vec<FileSpec>) -> Vec<File> {
    found.into_iter().map(|(path, json, name, start, end)| File { path, json, name, start, end }).collect()
}

fn field((name, kind, names, required, filled): FieldSpec) -> PyResult<Field> {
    let kind = Kind::named(&kind).ok_or_else(|| PyValueError::new_err(format!("no kind {kind}")))?;
    Ok(Field { name, kind, names, required, filled })
}

#[pymethods]
impl Logs {
    /// Begin to read `files` in `threads` threads. `watched` (None: every row is wanted) are the ports by which conn rows are chosen, `hot`
    /// (None: all of these) those among them, `summed` what `sums` needs (None: nothing is summed).
    #[new]
    #[pyo3(signature = (files, logs, names, networks, watched=None, threads=2, hot=None, summed=None))]
    #[allow(clippy::too_many_arguments)] // one call, by name
    fn new(
        files: Vec<FileSpec>,
        logs: Vec<(String, Vec<FieldSpec>)>,
        names: &Bound<'_, PyDict>,
        networks: NetworkSpec,
        watched: Option<Vec<u16>>,
        threads: usize,
        hot: Option<HotSpec>,
        summed: Option<SumSpec>,
    ) -> PyResult<Self> {
        let mut plan = plan(logs, names, networks, watched)?;
        let sums = summed.map(|(large, watched, served, ranks, most)| Arc::new(Mutex::new(Sums::new(large, watched, served, ranks, most))));
        if let (Some(keep), Some((remotes, hosts, servers, checks))) = (&mut plan.keep, hot) {
            let [remotes, hosts, servers] = [remotes, hosts, servers].map(|texts| zeek::addresses(&texts));
            keep.hot = Some(Arc::new(Hot { remotes, hosts, servers, checks }));
        }
        let reader = Reader::new(plan, self::files(files), threads);
        let done = reader.done();
        Ok(Self { reader: Arc::new(Mutex::new(reader)), done, sums })
    }

    /// The next rows: (log, a stream of one batch), or None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<(String, Stream)>> {
        let reader = Arc::clone(&self.reader);
        let found = py.detach(move || match reader.lock() {
            Ok(mut reader) => Ok(reader.next_batch().and_then(|(place, batch)| Some((reader.plan().log(place)?.name.clone(), batch)))),
            Err(_) => Err(()),
        });
        let found = found.map_err(broken)?;
        Ok(found.map(|(log, batch)| (log, Stream::new(Box::new(One::new(batch))))))
    }

    /// All rows of one log as one stream; for a reader that was asked for this log only.
    fn stream(&self) -> PyResult<Stream> {
        let reader = self.reader.lock().map_err(broken)?;
        let schema = reader.plan().log(0).map(zeek::schema).ok_or_else(|| PyValueError::new_err("no log"))?;
        Ok(Stream::new(Box::new(All { schema, reader: Arc::clone(&self.reader), sums: self.sums.clone() })))
    }

    /// Once the stream is drained: how many rows it had, hosts and days that read from inside servers, and what the outbound rows add up to by
    /// channel and day, as a stream; None where that is not known.
    fn sums(&self) -> PyResult<Option<Summed>> {
        let Some(sums) = &self.sums else { return Ok(None) };
        let mut sums = sums.lock().map_err(broken)?;
        let (rows, reads) = (sums.rows, sums.reads());
        sums.take().map(|batch| Ok((rows, reads, Stream::new(Box::new(One::new(batch.map_err(broken)?)))))).transpose()
    }

    /// Names of protocols, in the order of `summed`'s ranks.
    #[staticmethod]
    fn protocols() -> Vec<&'static str> {
        zeek::PROTOCOLS.to_vec()
    }

    /// Bytes of text read so far.
    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What became of each file's lines: {file, rows, dropped, other, refused, lines, end, notes, passed}; complete once drained.
    fn tallies<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let tallies = self.reader.lock().map_err(broken)?.tallies();
        tallies.into_iter().map(|(file, tally)| describe(py, &file, tally)).collect()
    }

    /// Whether a file's rows of conn are wanted; for the test that holds Rust and Python together.
    #[staticmethod]
    fn side(address: &str, inside: Vec<String>, private: Vec<String>) -> PyResult<&'static str> {
        let networks = Networks::new(&inside, &private).ok_or_else(|| PyValueError::new_err("not a network"))?;
        let Ok(address) = address.parse() else {
            return Ok("other");
        };
        Ok(match networks.side(address) {
            Side::Inside => "inside",
            Side::Public => "public",
            Side::Other => "other",
        })
    }
}

pub fn describe<'py>(py: Python<'py>, file: &str, tally: Tally) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("file", file)?;
    for (name, value) in [
        ("rows", tally.rows),
        ("dropped", tally.dropped),
        ("other", tally.other),
        ("refused", tally.refused),
        ("lines", tally.lines),
        ("end", tally.end),
    ] {
        row.set_item(name, value)?;
    }
    let notes: Vec<_> = tally.notes.into_iter().map(|((kind, reason), (place, count))| (kind, reason, place, count)).collect();
    row.set_item("notes", notes)?;
    row.set_item("passed", tally.passed.into_iter().collect::<HashMap<_, _>>())?;
    Ok(row)
}

/// One batch as a source.
pub struct One {
    schema: SchemaRef,
    batch: Option<RecordBatch>,
}

impl One {
    pub fn new(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batch: Some(batch) }
    }
}

impl Source for One {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn next_batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        self.batch.take().map(Ok)
    }

    fn notes(&self) -> Vec<Note> {
        Vec::new()
    }
}

/// Every batch of a reader of one log.
struct All {
    schema: SchemaRef,
    reader: Arc<Mutex<Reader>>,
    sums: Option<Arc<Mutex<Sums>>>,
}

impl Source for All {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn next_batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        match self.reader.lock() {
            Ok(mut reader) => reader.next_batch().map(|(_, batch)| {
                if let Some(Ok(mut sums)) = self.sums.as_ref().map(|sums| sums.lock()) {
                    sums.add(&batch);
                }
                Ok(batch)
            }),
            Err(_) => Some(Err(ArrowError::ExternalError("the reader stopped on an internal error".into()))),
        }
    }

    fn notes(&self) -> Vec<Note> {
        Vec::new()
    }
}

/// The first `size` bytes of a file's decompressed text.
#[pyfunction]
pub fn head<'py>(py: Python<'py>, path: &str, size: u64) -> PyResult<Bound<'py, PyBytes>> {
    let found = zeek::head(path, size).map_err(|error| PyOSError::new_err((error.raw_os_error(), error.to_string(), path.to_owned())))?;
    Ok(PyBytes::new(py, &found))
}
