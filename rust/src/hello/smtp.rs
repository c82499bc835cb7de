//! SMTP: STARTTLS and AUTH, and the TLS that follows.

use super::text::{Dialogue, mentions, one_of, reply, word};
use super::{Outcome, Streams};

const GREETINGS: &[&str] = &["EHLO", "HELO", "LHLO"];
/// What tells SMTP from FTP where the greeting was missed.
const COMMANDS: &[&str] = &["STARTTLS", "MAIL", "RCPT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "DATA", "AUTH"];
const PORTS: &[u16] = &[25, 465, 587, 2525];

fn is_smtp(dialogue: &Dialogue<'_>, port: u16) -> bool {
    let (_, greeting) = dialogue.opening();
    let asks = |commands: &[&str]| dialogue.client.lines.iter().take(4).any(|line| one_of(line, 0, commands));
    if asks(GREETINGS) {
        return true;
    }
    reply(greeting, b"245") && (mentions(greeting, "SMTP") || PORTS.contains(&port) || asks(COMMANDS))
}

/// Read SMTP from both streams; `None` where it does not look like it.
#[must_use]
pub fn parse(streams: Streams<'_>, dialogue: &Dialogue<'_>) -> Option<Outcome> {
    if !is_smtp(dialogue, streams.resp_port) {
        return None;
    }
    let mut outcome = dialogue.outcome("smtp", streams);
    outcome.hint_if(dialogue.asks("STARTTLS"), "starttls");
    outcome.hint_if(dialogue.client.lines.iter().any(|line| word(line, 0, "AUTH")), "auth");
    // A mail that is under way in clear is followed by no TLS.
    outcome.want_more &= !dialogue.client.lines.iter().any(|line| word(line, 0, "DATA") || word(line, 0, "BDAT"));
    Some(outcome)
}
