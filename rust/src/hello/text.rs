//! Line protocols: a side's clear lines, and where TLS begins behind them.

use super::{Outcome, Streams, ftp, imap, smtp, stream};

/// Longer lines are no command or reply (RFC 5321 allows 512 bytes, RFC 9051 and real clients some thousands).
const LONGEST_LINE: usize = 4096;

/// One side of a dialogue: its whole lines without their ends, and the TLS stream that follows them, if one does.
#[derive(Debug, Clone, Default)]
pub struct Side<'a> {
    pub lines: Vec<&'a [u8]>,
    pub tls: Option<&'a [u8]>,
    /// Bytes of an unfinished line at the end.
    pub open: &'a [u8],
}

/// Cut one side into lines. A record header of TLS where a line would begin ends the clear part.
#[must_use]
pub fn side(bytes: &[u8]) -> Side<'_> {
    let mut side = Side { open: bytes, ..Side::default() };
    loop {
        if matches!(side.open, [0x14..=0x17, 3, 0..=4, ..]) || super::tls::begins(side.open) {
            side.tls = Some(std::mem::take(&mut side.open));
            return side;
        }
        let reach = side.open.get(..side.open.len().min(LONGEST_LINE)).unwrap_or_default();
        let Some((line, rest)) = memchr::memchr(b'\n', reach).and_then(|end| side.open.split_at_checked(end + 1)) else { return side };
        side.lines.push(line.trim_ascii_end());
        side.open = rest;
    }
}

type Parser = fn(Streams<'_>, &Dialogue<'_>) -> Option<Outcome>;

/// Tried in this order.
const PARSERS: &[Parser] = &[ftp::parse, smtp::parse, imap::parse, imap::parse_pop3];

/// Read a line protocol from both streams; `None` where they do not look like one.
#[must_use]
pub fn parse(streams: Streams<'_>) -> Option<Outcome> {
    // None of them is known by less than a line.
    let dialogue = dialogue(streams)?;
    PARSERS.iter().find_map(|parse| parse(streams, &dialogue))
}

/// Both sides of a dialogue.
pub struct Dialogue<'a> {
    pub client: Side<'a>,
    pub server: Side<'a>,
}

/// Both sides cut into lines; `None` where a side does not begin with text.
#[must_use]
pub fn dialogue(streams: Streams<'_>) -> Option<Dialogue<'_>> {
    in_lines(streams.orig, streams.resp).then(|| Dialogue { client: side(streams.orig), server: side(streams.resp) })
}

/// Do both sides begin with text, and is there a line?
pub fn in_lines(orig: &[u8], resp: &[u8]) -> bool {
    let printable = |bytes: &[u8]| bytes.iter().take(4).all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e));
    let line = |bytes: &[u8]| memchr::memchr(b'\n', bytes).is_some();
    printable(orig) && printable(resp) && (line(orig) || line(resp))
}

impl Dialogue<'_> {
    /// Whether the client sent a line with this command (in any case) as one of its first two words; IMAP puts a tag in front.
    #[must_use]
    pub fn asks(&self, command: &str) -> bool {
        self.client.lines.iter().any(|line| word(line, 0, command) || word(line, 1, command))
    }

    /// The first line of the client and of the server.
    #[must_use]
    pub fn opening(&self) -> (&[u8], &[u8]) {
        (self.client.lines.first().copied().unwrap_or_default(), self.server.lines.first().copied().unwrap_or_default())
    }

    /// The outcome of the protocol, and of the TLS that follows its clear lines.
    #[must_use]
    pub fn outcome(&self, service: &'static str, streams: Streams<'_>) -> Outcome {
        let mut outcome = Outcome { services: vec![service], want_more: !streams.done, ..Outcome::default() };
        if self.client.tls.is_some() || self.server.tls.is_some() {
            let behind = Streams {
                orig: self.client.tls.unwrap_or_default(),
                resp: self.server.tls.unwrap_or_default(),
                depth: streams.depth + 1,
                ..streams
            };
            outcome.absorb(stream(behind));
        }
        outcome
    }
}

/// Whether the `place`-th word of the line is this one, in any case.
#[must_use]
pub fn word(line: &[u8], place: usize, wanted: &str) -> bool {
    one_of(line, place, &[wanted])
}

/// Whether the `place`-th word of the line is one of these, in any case.
#[must_use]
pub fn one_of(line: &[u8], place: usize, wanted: &[&str]) -> bool {
    let Some(from) = place.checked_sub(1).map_or(Some(0), |before| memchr::memchr_iter(b' ', line).nth(before).map(|space| space + 1)) else { return false };
    let rest = line.get(from..).unwrap_or_default();
    wanted.iter().any(|wanted| {
        let same = rest.first().zip(wanted.as_bytes().first()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
        same && rest.split_at_checked(wanted.len()).is_some_and(|(word, behind)| word.eq_ignore_ascii_case(wanted.as_bytes()) && matches!(behind, [] | [b' ', ..]))
    })
}

/// Whether the line begins with a three-digit reply code whose first digit is one of `classes`, then space, `-` or its end.
#[must_use]
pub fn reply(line: &[u8], classes: &[u8]) -> bool {
    match line {
        [first, second, third, rest @ ..] => {
            classes.contains(first) && second.is_ascii_digit() && third.is_ascii_digit() && matches!(rest, [] | [b' ' | b'-', ..])
        }
        _ => false,
    }
}

/// Whether a text stands in the line, in any case.
#[must_use]
pub fn mentions(line: &[u8], wanted: &str) -> bool {
    line.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted.as_bytes()))
}
