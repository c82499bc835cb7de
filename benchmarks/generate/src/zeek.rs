//! Z1: a day of conn.log and ssl.log. Rows are functions of their number, so that events.rs can make the same ones.

use crate::random::Random;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub const ROWS: f64 = 20_000_000.0;
pub const START: f64 = 1_713_484_800.0;
const DAY: f64 = 86_400.0;
const HOSTS: u64 = 20_000;

/// One row of conn.log.
pub struct Row {
    pub ts: f64,
    pub uid: String,
    pub orig: String,
    pub orig_port: u16,
    pub resp: String,
    pub resp_port: u16,
    pub udp: bool,
    pub service: &'static str,
    pub duration: f64,
    pub sizes: [u64; 2],
    pub packets: [u64; 2],
    pub established: bool,
    pub host: u64,
    pub name: u64,
}

const MIX: [(f64, u16, bool, &str, bool); 13] = [
    (0.27, 443, false, "ssl", true),
    (0.05, 443, true, "quic,ssl", true),
    (0.006, 22, false, "ssh", true),
    (0.01, 993, false, "ssl", true),
    (0.005, 465, false, "ssl", true),
    (0.005, 587, false, "smtp,ssl", true),
    (0.002, 990, false, "ssl", true),
    (0.002, 8443, false, "ssl", true),
    (0.002, 21, false, "ftp", true),
    (0.30, 53, true, "dns", false),
    (0.09, 80, false, "http", true),
    (0.12, 445, false, "gssapi,smb", false),
    (0.138, 3389, false, "-", false),
];

pub fn row(number: u64, all: u64) -> Row {
    let mut random = Random::new(number ^ 0x7777);
    let mut pick = random.unit();
    let (_, port, udp, service, public) = MIX
        .into_iter()
        .find(|(share, ..)| {
            pick -= share;
            pick < 0.0
        })
        .unwrap_or(MIX[0]);
    let host = random.skewed(HOSTS);
    let remote = random.skewed(400_000);
    let v6 = public && random.chance(0.1);
    let established = random.chance(0.92);
    let bulk = random.chance(0.0005);
    let sizes = match (established, udp && port == 53) {
        (false, _) => [0, 0],
        (_, true) => [30 + random.below(40), 60 + random.below(200)],
        _ => [random.size(if bulk { 400_000.0 } else { 1_400.0 }, 0.9) as u64, random.size(7_000.0, 1.3) as u64],
    };
    let packets = [1 + sizes[0] / 900 + u64::from(established) * 4, u64::from(established) * (4 + sizes[1] / 1200)];
    Row {
        ts: START + DAY * (number as f64 + random.unit()) / all as f64,
        uid: uid(&mut random),
        orig: inside(host, v6),
        orig_port: 32_768 + random.below(28_000) as u16,
        resp: if public { outside(remote, v6) } else { inside(HOSTS + remote % 500, false) },
        resp_port: port,
        udp,
        service: if established { service } else { "-" },
        duration: if established { random.size(0.8, 1.6) } else { 0.0 },
        sizes,
        packets,
        established,
        host,
        name: remote,
    }
}

fn uid(random: &mut Random) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = String::with_capacity(18);
    out.push('C');
    let mut bits = (u128::from(random.next()) << 64) | u128::from(random.next());
    for _ in 0..17 {
        out.push(char::from(LETTERS[(bits % 62) as usize]));
        bits /= 62;
    }
    out
}

pub fn inside(host: u64, v6: bool) -> String {
    if v6 { format!("fd00:10::{:x}:{:x}", host >> 8, host & 255) } else { format!("10.{}.{}.{}", 1 + (host >> 16), (host >> 8) & 255, 1 + host % 254) }
}

fn outside(remote: u64, v6: bool) -> String {
    let value = crate::random::mix(remote);
    if v6 {
        return format!("2a02:{:x}:{:x}::{:x}", value & 0xffff, (value >> 16) & 0xffff, (value >> 32) & 0xffff);
    }
    let first = [23, 34, 52, 93, 104, 142, 151, 185][(value & 7) as usize];
    format!("{first}.{}.{}.{}", (value >> 8) & 255, (value >> 16) & 255, 1 + (value >> 24) % 254)
}

const CONN: [(&str, &str); 20] = [
    ("ts", "time"), ("uid", "string"), ("id.orig_h", "addr"), ("id.orig_p", "port"), ("id.resp_h", "addr"), ("id.resp_p", "port"),
    ("proto", "enum"), ("service", "string"), ("duration", "interval"), ("orig_bytes", "count"), ("resp_bytes", "count"),
    ("conn_state", "string"), ("local_orig", "bool"), ("local_resp", "bool"), ("missed_bytes", "count"), ("history", "string"),
    ("orig_pkts", "count"), ("orig_ip_bytes", "count"), ("resp_pkts", "count"), ("resp_ip_bytes", "count"),
];
const SSL: [(&str, &str); 9] = [
    ("ts", "time"), ("uid", "string"), ("id.orig_h", "addr"), ("id.orig_p", "port"), ("id.resp_h", "addr"), ("id.resp_p", "port"),
    ("version", "string"), ("server_name", "string"), ("next_protocol", "string"),
];

/// A log in the folder: one file, or one for every hour, TSV or JSON.
struct Log {
    folder: std::path::PathBuf,
    name: &'static str,
    columns: &'static [(&'static str, &'static str)],
    json: bool,
    out: BufWriter<File>,
    hour: Option<u64>,
}

impl Log {
    fn create(folder: &Path, name: &'static str, columns: &'static [(&'static str, &'static str)], json: bool, hourly: bool) -> io::Result<Self> {
        let hour = hourly.then_some(0);
        let out = open(folder, name, columns, json, hour)?;
        Ok(Self { folder: folder.to_path_buf(), name, columns, json, out, hour })
    }

    fn write(&mut self, ts: f64, values: &[&str]) -> io::Result<()> {
        let now = ((ts - START) / 3600.0) as u64;
        if self.hour.is_some_and(|hour| hour != now) {
            self.out.flush()?;
            self.out = open(&self.folder, self.name, self.columns, self.json, Some(now))?;
            self.hour = Some(now);
        }
        if !self.json {
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    self.out.write_all(b"\t")?;
                }
                self.out.write_all(value.as_bytes())?;
            }
            return self.out.write_all(b"\n");
        }
        let mut separator = "{";
        for ((name, kind), value) in self.columns.iter().zip(values) {
            if *value == "-" {
                continue;
            }
            match *kind {
                "bool" => write!(self.out, "{separator}\"{name}\":{}", *value == "T")?,
                "string" | "addr" | "enum" => write!(self.out, "{separator}\"{name}\":\"{value}\"")?,
                _ => write!(self.out, "{separator}\"{name}\":{value}")?,
            }
            separator = ",";
        }
        self.out.write_all(b"}\n")
    }
}

fn open(folder: &Path, name: &str, columns: &[(&str, &str)], json: bool, hour: Option<u64>) -> io::Result<BufWriter<File>> {
    let file = match hour {
        Some(hour) => format!("{name}.{hour:02}:00:00-{:02}:00:00.log", hour + 1),
        None => format!("{name}.log"),
    };
    let mut out = BufWriter::with_capacity(1 << 20, File::create(folder.join(file))?);
    if !json {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let kinds: Vec<&str> = columns.iter().map(|(_, kind)| *kind).collect();
        write!(out, "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{name}\n#open\t2024-04-19-00-00-00\n")?;
        write!(out, "#fields\t{}\n#types\t{}\n", names.join("\t"), kinds.join("\t"))?;
    }
    Ok(out)
}

pub fn write(folder: &Path, scale: f64, json: bool, hourly: bool) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let all = (ROWS * scale) as u64;
    let mut conn = Log::create(folder, "conn", &CONN, json, hourly)?;
    let mut ssl = Log::create(folder, "ssl", &SSL, json, hourly)?;
    for number in 0..all {
        let r = row(number, all);
        let (ts, orig_port, resp_port) = (format!("{:.6}", r.ts), r.orig_port.to_string(), r.resp_port.to_string());
        let proto = if r.udp { "udp" } else { "tcp" };
        let [sent, received] = r.sizes.map(|size| size.to_string());
        let duration = format!("{:.6}", r.duration);
        let sizes: [&str; 3] = if r.established { [&duration, &sent, &received] } else { ["-", "-", "-"] };
        let (state, history) = match (r.established, r.udp) {
            (true, false) => ("SF", "ShADadFf"),
            (true, true) => ("SF", "Dd"),
            (false, false) => ("S0", "S"),
            (false, true) => ("S0", "D"),
        };
        let [to, from] = r.packets.map(|packets| packets.to_string());
        let [to_ip, from_ip] = [0, 1].map(|side| (r.sizes[side] + r.packets[side] * 40).to_string());
        let local = if r.resp.starts_with("10.") { "T" } else { "F" };
        conn.write(
            r.ts,
            &[
                &ts, &r.uid, &r.orig, &orig_port, &r.resp, &resp_port, proto, r.service, sizes[0], sizes[1], sizes[2], state, "T", local,
                "0", history, &to, &to_ip, &from, &from_ip,
            ],
        )?;
        if r.service.contains("ssl") {
            let name = format!("host{}.site{}.example", r.name % 3, r.name / 3);
            let (version, alpn) = if r.name % 4 == 0 { ("TLSv12", "h2") } else { ("TLSv13", "-") };
            ssl.write(r.ts, &[&ts, &r.uid, &r.orig, &orig_port, &r.resp, &resp_port, version, &name, alpn])?;
        }
    }
    conn.out.flush()?;
    ssl.out.flush()?;
    println!("{all} rows");
    Ok(())
}
