//! SSH: both banners, and the algorithm lists of both key exchanges as HASSH and hasshServer.

use super::bytes::{Bytes, text};
use super::{Outcome, Streams};
use crate::fingerprint::hassh;

/// RFC 4253 4.2 allows 255 bytes; Zeek and real servers go somewhat beyond.
const LONGEST_BANNER: usize = 1024;
/// Lines that a server may send before its banner (RFC 4253 4.2) and their length in all.
const LINES_BEFORE: usize = 32;
const KEXINIT: u8 = 20;

/// Where one side stands.
enum Side<'a> {
    /// Not SSH.
    No,
    /// Nothing there, or too little to say.
    Open,
    Banner {
        banner: &'a [u8],
        rest: &'a [u8],
        ended: bool,
    },
}

fn side(bytes: &[u8], lines_before: usize) -> Side<'_> {
    let mut left = bytes;
    for _ in 0..=lines_before {
        if left.starts_with(b"SSH-") {
            return banner(left);
        }
        if b"SSH-".starts_with(left) {
            return Side::Open;
        }
        match memchr::memchr(b'\n', left.get(..left.len().min(LONGEST_BANNER)).unwrap_or_default()).and_then(|end| left.get(end + 1..)) {
            Some(next) => left = next,
            None => return Side::No,
        }
    }
    Side::No
}

fn banner(bytes: &[u8]) -> Side<'_> {
    let reach = bytes.get(..bytes.len().min(LONGEST_BANNER)).unwrap_or_default();
    let Some(end) = memchr::memchr2(b'\n', b'\r', reach) else {
        return if reach.len() < LONGEST_BANNER { Side::Banner { banner: reach, rest: &[], ended: false } } else { Side::No };
    };
    let (banner, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    Side::Banner { banner, rest: rest.strip_prefix(b"\r").unwrap_or(rest), ended: true }
}

/// The ten name lists of a KEXINIT packet; `None` where they are not there whole.
fn key_exchange(rest: &[u8]) -> Option<[&[u8]; 10]> {
    let mut left = Bytes::new(rest.strip_prefix(b"\n").unwrap_or(rest));
    let mut packet = left.vector(4)?;
    packet.u8()?;
    packet.u8().filter(|kind| *kind == KEXINIT)?;
    packet.take(16)?;
    let mut lists = [[].as_slice(); 10];
    for list in &mut lists {
        *list = packet.vector(4)?.rest();
    }
    Some(lists)
}

/// Whether the key exchange of this side can still arrive.
fn waits(rest: &[u8]) -> bool {
    let mut left = Bytes::new(rest.strip_prefix(b"\n").unwrap_or(rest));
    match left.length(4) {
        // RFC 4253 6.1: packets up to 35000 bytes must be handled.
        Some(length) => length <= 35_000 && left.rest().len() < length,
        None => true,
    }
}

/// Read SSH from both streams; `None` where neither shows a banner.
#[must_use]
pub fn parse(streams: Streams<'_>) -> Option<Outcome> {
    let Streams { orig, resp, done, .. } = streams;
    let sides = [side(orig, 0), side(resp, LINES_BEFORE)];
    if !sides.iter().any(|side| matches!(side, Side::Banner { .. })) {
        return None;
    }
    let mut outcome = Outcome { services: vec!["ssh"], ..Outcome::default() };
    let mut more = false;
    for (place, side) in sides.into_iter().enumerate() {
        let Side::Banner { banner, rest, ended } = side else {
            more |= matches!(side, Side::Open);
            continue;
        };
        if !ended && !done {
            more = true;
            continue;
        }
        let lists = key_exchange(rest);
        more |= lists.is_none() && waits(rest) && !banner.starts_with(b"SSH-1.5");
        let (name, print) = match place {
            0 => (&mut outcome.facts.ssh_client, &mut outcome.facts.hassh),
            _ => (&mut outcome.facts.ssh_server, &mut outcome.facts.hassh_server),
        };
        *name = Some(text(banner));
        // Client to server lists for HASSH, server to client lists for hasshServer.
        *print = lists.map(|lists| {
            let [kex, _, cipher_out, cipher_in, mac_out, mac_in, pack_out, pack_in, ..] = lists;
            hassh(if place == 0 { [kex, cipher_out, mac_out, pack_out] } else { [kex, cipher_in, mac_in, pack_in] })
        });
    }
    outcome.want_more = more && !done;
    Some(outcome)
}
