//! `netexfil._core.Channels`: outbound sessions of conn logs, summed by channel.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::python_logs::{FieldSpec, FileSpec, NetworkSpec, broken, describe, files, plan};
use crate::zeek::{self, Channel, Keep, Order, Reader};

/// day, inside, remote, port, transport, direction, protocols
type Named = (Option<u32>, String, String, u16, String, &'static str, String);
/// sessions, bytes out and in, sessions without an answer seen, quality, first and last second
type Summed = (u32, i64, i64, u32, &'static str, f64, f64);

/// See `netexfil/summary.py`.
#[pyclass(frozen, module = "netexfil._core")]
pub struct Channels {
    reader: Mutex<Reader>,
    sums: Arc<zeek::Channels>,
    done: Arc<AtomicU64>,
    order: Mutex<Order>,
    daily: bool,
}

#[pymethods]
impl Channels {
    /// Begin to read conn logs. `fields` are those of `FIELDS`, in that order.
    #[new]
    #[pyo3(signature = (found, fields, names, networks, watched, large, daily=false, threads=2))]
    #[allow(clippy::too_many_arguments)] // one call, by name
    fn new(
        found: Vec<FileSpec>,
        fields: Vec<FieldSpec>,
        names: &Bound<'_, PyDict>,
        networks: NetworkSpec,
        watched: Vec<u16>,
        large: i64,
        daily: bool,
        threads: usize,
    ) -> PyResult<Self> {
        if !fields.iter().map(|field| field.0.as_str()).eq(zeek::FIELDS) {
            return Err(PyValueError::new_err("not the fields of a channel"));
        }
        let keep = Keep::new(&networks.0, &networks.1, watched, false).ok_or_else(|| PyValueError::new_err("not a network"))?;
        let mut plan = plan(vec![("conn".into(), fields)], names, networks, None)?;
        let sums = Arc::new(zeek::Channels::new(large, daily));
        (plan.keep, plan.channels) = (Some(keep), Some(Arc::clone(&sums)));
        let reader = Reader::new(plan, files(found), threads);
        Ok(Self { done: reader.done(), reader: Mutex::new(reader), sums, order: Mutex::default(), daily })
    }

    /// Read everything, and put the `top` largest channels (None: all) in order. (channels, sessions, bytes out, bytes in) of them all.
    fn run(&self, py: Python<'_>, top: Option<usize>) -> PyResult<(u64, u64, i64, i64)> {
        py.detach(|| {
            let mut reader = self.reader.lock().map_err(|_| ())?;
            while reader.next_batch().is_some() {}
            let order = Order::new(&self.sums, top);
            let totals = order.totals;
            *self.order.lock().map_err(|_| ())? = order;
            Ok((totals.channels, totals.sessions, totals.out, totals.back))
        })
        .map_err(|()| broken(()))
    }

    /// The next channels, largest first; about `count` of them, none at the end.
    fn next(&self, py: Python<'_>, count: usize) -> PyResult<Vec<(Named, Summed)>> {
        let protos = self.sums.protos();
        let found = py.detach(|| self.order.lock().map(|mut order| order.next(count)).map_err(|_| ()));
        Ok(found.map_err(broken)?.iter().map(|channel| self.row(channel, &protos)).collect())
    }

    /// The next channels as JSON lines; empty at the end.
    fn lines<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
        let protos = self.sums.protos();
        let text = py.detach(|| {
            let mut text = Vec::new();
            for channel in self.order.lock().map_err(|_| ())?.next(count) {
                channel.write(self.daily, &protos, &mut text).map_err(|_| ())?;
            }
            Ok(text)
        });
        Ok(PyBytes::new(py, &text.map_err(|()| broken(()))?))
    }

    /// Whether sessions stand in the logs more than once, or the sums cannot be relied on for another reason.
    fn doubtful(&self) -> bool {
        self.sums.doubtful()
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

impl Channels {
    fn row(&self, channel: &Channel, protos: &[String]) -> (Named, Summed) {
        let sums = &channel.sums;
        let named = (
            self.daily.then_some(channel.day),
            channel.inside.to_string(),
            channel.remote.to_string(),
            channel.port,
            channel.transport(protos).to_owned(),
            channel.direction(),
            channel.protocol(),
        );
        (named, (sums.sessions, sums.out, sums.back, sums.blind, channel.quality(), sums.first, sums.last))
    }
}
