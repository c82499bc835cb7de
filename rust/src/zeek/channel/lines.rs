//! Channels as JSON lines, as `netexfil/report/channels.py` writes those that come from a query (a test holds the two together).

use std::io::{Result, Write};

use super::Channel;
use super::truth::PROTOCOLS;

impl Channel {
    /// All protocols that its sessions spoke.
    #[must_use]
    pub fn protocol(&self) -> String {
        let spoken = PROTOCOLS.iter().enumerate().filter(|(bit, _)| self.sums.protocols >> bit & 1 == 1);
        spoken.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    }

    /// How sure the bytes out of its least sure session are.
    #[must_use]
    pub fn quality(&self) -> &'static str {
        ["exact", "bounded", "unknown"].get(usize::from(self.sums.quality)).copied().unwrap_or("unknown")
    }

    #[must_use]
    pub fn direction(&self) -> &'static str {
        if self.pull { "pull" } else { "out" }
    }

    #[must_use]
    pub fn transport<'a>(&self, protos: &'a [String]) -> &'a str {
        protos.get(usize::from(self.proto)).map_or("other", String::as_str)
    }

    /// The channel as one line; without its day where days are not told apart.
    ///
    /// # Errors
    /// None, into memory.
    pub fn write(&self, daily: bool, protos: &[String], out: &mut Vec<u8>) -> Result<()> {
        let sums = &self.sums;
        out.extend_from_slice(b"{\"day\":");
        if daily {
            let (year, month, day) = date(self.day.into());
            write!(out, "\"{year}-{month:02}-{day:02}\"")?;
        } else {
            out.extend_from_slice(b"null");
        }
        write!(out, ",\"inside_h\":\"{}\",\"remote_h\":\"{}\",\"remote_p\":{},\"proto\":", self.inside, self.remote, self.port)?;
        serde_json::to_writer(&mut *out, self.transport(protos))?;
        write!(out, ",\"direction\":\"{}\",\"protocol\":\"{}\",\"sessions\":{}", self.direction(), self.protocol(), sums.sessions)?;
        write!(out, ",\"bytes_out\":{},\"bytes_in\":{},\"in_unknown\":{},\"pcr\":", sums.out, sums.back, sums.blind)?;
        serde_json::to_writer(&mut *out, &self.ratio())?;
        write!(out, ",\"byte_quality\":\"{}\",\"first_ts\":", self.quality())?;
        serde_json::to_writer(&mut *out, &sums.first)?;
        out.extend_from_slice(b",\"last_ts\":");
        serde_json::to_writer(&mut *out, &sums.last)?;
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// The producer-consumer ratio, where both directions are known.
    #[allow(clippy::cast_precision_loss)] // sums above 2^53 bytes are no longer told to the byte
    fn ratio(&self) -> Option<f64> {
        let (out, back) = (self.sums.out, self.sums.back);
        let all = out.saturating_add(back);
        (self.sums.blind == 0 && self.quality() != "unknown" && all > 0).then(|| (out - back) as f64 / all as f64)
    }
}

/// Year, month and day of a day since 1970 (Gregorian; years begin in March, so that leap days end them).
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_of_the_calendar() {
        let known = [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (19_832, (2024, 4, 19)), (47_540, (2100, 2, 28)), (47_541, (2100, 3, 1))];
        for (day, expected) in known {
            assert_eq!(date(day), expected, "{day}");
        }
    }
}
