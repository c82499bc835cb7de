//! Rows as lines: JSON, CSV or a Zeek log, byte for byte as `netexfil/report/sessions.py` makes them of a table; a test holds the two together.

use super::number::{self, Style};
use super::{COLUMNS, Read, Row};
use crate::flow::key;

/// A piece is handed out when it has so many bytes.
const PIECE: usize = 1 << 20;
const HEX: &[u8; 16] = b"0123456789abcdef";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Csv,
    Zeek,
}

/// What a row has in a column.
enum Cell<'a> {
    None,
    Text(&'a str),
    Whole(i64),
    Real(f64),
    Truth(bool),
}

/// Lines so far.
pub struct Lines {
    form: Form,
    out: String,
    text: String,
}

fn cell<'a>(read: &Read, row: &Row<'a>, text: &'a mut String) -> Cell<'a> {
    text.clear();
    match read {
        Read::Text(read) => return read(row).map_or(Cell::None, Cell::Text),
        Read::Small(read) => return Cell::Whole(i64::from(read(row))),
        Read::Whole(read) => return read(row).map_or(Cell::None, Cell::Whole),
        Read::Real(read) => return read(row).map_or(Cell::None, Cell::Real),
        Read::Truth(read) => return read(row).map_or(Cell::None, Cell::Truth),
        Read::Address(read) => key::write(read(row), text),
        Read::History => row.session.history.write(text),
        Read::Unique(write) => write(row, text),
        Read::Tunnel => match row.session.tunnel.text() {
            Some(tunnel) => text.push_str(&tunnel),
            None => return Cell::None,
        },
    }
    Cell::Text(text)
}

impl Lines {
    #[must_use]
    pub fn new(form: Form) -> Self {
        let mut out = String::new();
        match form {
            Form::Json => {}
            Form::Csv => {
                COLUMNS.iter().enumerate().for_each(|(place, (name, _))| between(place, ',', name, &mut out));
                out.push_str("\r\n");
            }
            Form::Zeek => header(&mut out),
        }
        Self { form, out, text: String::new() }
    }

    /// Take some rows; returns the next piece of the file where it is large enough.
    pub fn add(&mut self, rows: &[Row<'_>]) -> Vec<u8> {
        let Self { form, out, text } = self;
        for row in rows {
            for (place, (name, read)) in COLUMNS.iter().enumerate() {
                let cell = cell(read, row, text);
                match form {
                    Form::Json => json(place, name, &cell, out),
                    Form::Csv => csv(place, &cell, out),
                    Form::Zeek => zeek(place, name, &cell, out),
                }
            }
            out.push_str(match form {
                Form::Json => "}\n",
                Form::Csv => "\r\n",
                Form::Zeek => "\n",
            });
        }
        if out.len() < PIECE { Vec::new() } else { self.end() }
    }

    /// What is left.
    pub fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out).into_bytes()
    }
}

fn between(place: usize, mark: char, text: &str, out: &mut String) {
    if place > 0 {
        out.push(mark);
    }
    out.push_str(text);
}

fn json(place: usize, name: &str, cell: &Cell<'_>, out: &mut String) {
    out.push_str(if place > 0 { ",\"" } else { "{\"" });
    out.push_str(name);
    out.push_str("\":");
    match cell {
        Cell::None => out.push_str("null"),
        Cell::Whole(value) => number::whole(*value, out),
        Cell::Real(value) if value.is_finite() => number::real(*value, Style::Json, out),
        Cell::Real(_) => out.push_str("null"),
        Cell::Truth(value) => out.push_str(if *value { "true" } else { "false" }),
        Cell::Text("true") if name == "outbound" => out.push_str("true"),
        Cell::Text(text) => quoted(text, out),
    }
}

/// A JSON string; of what need not be escaped only what would break a line is.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    let mut from = 0;
    for (place, byte) in text.bytes().enumerate().filter(|(_, byte)| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        out.push_str(text.get(from..place).unwrap_or_default());
        from = place + 1;
        out.push('\\');
        match byte {
            b'"' | b'\\' => out.push(char::from(byte)),
            8 => out.push('b'),
            9 => out.push('t'),
            10 => out.push('n'),
            12 => out.push('f'),
            13 => out.push('r'),
            _ => {
                out.push_str("u00");
                hex(byte, out);
                let upper = out.split_off(out.len() - 2).to_uppercase();
                out.push_str(&upper);
            }
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

fn hex(byte: u8, out: &mut String) {
    for half in [byte >> 4, byte & 15] {
        out.push(HEX.get(usize::from(half)).copied().map_or('0', char::from));
    }
}

/// Whether a spreadsheet would run a text: a formula, behind blanks and marks of no width too, a tab or a line's end. As `words.defused` has it.
fn runs(text: &str) -> bool {
    let dropped = |letter: char| letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}' | '\u{200b}' | '\u{2060}' | '\u{feff}');
    text.starts_with(['\t', '\r', '\n']) || text.trim_start_matches(dropped).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

fn csv(place: usize, cell: &Cell<'_>, out: &mut String) {
    between(place, ',', "", out);
    match cell {
        Cell::None => {}
        Cell::Whole(value) => number::whole(*value, out),
        Cell::Real(value) => number::real(*value, Style::Cast, out),
        Cell::Truth(value) => out.push_str(if *value { "true" } else { "false" }),
        Cell::Text(text) if bare(text) => out.push_str(text),
        Cell::Text(text) => {
            out.push('"');
            if runs(text) {
                out.push('\'');
            }
            out.push_str(&text.replace('"', "\"\""));
            out.push('"');
        }
    }
}

/// Whether a text needs no quotes: letters, digits and a few marks, some of which must not come first.
fn bare(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'/' | b'_' | b' ' | b'+' | b'=' | b'(' | b')' | b'-');
    let first = |byte: u8| !matches!(byte, b' ' | b'+' | b'=' | b'(' | b')' | b'-');
    text.bytes().all(inner) && text.bytes().next().is_none_or(first)
}

/// Zeek's type of a column.
fn kind(name: &str, read: &Read) -> &'static str {
    match read {
        Read::Address(_) => "addr",
        Read::Small(_) => "port",
        Read::Whole(_) => "count",
        Read::Truth(_) => "bool",
        Read::Real(_) if name == "ts" => "time",
        Read::Real(_) if name == "duration" => "interval",
        Read::Real(_) => "double",
        Read::Text(_) if name == "proto" => "enum",
        _ => "string",
    }
}

fn header(out: &mut String) {
    out.push_str("#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\t");
    COLUMNS.iter().enumerate().for_each(|(place, (name, _))| between(place, '\t', name, out));
    out.push_str("\n#types\t");
    COLUMNS.iter().enumerate().for_each(|(place, (name, read))| between(place, '\t', kind(name, read), out));
    out.push('\n');
}

fn zeek(place: usize, name: &str, cell: &Cell<'_>, out: &mut String) {
    between(place, '\t', "", out);
    match cell {
        Cell::None => out.push('-'),
        Cell::Whole(value) => number::whole(*value, out),
        Cell::Real(value) => number::real(*value, if matches!(name, "ts" | "duration") { Style::Six } else { Style::Cast }, out),
        Cell::Truth(value) => out.push(if *value { 'T' } else { 'F' }),
        Cell::Text("") => out.push_str("(empty)"),
        Cell::Text("-") => out.push_str("\\x2d"),
        Cell::Text("(empty)") => out.push_str("\\x28empty)"),
        Cell::Text(text) => escaped(text, out),
    }
}

/// Zeek's escapes: of controls and of the C1 set by byte, and of the backslash.
fn escaped(text: &str, out: &mut String) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
        return out.push_str(text);
    }
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\0'..=' ' | '\x7f'..='\u{9f}' if letter != ' ' => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    out.push_str("\\x");
                    hex(byte, out);
                }
            }
            _ => out.push(letter),
        }
    }
}
