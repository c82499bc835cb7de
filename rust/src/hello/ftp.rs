//! FTP control connections: AUTH TLS and PROT P, the data endpoints that are announced in clear, and the TLS that follows.

use std::net::{IpAddr, Ipv4Addr};

use super::text::{Dialogue, mentions, one_of, reply, word};
use super::{Outcome, Streams};

/// Commands that no other line protocol with a 220 greeting has.
const COMMANDS: &[&str] = &[
    "USER", "PASS", "ACCT", "CWD", "CDUP", "PWD", "XPWD", "PASV", "EPSV", "PORT", "EPRT", "SYST", "FEAT", "TYPE", "RETR", "STOR", "STOU", "APPE", "LIST",
    "NLST", "MLSD", "MLST", "SIZE", "MDTM", "PBSZ", "PROT", "CCC", "ADAT", "OPTS", "REST", "RNFR", "DELE", "MKD", "SITE", "CLNT",
];
/// What only FTP knows, for sessions whose server is not seen. (USER and PASS are POP3's too.)
const OWN: &[&str] = &["PASV", "EPSV", "EPRT", "SYST", "FEAT", "TYPE", "RETR", "STOR", "PBSZ", "PROT", "MLSD", "CWD"];
/// The well-known port decides only between protocols that greet alike.
const PORT: u16 = 21;

fn is_ftp(dialogue: &Dialogue<'_>, port: u16) -> bool {
    let (request, greeting) = dialogue.opening();
    let asks = |commands: &[&str]| dialogue.client.lines.iter().take(8).any(|line| one_of(line, 0, commands));
    let wants_tls = word(request, 0, "AUTH") && one_of(request, 1, &["TLS", "SSL", "TLS-C", "TLS-P", "GSSAPI"]);
    if greeting.is_empty() {
        let here = port == PORT && (asks(COMMANDS) || asks(&["QUIT"]));
        return here || asks(OWN) && !mentions(request, "EHLO") || wants_tls;
    }
    let greets = reply(greeting, b"1245") && !mentions(greeting, "SMTP") && !asks(&["EHLO", "HELO"]);
    greets && (asks(COMMANDS) || wants_tls || request.is_empty() && (mentions(greeting, "FTP") || port == PORT))
}

/// Read an FTP control connection; `None` where it does not look like one.
#[must_use]
pub fn parse(streams: Streams<'_>, dialogue: &Dialogue<'_>) -> Option<Outcome> {
    if !is_ftp(dialogue, streams.resp_port) {
        return None;
    }
    let mut outcome = dialogue.outcome("ftp", streams);
    for line in &dialogue.client.lines {
        let hint = match () {
            () if upgrades(line) => AUTH_TLS,
            () if word(line, 0, "PROT") && word(line, 1, "P") => "prot_p",
            () => {
                outcome.expect.extend(announced(line, ACTIVE));
                continue;
            }
        };
        outcome.hints.push(hint.to_owned());
    }
    let replies = dialogue.server.lines.iter();
    outcome.expect.extend(replies.filter_map(|line| announced(line, PASSIVE)));
    Some(outcome)
}

/// The hint of a session that goes on in TLS.
pub const AUTH_TLS: &str = "auth_tls";

/// Does the client ask for TLS with this line?
#[must_use]
pub fn upgrades(line: &[u8]) -> bool {
    word(line, 0, "AUTH") && (mentions(line, "TLS") || mentions(line, "SSL"))
}

/// Where data will go, as a line of either side says.
#[must_use]
pub fn announcement(line: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    announced(line, ACTIVE).or_else(|| announced(line, PASSIVE))
}

type Endpoint = fn(&[u8]) -> Option<(Option<IpAddr>, u16)>;
const ACTIVE: &[(&str, Endpoint)] = &[("PORT", six), ("EPRT", extended)];
const PASSIVE: &[(&str, Endpoint)] = &[("227", six), ("229", extended)];

fn announced(line: &[u8], kinds: &[(&str, Endpoint)]) -> Option<(Option<IpAddr>, u16)> {
    let (_, read) = kinds.iter().find(|(first, _)| word(line, 0, first))?;
    read(line.get(4..)?).filter(|(_, port)| *port != 0)
}

/// `h1,h2,h3,h4,p1,p2` (RFC 959), wherever it stands in the text.
fn six(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let run = text.split(|byte| !byte.is_ascii_digit() && *byte != b',').find(|run| run.iter().filter(|byte| **byte == b',').count() == 5)?;
    let numbers: Vec<u8> = run.split(|byte| *byte == b',').filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).collect();
    match numbers.as_slice() {
        [a, b, c, d, high, low] => Some((Some(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d))), u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// `|1|address|port|` or `|||port|` with any delimiter (RFC 2428).
fn extended(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let text = text.trim_ascii_start();
    let start = text.iter().position(|byte| *byte == b'(').map_or(0, |open| open + 1);
    let (delimiter, rest) = text.get(start..)?.split_first()?;
    let mut parts = rest.split(|byte| byte == delimiter);
    let (_, address, port) = (parts.next()?, parts.next()?, parts.next()?);
    let written = std::str::from_utf8(address).ok()?;
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    match written {
        "" => Some((None, port)),
        _ => Some((Some(written.parse().ok()?), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_they_are_announced() {
        let here = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)));
        let kinds: &[(&str, Endpoint)] = &[("227", six), ("229", extended), ("PORT", six), ("EPRT", extended)];
        for (line, expected) in [
            ("227 Entering Passive Mode (192,0,2,9,156,83).", Some((here, 40019))),
            ("227 =192,0,2,9,0,21", Some((here, 21))),
            ("229 Entering Extended Passive Mode (|||40070|)", Some((None, 40070))),
            ("PORT 192,0,2,9,4,1", Some((here, 1025))),
            ("EPRT |2|2001:db8::1|5282|", Some(("2001:db8::1".parse().ok(), 5282))),
            ("227 Entering Passive Mode (192,0,2,900,156,83).", None),
            ("229 Entering Extended Passive Mode (|||0|)", None),
            ("229 no", None),
        ] {
            assert_eq!(announced(line.as_bytes(), kinds), expected, "{line}");
        }
    }
}
