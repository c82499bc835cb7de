//! `netexfil._core.Sieve`: which conn rows an analysis must see one by one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::python_logs::{FieldSpec, FileSpec, NetworkSpec, broken, describe, files, plan};
use crate::zeek::{self, Families, Found, Keep, Limits, Reach, Reader, SURE, Wanted};

/// See `Sieve::days`.
type Days = (Vec<(String, i32)>, Vec<String>, bool);
/// See `Sieve::reached`.
type Told = (Vec<String>, Vec<String>, Vec<String>, i64, [Option<f64>; 3]);

/// See `netexfil/read/sift.py`.
#[pyclass(frozen, module = "netexfil._core")]
pub struct Sieve {
    reader: Mutex<Reader>,
    sieve: Arc<zeek::Sieve>,
    paths: Vec<String>,
    found: Mutex<Found>,
    done: Arc<AtomicU64>,
}

#[pymethods]
impl Sieve {
    /// Begin to read conn logs. `fields` are those of `FIELDS` and `FLAGS`, in that order; `limits` the bytes (see `zeek::Limits`) small,
    /// least, family, large; `families` as `Families::new` takes them; `special` the uids that matter whatever their sessions moved;
    /// `reach` addresses of hosts with telemetry, and those whose sessions it may be tied to.
    #[new]
    #[pyo3(signature = (found, fields, names, networks, watched, limits, bits, families, special, reach, threads=2))]
    #[allow(clippy::too_many_arguments)] // one call, by name
    fn new(
        found: Vec<FileSpec>,
        fields: Vec<FieldSpec>,
        names: &Bound<'_, PyDict>,
        networks: NetworkSpec,
        watched: Vec<u16>,
        limits: (i64, i64, i64, i64),
        bits: u32,
        families: &[u8],
        special: Vec<String>,
        reach: Option<(Vec<String>, Vec<String>)>,
        threads: usize,
    ) -> PyResult<Self> {
        if !fields.iter().map(|field| field.0.as_str()).eq(zeek::FIELDS.into_iter().chain(zeek::FLAGS)) {
            return Err(PyValueError::new_err("not the fields of a sieve"));
        }
        let (small, least, family, large) = limits;
        let keep = Keep::new(&networks.0, &networks.1, watched, false).ok_or_else(|| PyValueError::new_err("not a network"))?;
        let mut plan = plan(vec![("conn".into(), fields)], names, networks, None)?;
        let reach = reach.map(|(mine, theirs)| Reach { mine: zeek::addresses(&mine), theirs: zeek::addresses(&theirs) });
        let sieve = Arc::new(zeek::Sieve::new(Limits { small, least, family, large }, bits, Families::new(families), &special, reach));
        (plan.keep, plan.channels) = (Some(keep), Some(Arc::new(zeek::Channels::sieve(&sieve))));
        let paths = found.iter().map(|file| file.0.clone()).collect();
        let reader = Reader::new(plan, files(found), threads);
        Ok(Self { done: reader.done(), reader: Mutex::new(reader), sieve, paths, found: Mutex::default() })
    }

    /// Read everything.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let mut reader = self.reader.lock().map_err(|_| ())?;
            while reader.next_batch().is_some() {}
            *self.found.lock().map_err(|_| ())? = self.sieve.found();
            Ok(())
        })
        .map_err(|()| broken(()))
    }

    /// Outside addresses to and from which enough was moved, and inside hosts that handed out enough.
    fn addresses(&self) -> PyResult<(Vec<String>, Vec<String>)> {
        let found = self.found.lock().map_err(broken)?;
        Ok((texts(&found.remotes), texts(&found.servers)))
    }

    /// Outside addresses to which something else than HTTPS and QUIC was spoken.
    fn spoken(&self) -> PyResult<Vec<String>> {
        Ok(texts(&self.found.lock().map_err(broken)?.spoken))
    }

    /// The numbers of the families to which a host sent enough.
    fn families(&self) -> PyResult<Vec<u32>> {
        Ok(self.found.lock().map_err(broken)?.families.iter().copied().collect())
    }

    /// Inside hosts that sent something outward, with the day; the hosts of which other logs must say whether they did on some day; and
    /// whether there are several days.
    fn days(&self) -> PyResult<Days> {
        let found = self.found.lock().map_err(broken)?;
        let (mut sure, mut maybe) = (Vec::new(), zeek::Addresses::default());
        for ((host, day), bits) in &found.days {
            if bits & SURE == 0 {
                maybe.insert(*host);
            } else {
                sure.push((zeek::written(*host), *day));
            }
        }
        let first = found.days.keys().next().map(|(_, day)| *day);
        Ok((sure, texts(&maybe), found.days.keys().any(|(_, day)| Some(*day) != first)))
    }

    /// For a join: addresses of hosts with telemetry that were met; hosts whose sessions are all wanted, and others that sent outward, with
    /// the bytes that none of these reaches; the first and last moments (see `zeek::Wanted`).
    fn reached(&self) -> PyResult<Option<Told>> {
        let found = self.found.lock().map_err(broken)?;
        let told = |Wanted { here, whole, away, line, outer }: Wanted| (texts(&here), texts(&whole), texts(&away), line, outer);
        Ok(self.sieve.wanted(&found).map(told))
    }

    /// For each file its TCP sessions, and those whose originator no sensor saw.
    fn counts(&self) -> PyResult<Vec<(String, u64, u64)>> {
        let found = self.found.lock().map_err(broken)?;
        let path = |file: &u32| self.paths.get(*file as usize).cloned().unwrap_or_default();
        Ok(found.counts.iter().map(|(file, (tcp, lost))| (path(file), *tcp, *lost)).collect())
    }

    /// Whether a row was refused, and whether nothing of all this can be relied on.
    fn trouble(&self) -> PyResult<(bool, bool)> {
        let found = self.found.lock().map_err(broken)?;
        Ok((found.refused, found.lost))
    }

    /// Bytes of text read so far.
    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// As `Logs.tallies`.
    fn tallies<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let tallies = self.reader.lock().map_err(broken)?.tallies();
        tallies.into_iter().map(|(file, tally)| describe(py, &file, tally)).collect()
    }
}

fn texts(addresses: &zeek::Addresses) -> Vec<String> {
    addresses.iter().map(|address| zeek::written(*address)).collect()
}
