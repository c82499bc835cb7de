//! What the header of a TSV log says: which column stands where.

use super::channel::Layout;
use super::keep::{Keep, Parsed};
use super::plan::Plan;
use super::tsv::Cells;
use super::value;

/// What the `#` lines of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub separator: u8,
    pub set_separator: Vec<u8>,
    pub empty: Vec<u8>,
    unset: Vec<u8>,
    pub columns: usize,
    pub place: Option<usize>,
    /// For each field of the log its column.
    pub at: Vec<Option<usize>>,
    pub ends: Option<Ends>,
    pub conn: bool,
    /// Where rows are summed by channel: how those of the plain kind are read.
    layout: Option<Layout>,
    usable: bool,
}

/// Columns of a conn log, for the early test; `usize::MAX` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    orig: usize,
    resp: usize,
    port: usize,
    service: usize,
    orig_bytes: usize,
    resp_bytes: usize,
    /// The last of the first three that are there, and of all.
    near: usize,
    far: usize,
}

impl Ends {
    fn new(names: &[String]) -> Option<Self> {
        let find = |name: &str| names.iter().position(|known| known == name);
        let (orig, resp, port) = (find("id_orig_h")?, find("id_resp_h")?, find("id_resp_p")?);
        let content = ["service", "orig_bytes", "resp_bytes"].map(find);
        let near = orig.max(resp).max(port);
        let far = content.into_iter().flatten().fold(near, usize::max);
        let [service, orig_bytes, resp_bytes] = content.map(|column| column.unwrap_or(usize::MAX));
        Some(Self { orig, resp, port, service, orig_bytes, resp_bytes, near, far })
    }

    /// Columns of originator, responder and its port.
    fn places(&self) -> [Option<usize>; 3] {
        [self.orig, self.resp, self.port].map(Some)
    }

    /// The ends of a row; `None` where they are not what they should be.
    #[inline]
    pub fn parse(&self, header: &Header, keep: &Keep, line: &[u8], cells: &mut Cells) -> Option<Parsed> {
        cells.reach(line, header.separator, self.near);
        let port = u16::try_from(value::port(cells.get(line, self.port)?).ok()?).ok()?;
        Some(Parsed { orig: keep.place(cells.get(line, self.orig)?)?, resp: keep.place(cells.get(line, self.resp)?)?, port })
    }

    /// Whether a row is wanted. One whose ends are not what they should be is: it is looked at whole, and refused.
    #[inline]
    pub fn wanted(&self, header: &Header, keep: &Keep, line: &[u8], cells: &mut Cells, parsed: Option<&Parsed>) -> bool {
        let Some(Parsed { orig: (_, orig), resp: (_, resp), port }) = parsed else { return true };
        keep.by_ends(*orig, *resp, *port).unwrap_or_else(|| {
            cells.reach(line, header.separator, self.far);
            let text = |column| cells.get(line, column).filter(|text| *text != header.unset).unwrap_or_default();
            let count = |column| value::whole(text(column)).unwrap_or(0);
            keep.by_content(*orig, *resp, text(self.service), count(self.orig_bytes), count(self.resp_bytes))
        })
    }
}

impl Header {
    pub fn new(name: &str, plan: &Plan) -> Self {
        Self {
            name: name.to_owned(),
            separator: b'\t',
            set_separator: b",".to_vec(),
            empty: b"(empty)".to_vec(),
            unset: b"-".to_vec(),
            columns: 0,
            place: plan.place(name),
            at: Vec::new(),
            ends: None,
            conn: false,
            layout: None,
            usable: false,
        }
    }

    /// Learn from one `#` line.
    ///
    /// # Errors
    /// A required column is missing: the reason.
    pub fn take(&mut self, data: &[u8], plan: &Plan) -> Result<(), String> {
        let separator = if data.starts_with(b"#separator") { b' ' } else { self.separator };
        let cut = memchr::memchr(separator, data).unwrap_or(data.len());
        let rest = data.get(cut + 1..).unwrap_or_default();
        match data.get(..cut).unwrap_or_default() {
            b"#separator" => self.separator = value::unescape(rest.trim_ascii()).first().copied().unwrap_or(b'\t'),
            b"#set_separator" if !rest.is_empty() => self.set_separator = value::unescape(rest),
            b"#empty_field" => self.empty = rest.to_vec(),
            b"#unset_field" => self.unset = rest.to_vec(),
            b"#fields" => return self.fields(rest, plan),
            _ => {}
        }
        Ok(())
    }

    fn fields(&mut self, rest: &[u8], plan: &Plan) -> Result<(), String> {
        let names: Vec<String> = rest.split(|b| *b == self.separator).map(normal).collect();
        self.columns = names.len();
        self.usable = true;
        self.at.clear();
        (self.ends, self.layout) = (None, None);
        let Some(log) = self.place.and_then(|place| plan.log(place)) else {
            return Ok(());
        };
        for field in &log.fields {
            let column = field.names.iter().find_map(|name| names.iter().position(|known| known == name));
            if column.is_none() && field.required {
                self.usable = false;
                let first = field.names.first().map_or("", String::as_str);
                let shown = if first.starts_with("id_") { first.replace('_', ".") } else { first.to_owned() };
                return Err(format!("{}: no column {shown}", self.name));
            }
            self.at.push(column);
        }
        self.conn = log.name == "conn";
        if plan.keep.as_ref().is_some_and(|keep| self.conn || keep.hot.is_some()) {
            self.ends = Ends::new(&names);
            let there = self.ends.as_ref().is_some_and(|ends| [2, 4, 5].map(|field| self.at.get(field).copied().flatten()) == ends.places());
            self.layout = if there && plan.channels.as_ref().is_some_and(|channels| !channels.general) { Layout::new(&self.at, self.columns) } else { None };
        }
        Ok(())
    }

    /// How rows of the plain kind are read.
    pub fn layout(&self) -> Option<&Layout> {
        let usual = self.usable && self.separator == b'\t' && self.unset == b"-" && self.empty == b"(empty)";
        self.layout.as_ref().filter(|_| usual)
    }

    #[inline]
    pub fn is_unset(&self, raw: &[u8]) -> bool {
        match (raw, self.unset.as_slice()) {
            ([byte], [unset]) => byte == unset,
            (raw, unset) => raw.len() == unset.len() && raw == unset,
        }
    }

    pub fn usable(&self) -> bool {
        self.usable
    }
}

/// A column's name as fields are compared: lower case, dots as underscores, without what labelled logs put behind it.
fn normal(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let text = text.trim();
    let first = text.find("  ").map_or(text, |at| text.get(..at).unwrap_or(text));
    first.to_lowercase().replace('.', "_")
}
