//! Which side of a session that began unseen is the server: by the ports that Zeek's scripts call likely servers.

use crate::decode::{self, Packet};
use crate::flow::tcp::{ACK, SYN};

/// `likely_server_ports` after Zeek 8's default scripts, TCP; and 465 and 8443, which are watched and not in its list.
const TCP: &[u16] = &[
    21, 22, 25, 53, 80, 81, 88, 135, 139, 143, 389, 443, 445, 465, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993, 995, 1080, 1434, 1883, 2811,
    3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 5900, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8443, 8888, 20000,
];
/// The same, UDP.
const UDP: &[u16] = &[53, 67, 88, 123, 137, 161, 162, 389, 443, 514, 1812, 2123, 2152, 3268, 3544, 4789, 5060, 5072, 5353, 5355, 6081, 20000];

/// Does the first packet of a session come from the responder?
#[must_use]
pub fn turned(packet: &Packet<'_>) -> bool {
    let (from, to) = (packet.source_port, packet.target_port);
    match packet.proto {
        decode::TCP => {
            let flags = packet.tcp.flags;
            if flags & SYN != 0 && flags & ACK == 0 || !TCP.contains(&from) {
                return false;
            }
            if TCP.contains(&to) { flags & SYN == 0 && from < to } else { true }
        }
        decode::UDP => {
            let broadcast = packet.target == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 255, 255, 255, 255];
            UDP.contains(&from) && !UDP.contains(&to) && !broadcast
        }
        _ => false,
    }
}
