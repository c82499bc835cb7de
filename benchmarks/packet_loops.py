"""Flow tables in Python libraries, each in the way its documentation shows, for `python -m benchmarks.packet_loops NAME FILE`."""

from __future__ import annotations

import struct
import sys
from collections import defaultdict


def dpkt(path: str) -> int:
    import dpkt as library

    flows: dict[tuple[bytes, bytes, int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    with open(path, "rb") as file:
        for _, data in library.pcap.Reader(file):
            ip = library.ethernet.Ethernet(data).data
            if not isinstance(ip, (library.ip.IP, library.ip6.IP6)):
                continue
            body = ip.data
            if isinstance(body, (library.tcp.TCP, library.udp.UDP)):
                flow = flows[(ip.src, ip.dst, body.sport, body.dport, ip.p)]
                flow[0] += 1
                flow[1] += len(body.data)
    return len(flows)


def scapy(path: str) -> int:
    from scapy.utils import RawPcapReader

    flows: dict[bytes, int] = defaultdict(int)
    for data, _ in RawPcapReader(path):
        at = 18 if data[12:14] == b"\x81\x00" else 14
        if data[at - 2 : at] == b"\x08\x00" and data[at + 9] in (6, 17):
            flows[data[at + 12 : at + 24] + data[at + 9 : at + 10]] += struct.unpack_from("!H", data, at + 2)[0]
    return len(flows)


def nfstream(path: str) -> int:
    from nfstream import NFStreamer

    return sum(1 for _ in NFStreamer(source=path, n_dissections=20, statistical_analysis=False, n_meters=1))


if __name__ == "__main__":
    print(globals()[sys.argv[1]](sys.argv[2]))
