//! E1: Sysmon events as flat JSON lines: connections (EventID 3) that are rows of Z1, their processes (1), files (11), names (22).

use crate::zeek::{ROWS, Row, row};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const EVENTS: f64 = 1_000_000.0;
/// Hosts with an endpoint sensor; low numbers are the busy ones.
const WATCHED: u64 = 2_000;
/// Their clocks are ahead of the network sensor's.
const SKEW: f64 = 2.7;

const PROGRAMS: [&str; 8] = [
    r"C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe", r"C:\\Program Files\\Mozilla Firefox\\firefox.exe", r"C:\\Windows\\System32\\svchost.exe",
    r"C:\\Program Files\\Microsoft Office\\root\\Office16\\OUTLOOK.EXE", r"C:\\Windows\\System32\\OpenSSH\\ssh.exe", r"C:\\Users\\Public\\rclone.exe",
    r"C:\\Program Files\\Git\\mingw64\\bin\\git-remote-https.exe", r"C:\\Program Files (x86)\\WinSCP\\WinSCP.exe",
];

pub fn write(path: &Path, scale: f64) -> io::Result<()> {
    let (rows, wanted) = ((ROWS * scale) as u64, (EVENTS * scale) as u64);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut written = 0;
    for number in 0..rows {
        if written >= wanted {
            break;
        }
        let r = row(number, rows);
        if r.host >= WATCHED || r.resp_port == 53 || !r.established || number % 9 != 0 {
            continue;
        }
        written += event_group(&mut out, &r, number)?;
    }
    out.flush()?;
    println!("{written} events");
    Ok(())
}

fn event_group(out: &mut impl Write, r: &Row, number: u64) -> io::Result<u64> {
    let image = PROGRAMS[(number % 61 % 8) as usize];
    let process = 1000 + number % 60_000;
    let common = |event: u32, at: f64| {
        format!(
            "{{\"EventID\":{event},\"Channel\":\"Microsoft-Windows-Sysmon/Operational\",\"Computer\":\"WS{:05}.corp.example\",\"UtcTime\":\"{}\",\"ProcessGuid\":\"{{5b3652d7-{:04x}-{:04x}-0000-{:012x}}}\",\"ProcessId\":{process},\"Image\":\"{image}\",\"User\":\"CORP\\\\user{}\"",
            r.host, stamp(at + SKEW), number & 0xffff, (number >> 16) & 0xffff, number, r.host
        )
    };
    let proto = if r.udp { "udp" } else { "tcp" };
    let v6 = r.orig.contains(':');
    writeln!(
        out,
        "{},\"Protocol\":\"{proto}\",\"Initiated\":\"true\",\"SourceIsIpv6\":\"{v6}\",\"SourceIp\":\"{}\",\"SourcePort\":{},\"DestinationIsIpv6\":\"{v6}\",\"DestinationIp\":\"{}\",\"DestinationPort\":{}}}",
        common(3, r.ts), r.orig, r.orig_port, r.resp, r.resp_port
    )?;
    let mut count = 1;
    if number % 2 == 0 {
        writeln!(out, "{},\"CommandLine\":\"{image} --run {number}\",\"ParentImage\":\"C:\\\\Windows\\\\explorer.exe\",\"ParentProcessId\":900}}", common(1, r.ts - 1.5))?;
        count += 1;
    }
    if number % 5 == 0 {
        writeln!(out, "{},\"TargetFilename\":\"C:\\\\Users\\\\user{}\\\\AppData\\\\cache{number}.tmp\"}}", common(11, r.ts - 0.5), r.host)?;
        count += 1;
    }
    Ok(count)
}

/// `YYYY-MM-DD HH:MM:SS.mmm` (civil-from-days, Hinnant).
fn stamp(time: f64) -> String {
    let (days, rest) = ((time / 86_400.0) as i64, time % 86_400.0);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let seconds = rest as u64;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ((rest % 1.0) * 1000.0) as u64)
}
