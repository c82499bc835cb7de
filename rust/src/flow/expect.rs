//! The data channels of FTP: a control session announces where data will go; the session that is opened towards there next is it. The two may run
//! between different hosts, so who reads their packets only tells what happened; here it is put together.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use super::TCP_IDLE;
use super::conn::SECOND;
use super::key::{End, Key};
use crate::session::Session;

/// Announced data channels remembered.
const EXPECTED: usize = 65_536;

/// Something that happened to a session.
#[derive(Debug)]
pub struct Event {
    /// Number of the frame, then of what happened in it.
    pub order: u64,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    /// A session with this key and start was opened; does its responder stand at `a`?
    Opened { key: Key, start: i64, to_a: bool },
    /// A control session (by its uid) announced at this time that data will go there.
    Announced { now: i64, to: End, control: Box<str> },
}

/// Announcements, and the sessions that they were about.
#[derive(Debug, Default)]
pub struct Expected {
    waiting: HashMap<End, (i64, Box<str>)>,
    /// When those too old were last looked for.
    swept: Option<i64>,
    found: HashMap<(Key, i64), Box<str>>,
}

impl Expected {
    /// What happened, in its order.
    pub fn hear(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            match event.what {
                What::Opened { key, start, to_a } if !self.waiting.is_empty() => {
                    let to = if to_a { (key.a, key.a_port) } else { (key.b, key.b_port) };
                    if let Some((_, control)) = self.waiting.remove(&to) {
                        self.found.insert((key, start), control);
                    }
                }
                What::Opened { .. } => {}
                What::Announced { now, to, control } => self.announced(now, to, control),
            }
        }
    }

    fn announced(&mut self, now: i64, to: End, control: Box<str>) {
        if self.waiting.len() >= EXPECTED && self.swept.is_none_or(|swept| now.saturating_sub(swept) >= SECOND) {
            self.swept = Some(now);
            self.waiting.retain(|_, (since, _)| now.saturating_sub(*since) < TCP_IDLE);
        }
        if self.waiting.len() < EXPECTED {
            self.waiting.insert(to, (now, control));
        }
    }

    /// Is there something that is waited for, or announced here?
    #[must_use]
    pub fn cares(&self, events: &[Event]) -> bool {
        !self.waiting.is_empty() || events.iter().any(|event| matches!(event.what, What::Announced { .. }))
    }

    /// Say of finished sessions whose data they carried.
    pub fn tell(&mut self, sessions: &mut [Session]) {
        if self.found.is_empty() {
            return;
        }
        for session in sessions {
            if let Some(control) = self.found.remove(&(session.key, session.start)) {
                session.service = with(session.service.take(), &["ftp-data"]);
                session.hints = with(session.hints.take(), &["ftp_data", &format!("control={control}")]);
            }
        }
    }
}

/// Words among others: sorted, each once, comma separated.
fn with(words: Option<Cow<'static, str>>, more: &[&str]) -> Option<Cow<'static, str>> {
    let mut all: Vec<&str> = words.iter().flat_map(|words| words.split(',')).chain(more.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    Some(Cow::Owned(all.join(",")))
}

/// The address of an announcement as a packet has it.
pub(super) fn end(address: IpAddr, port: u16) -> End {
    let address = match address {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    };
    (address.octets(), port)
}
