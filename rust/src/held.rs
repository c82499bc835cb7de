//! Finished sessions kept until all are there, to be handed out by their start: who lists them need not sort the wide rows.

use std::collections::VecDeque;

use crate::batch::seconds;
use crate::session::{Facts, Session};

/// Start in seconds, as it is shown; block and place in it.
type Place = (f64, u32, u32);

#[derive(Default)]
pub struct Held {
    blocks: VecDeque<Vec<Session>>,
    /// Bytes that they take, about.
    size: usize,
    order: Option<std::vec::IntoIter<Place>>,
}

impl Held {
    /// Keep some more; false where all together take more than `limit` bytes.
    pub fn put(&mut self, block: Vec<Session>, limit: usize) -> bool {
        self.size += block.iter().map(bytes).sum::<usize>();
        self.blocks.push_back(block);
        self.size <= limit
    }

    /// From now on they come by start, and by uid where it is the same.
    pub fn sort(&mut self) {
        let places = |(number, block): (usize, &Vec<Session>)| {
            let number = number as u32;
            block.iter().enumerate().map(move |(place, session)| (seconds(session.start), number, place as u32)).collect::<Vec<Place>>()
        };
        let mut order: Vec<Place> = self.blocks.iter().enumerate().flat_map(places).collect();
        let uid = |place: &Place| self.blocks.get(place.1 as usize)?.get(place.2 as usize).map(Session::uid);
        order.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| uid(one).cmp(&uid(other))));
        self.order = Some(order.into_iter());
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.blocks.iter().flatten()
    }

    /// The next ones, at most `count` where they are sorted; `None` where none is left.
    pub fn take(&mut self, count: usize) -> Option<Vec<Session>> {
        let Some(order) = &mut self.order else { return self.blocks.pop_front() };
        let mut next = Vec::with_capacity(count.min(order.len()));
        for (_, block, place) in order.take(count) {
            next.extend(self.blocks.get_mut(block as usize).and_then(|block| block.get_mut(place as usize)).map(std::mem::take));
        }
        if next.is_empty() {
            *self = Self::default();
            return None;
        }
        Some(next)
    }
}

/// What a session takes, its hellos included; long histories are rare.
fn bytes(session: &Session) -> usize {
    size_of::<Session>() + session.facts.as_deref().map_or(0, told)
}

fn told(facts: &Facts) -> usize {
    let texts = [
        &facts.server_name, &facts.tls_version, &facts.alpn, &facts.ja3, &facts.ja4, &facts.cert_subject, &facts.cert_issuer,
        &facts.cert_fingerprint, &facts.ssh_client, &facts.ssh_server, &facts.hassh, &facts.hassh_server,
    ];
    size_of::<Facts>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: i64, port: u16) -> Session {
        let mut session = Session { start, ..Session::default() };
        session.key.a_port = port;
        session
    }

    #[test]
    fn sorted_by_the_start_that_is_shown_then_by_uid() {
        let mut held = Held::default();
        let starts = [3_000, 1_000, 2_000, 2_000, 2_000, 0];
        let blocks: Vec<Vec<Session>> = starts.chunks(2).enumerate().map(|(n, c)| c.iter().map(|s| at(*s, n as u16)).collect()).collect();
        for block in blocks {
            assert!(held.put(block, usize::MAX));
        }
        held.sort();
        let mut found = Vec::new();
        while let Some(some) = held.take(4) {
            assert!(some.len() <= 4);
            found.extend(some);
        }
        let told: Vec<_> = found.iter().map(|s| (s.start, s.uid())).collect();
        let mut expected = told.clone();
        expected.sort();
        assert_eq!((told.len(), told), (6, expected));
        assert!(held.take(1).is_none());
    }

    #[test]
    fn unsorted_they_come_as_they_were_put_and_the_limit_is_told() {
        let mut held = Held::default();
        assert!(held.put(vec![at(5, 1)], size_of::<Session>()));
        assert!(!held.put(vec![at(3, 1)], size_of::<Session>()));
        let starts: Vec<i64> = std::iter::from_fn(|| held.take(1)).flatten().map(|s| s.start).collect();
        assert_eq!(starts, [5, 3]);
    }
}
