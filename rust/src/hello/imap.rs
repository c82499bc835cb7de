//! IMAP and POP3: STARTTLS/STLS and log-ins, and the TLS that follows.

use super::text::{Dialogue, one_of, word};
use super::{Outcome, Streams};

const IMAP_COMMANDS: &[&str] =
    &["CAPABILITY", "LOGIN", "AUTHENTICATE", "STARTTLS", "SELECT", "EXAMINE", "ID", "NOOP", "LIST", "LSUB", "APPEND", "FETCH", "UID", "NAMESPACE"];
const POP3_COMMANDS: &[&str] = &["USER", "PASS", "APOP", "CAPA", "STLS", "AUTH", "QUIT", "STAT", "LIST", "UIDL", "RETR"];

fn is_imap(dialogue: &Dialogue<'_>) -> bool {
    let (_, greeting) = dialogue.opening();
    let greets = one_of(greeting, 1, &["OK", "PREAUTH", "BYE"]);
    let asks = dialogue.client.lines.iter().take(4).any(|line| one_of(line, 1, IMAP_COMMANDS) && !line.starts_with(b"/"));
    match greeting {
        [] => asks && dialogue.client.lines.iter().take(4).any(|line| one_of(line, 1, &["LOGIN", "CAPABILITY", "STARTTLS", "AUTHENTICATE"])),
        _ => word(greeting, 0, "*") && greets,
    }
}

/// Read IMAP from both streams; `None` where it does not look like it.
#[must_use]
pub fn parse(streams: Streams<'_>, dialogue: &Dialogue<'_>) -> Option<Outcome> {
    if !is_imap(dialogue) {
        return None;
    }
    let mut outcome = dialogue.outcome("imap", streams);
    outcome.hint_if(dialogue.asks("STARTTLS"), "starttls");
    outcome.hint_if(dialogue.asks("LOGIN") || dialogue.asks("AUTHENTICATE"), "auth");
    Some(outcome)
}

/// Read POP3 from both streams; `None` where it does not look like it.
#[must_use]
pub fn parse_pop3(streams: Streams<'_>, dialogue: &Dialogue<'_>) -> Option<Outcome> {
    let (request, greeting) = dialogue.opening();
    let asks = one_of(request, 0, POP3_COMMANDS);
    let greets = word(greeting, 0, "+OK") && (asks || request.is_empty());
    let refuses = word(greeting, 0, "-ERR") && asks;
    if !greets && !refuses {
        return None;
    }
    let mut outcome = dialogue.outcome("pop3", streams);
    outcome.hint_if(dialogue.asks("STLS"), "starttls");
    outcome.hint_if(["PASS", "APOP", "AUTH"].iter().any(|command| dialogue.asks(command)), "auth");
    Some(outcome)
}
