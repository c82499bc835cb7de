//! ICMP: requests with their answers, and messages that have none.

use super::ip::{ICMP, ICMP6, Ip, blank};
use super::{Context, Sink};
use crate::bytes::{after, array, first};

/// Request and answer types: one session for both.
const ECHOES: &[(u8, u8, u8)] = &[
    (ICMP, 8, 0),
    (ICMP, 13, 14),
    (ICMP, 15, 16),
    (ICMP, 10, 9),
    (ICMP, 17, 18),
    (ICMP6, 128, 129),
    (ICMP6, 133, 134),
    (ICMP6, 135, 136),
    (ICMP6, 130, 131),
    (ICMP6, 139, 140),
    (ICMP6, 144, 145),
];

pub(super) fn icmp<S: Sink>(ip: &Ip, data: &[u8], context: Context, sink: &mut S) {
    let Some([kind, code]) = array::<2>(data, 0) else { return };
    if data.len() < 8 || ip.payload() < 8 {
        return;
    }
    let answer = ECHOES.iter().find_map(|&(proto, ask, reply)| match kind {
        _ if proto != ip.proto => None,
        kind if kind == ask => Some(reply),
        kind if kind == reply => Some(ask),
        _ => None,
    });
    let mut packet = blank(ip, context);
    packet.one_way = answer.is_none();
    packet.source_port = u16::from(kind);
    packet.target_port = u16::from(answer.unwrap_or(code));
    let length = ip.payload() - 8;
    packet.length = u32::try_from(length).unwrap_or(u32::MAX);
    packet.payload = first(after(data, 8), length);
    sink.packet(&packet);
}
