//! What a thread holds back of one part of a file, and what it makes of a row of any kind.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use super::Channels;
use super::record::{Halves, Key, Plain, Sums, exact, halves};
use super::service::Services;
use super::sieve::{Met, Sieve, Sifting};
use super::spread::Waiting;
use super::truth::{self, Counts, Ends, Given, Moved, Way};
use super::twice::{self, Sample, Seen};
use crate::side::Side;
use crate::zeek::keep::{Keep, Parsed};
use crate::zeek::value;

thread_local! {
    /// The emptied room of the part before: memory that is asked for anew costs more than what is written there.
    static SPARE_V4: Cell<Option<Waiting<u32>>> = const { Cell::new(None) };
    static SPARE_V6: Cell<Option<Waiting<Halves>>> = const { Cell::new(None) };
}

impl Drop for Local {
    fn drop(&mut self) {
        SPARE_V4.set(self.v4.emptied());
        SPARE_V6.set(self.v6.emptied());
    }
}

/// What a thread holds back of one part of a file.
pub struct Local {
    pub(super) shared: Arc<Channels>,
    pub(super) v4: Waiting<u32>,
    pub(super) v6: Waiting<Halves>,
    pub(super) services: Services,
    proto: (String, u8),
    pub(super) seen: Sample,
    pub(super) sieve: Option<(Arc<Sieve>, Sifting)>,
    pub(super) file: u32,
}

/// Why a row is refused: the place of its field, and what was expected there (`None`: anything).
pub type Refused = (usize, Option<value::Bad>);

impl Local {
    pub fn new(shared: &Arc<Channels>, file: u32) -> Self {
        Self {
            shared: Arc::clone(shared),
            v4: SPARE_V4.take().unwrap_or_default(),
            v6: SPARE_V6.take().unwrap_or_default(),
            services: Services::default(),
            proto: ("tcp".into(), 0),
            // What is not to be kept at the end need not be looked at.
            seen: shared.seen.lock().map(|seen| seen.alike()).unwrap_or_default(),
            sieve: shared.sieve.as_ref().map(|sieve| (Arc::clone(sieve), Sifting::default())),
            file,
        }
    }

    /// A row is refused.
    pub fn refuse(&mut self) {
        if let Some((_, sifting)) = &mut self.sieve {
            sifting.refuse();
        }
    }

    /// One conn row that runs to outside or from there, whose cells `get` gives by their places in `FIELDS`.
    ///
    /// # Errors
    /// A cell is not what it must be.
    #[inline]
    pub fn add<T: AsRef<[u8]>>(&mut self, keep: &Keep, parsed: Option<Parsed>, get: impl Fn(usize) -> Option<T>) -> Result<(), Refused> {
        let need = |at: usize| get(at).ok_or((at, None));
        let ts = value::time(need(0)?.as_ref()).map_err(|bad| (0, Some(bad)))?;
        let place = |at: usize| keep.place(need(at)?.as_ref()).ok_or((at, Some("not an address")));
        let orig_p = port(need(3)?.as_ref(), 3)?;
        let Parsed { orig: (orig, orig_side), resp: (resp, resp_side), port: resp_p } = match parsed {
            Some(parsed) => parsed,
            None => Parsed { orig: place(2)?, resp: place(4)?, port: port(need(5)?.as_ref(), 5)? },
        };
        let proto = self.proto(need(6)?.as_ref());
        let service = self.services.of(get(7).as_ref().map(AsRef::as_ref));
        let duration = get(8).map(|text| value::seconds(text.as_ref()).ok_or((8, Some("not a number")))).transpose()?;
        let count = |at: usize| get(at).map(|text| value::whole(text.as_ref())).transpose().map_err(|bad| (at, Some(bad)));
        let bytes = [count(9)?, count(10)?];
        let gaps = count(11)?.unwrap_or(0);
        let history = get(12);
        let orig_counts = Counts { bytes: bytes[0], pkts: count(13)?, ip_bytes: count(14)? };
        let resp_counts = Counts { bytes: bytes[1], pkts: count(15)?, ip_bytes: count(16)? };
        let (tcp, udp) = (proto == 0, proto == 1);
        let given = Given {
            orig: orig_counts,
            resp: resp_counts,
            history: history.as_ref().map(AsRef::as_ref).unwrap_or_default(),
            gaps,
            tcp,
            v6: orig.is_ipv6(),
        };
        let ends = Ends { orig: orig_side, resp: resp_side, port: resp_p, tcp, udp, watched: keep.watched(resp_p) };
        if let Some((sieve, sifting)) = &mut self.sieve {
            let [orig, resp] = [orig, resp].map(|address| halves(value::bits(address)));
            let uid = if sieve.names_sessions() { get(1) } else { None };
            let uid = uid.as_ref().map(AsRef::as_ref);
            sifting.met(sieve, &Met { orig, resp, uid, start: ts, duration: duration.unwrap_or(0.0), ends: &ends, service, sides: given.sides() });
            return Ok(());
        }
        let last = ts + duration.unwrap_or(0.0);
        let tuple = match (orig, resp) {
            (IpAddr::V4(orig), IpAddr::V4(resp)) => twice::hash((u32::from(orig), orig_p, resp.into(), resp_p, proto)),
            _ => twice::hash((halves(value::bits(orig)), orig_p, halves(value::bits(resp)), resp_p, proto)),
        };
        if self.seen.wants(tuple) {
            self.seen.add(Seen::new(tuple, self.file, get(1).as_ref().map(AsRef::as_ref), (ts, last), tcp || udp));
        }
        let moved = Moved::new(&ends, given.sides());
        let Some(way) = truth::way(&ends, service, &moved, self.shared.large) else { return Ok(()) };
        let inward = ends.orig == Side::Public && ends.resp == Side::Inside;
        let (inside, remote) = if inward { (resp, orig) } else { (orig, resp) };
        let (port, pull) = (resp_p, way == Way::Pull);
        let protocol = truth::protocol(&ends, service, &moved);
        let count = |bytes: i64| u64::try_from(bytes).ok();
        let plain = exact(ts).zip(exact(duration.unwrap_or(0.0))).zip(count(moved.out.low)).map(|((start, duration), out)| Plain {
            start,
            duration,
            out,
            back: moved.back.and_then(count),
            protocol,
            quality: moved.out.quality as u8,
        });
        let sums = Sums {
            out: moved.out.low,
            back: moved.back.unwrap_or(0),
            first: ts,
            last,
            sessions: 1,
            blind: u32::from(moved.back.is_none()),
            protocols: 1 << protocol,
            quality: moved.out.quality as u8,
        };
        let apart = plain.as_ref().map_or_else(|| self.shared.apart(), |plain| self.shared.apart_from(plain.start));
        if let (IpAddr::V4(inside), IpAddr::V4(remote)) = (inside, remote) {
            let key = Key { inside: inside.into(), remote: remote.into(), port, proto, pull };
            self.v4.put(&key, plain.as_ref(), sums, &self.shared.v4, apart);
        } else {
            let [inside, remote] = [inside, remote].map(|address| halves(value::bits(address)));
            let key = Key { inside, remote, port, proto, pull };
            self.v6.put(&key, plain.as_ref(), sums, &self.shared.v6, apart);
        }
        Ok(())
    }

    fn proto(&mut self, raw: &[u8]) -> u8 {
        match raw {
            b"tcp" => 0,
            b"udp" => 1,
            _ => {
                let name = String::from_utf8_lossy(raw).to_ascii_lowercase();
                if self.proto.0 != name {
                    self.proto = (name.clone(), self.shared.proto(&name));
                }
                self.proto.1
            }
        }
    }

    /// Add everything that waits.
    pub fn finish(&mut self) {
        let apart = self.shared.apart();
        self.v4.finish(&self.shared.v4, apart);
        self.v6.finish(&self.shared.v6, apart);
        if let Some((sieve, sifting)) = &mut self.sieve {
            sifting.finish(sieve, self.file);
            return;
        }
        if let Ok(mut seen) = self.shared.seen.lock() {
            seen.join(std::mem::take(&mut self.seen));
        }
    }
}

fn port(text: &[u8], at: usize) -> Result<u16, Refused> {
    value::port(text).ok().and_then(|port| u16::try_from(port).ok()).ok_or((at, Some("not a port")))
}
