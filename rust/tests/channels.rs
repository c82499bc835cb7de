//! Rows summed by channel: those of the plain kind, read as they stand in their block, give what the general way gives.

use std::collections::HashMap;
use std::sync::Arc;

use netexfil_core::zeek::{self, Channels, FIELDS, Field, File, Keep, Kind, Log, Order, Plan, Tally};
use proptest::prelude::*;
use proptest::sample::select;

fn plan(sums: &Arc<Channels>) -> Plan {
    let kind = |name: &str| match name {
        "ts" => Kind::Time,
        "orig_h" | "resp_h" => Kind::Addr,
        "orig_p" | "resp_p" => Kind::Port,
        "uid" | "service" | "history" => Kind::Str,
        "proto" => Kind::Proto,
        "duration" => Kind::Float,
        _ => Kind::Int,
    };
    let called = |name: &str| if name.ends_with("_h") || name.ends_with("_p") { format!("id_{name}") } else { name.to_owned() };
    let field = |name: &&str| Field { name: (*name).into(), kind: kind(name), names: vec![called(name)], required: false, filled: false };
    Plan {
        logs: vec![Log { name: "conn".into(), fields: FIELDS.iter().map(field).collect() }],
        places: HashMap::from([("conn".into(), 0)]),
        words: vec!["conn".into(), "dns".into()],
        names: vec!["_path".into()],
        keep: Keep::new(&["10.0.0.0/8".into(), "fd00::/8".into()], &["127.0.0.0/8".into(), "2001:db8::/32".into()], vec![22, 443], false),
        channels: Some(Arc::clone(sums)),
        ..Plan::default()
    }
}

/// What a log adds up to: its channels, whether they are in doubt, the account of its lines.
fn summed(text: &str, json: bool, daily: bool, general: bool) -> (Vec<String>, bool, Tally) {
    let mut sums = Channels::new(100_000, daily);
    sums.general = general;
    let sums = Arc::new(sums);
    let file = File { path: "conn.log".into(), json, name: "conn".into(), start: 0, end: None };
    let (_, tally) = zeek::text(plan(&sums), &file, text.as_bytes());
    let mut order = Order::new(&sums, None);
    let channels = order.next(usize::MAX);
    assert_eq!(channels.len() as u64, order.totals.channels);
    assert_eq!(channels.iter().map(|one| u64::from(one.sums.sessions)).sum::<u64>(), order.totals.sessions);
    (channels.iter().map(|one| format!("{one:?}")).collect(), sums.doubtful(), tally)
}

const NAMES: [&str; 20] = [
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state",
    "local_orig", "local_resp", "missed_bytes", "history", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes",
];

fn header() -> String {
    format!("#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\t{}\n", NAMES.join("\t"))
}

/// A row whose cells are plain but for a few.
fn row() -> impl Strategy<Value = Vec<String>> {
    let host = select(vec!["10.1.2.3", "10.1.26.128", "10.200.100.200", "192.168.100.100", "127.0.0.1"]);
    let server = select(vec!["203.0.113.9", "8.8.8.8", "185.203.67.246", "10.9.9.9"]);
    let v6 = (select(vec!["fd00::1", "fd00:10::2:c5", "fd00:1111:2222:3333:4444:5555:6666:7777"]), select(vec!["2a02:676d:e72c::ac98", "2001:db8::1"]));
    let ends = prop_oneof![4 => (host, server), 1 => v6];
    let times = (1_713_484_799_000_000_u64..1_713_484_801_000_000, 0_u64..40_000_000_000);
    let words = (select(vec!["tcp", "tcp", "udp", "icmp"]), select(vec!["ssl", "-", "http", "quic,ssl", "ssh", "ftp-data", "gssapi,smb,ssl", "(empty)", "-ssl"]));
    let counts = (0_u64..200_000, 0_u64..200_000, 0_u64..300, 0_u64..300);
    let history = select(vec!["ShADadFf", "S", "Dd", "^hadf", "DA", "ShACad", "Cc", "-", "Sh\\x43"]);
    let state = (counts, history, any::<bool>());
    let odd = proptest::option::weighted(0.3, (0..20_usize, select(vec!["-", "", "x", "0", "9", "1.5", "(empty)", "\\x31", "123456789012", "a b", "::ffff:10.0.0.1"])));
    (ends, select(vec!["443", "22", "80", "8443"]), words, times, state, odd).prop_map(|((orig, resp), port, (proto, service), (ts, long), state, odd)| {
        let ((out, back, sent, got), history, plain) = state;
        let ip = |bytes: u64, pkts: u64| if plain { bytes + pkts * 60 + 40 } else { bytes + pkts * 20 };
        let seconds = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let mut cells: Vec<String> = [orig, "50000", resp, port, proto, service].map(str::to_owned).into();
        cells.splice(0..0, [seconds(ts), format!("C{ts}")]);
        cells.extend([seconds(long), out.to_string(), back.to_string()]);
        cells.extend(["SF", "T", "F", "0", history].map(str::to_owned));
        cells.extend([sent, ip(out, sent), got, ip(back, got)].map(|count| count.to_string()));
        if let Some((at, text)) = odd {
            cells[at] = text.to_owned();
        }
        cells
    })
}

fn json(cells: &[String], spaced: bool) -> String {
    let bare = |name: &str| !matches!(name, "uid" | "id.orig_h" | "id.resp_h" | "proto" | "service" | "conn_state" | "history");
    let set = NAMES.iter().zip(cells).filter(|(_, cell)| *cell != "-");
    let member = |(name, cell): (&&str, &String)| match *name {
        "local_orig" | "local_resp" => format!("\"{name}\":{}", cell == "T"),
        name if bare(name) => format!("\"{name}\":{cell}"),
        name => format!("\"{name}\":\"{cell}\""),
    };
    format!("{{{}}}", set.map(member).collect::<Vec<_>>().join(if spaced { ", " } else { "," }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn plain_rows_give_what_the_general_way_gives(
        rows in proptest::collection::vec(row(), 1..40),
        ends in proptest::collection::vec(select(vec!["\n", "\n", "\n", "\n", "\r\n", "\n\n", "\t1\n", "\n#close\n"]), 40),
        daily: bool,
    ) {
        let lines = rows.iter().zip(&ends).map(|(cells, end)| cells.join("\t") + end);
        let text = header() + &lines.collect::<String>();
        prop_assert_eq!(summed(&text, false, daily, false), summed(&text, false, daily, true));
        let cut = &text[..text.len() - text.len() % 7];
        prop_assert_eq!(summed(cut, false, daily, false), summed(cut, false, daily, true));
    }

    #[test]
    fn plain_json_rows_give_what_the_general_way_gives(
        rows in proptest::collection::vec((row(), any::<bool>(), 0..20_usize), 1..40),
        tails in proptest::collection::vec(select(vec!["\n", "\n", "\n", "\n", "\r\n", "\n\n", " \n", "x\n", ",\"_path\":\"dns\"}\n"]), 40),
        daily: bool,
    ) {
        let line = |(cells, spaced, cut): &(Vec<String>, bool, usize), end: &&str| {
            let mut line = json(cells, *spaced);
            if end.starts_with(',') {
                line.pop();
            }
            if *cut == 1 {
                line.truncate(line.len() / 2);
            }
            line + end
        };
        let text: String = rows.iter().zip(&tails).map(|(row, end)| line(row, end)).collect();
        prop_assert_eq!(summed(&text, true, daily, false), summed(&text, true, daily, true));
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Sums do not depend on when equal rows are looked for.
    #[test]
    fn many_rows_of_few_channels(spread in select(vec![1_u64, 90, 4000, 20_000]), daily: bool) {
        let row = |number: u64| {
            let (host, port) = (number * 7919 % spread, if number % 3 == 0 { 22 } else { 443 });
            let start = 1_713_484_000 + number % 2000;
            let address = format!("10.{}.{}.{}", host >> 16 & 255, host >> 8 & 255, host & 255);
            format!("{start}.000001\tC{number}\t{address}\t{}\t8.8.8.8\t{port}\ttcp\tssl\t1.500000\t900\t80\tSF\tT\tF\t0\tSh\t2\t1000\t2\t180\n", number % 60_000)
        };
        let text = header() + &(0..9_000).map(row).collect::<String>();
        let (channels, _, tally) = summed(&text, false, daily, false);
        prop_assert_eq!(tally.rows, 9_000);
        let expected: std::collections::HashSet<_> = (0..9_000).map(|n| (n * 7919 % spread, n % 3 == 0, daily && 1_713_484_000 + n % 2000 >= 1_713_484_800)).collect();
        prop_assert_eq!(channels.len(), expected.len());
    }
}
