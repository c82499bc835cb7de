"""A captured frame, and the link types that are read."""

from __future__ import annotations

from typing import NamedTuple

# LINKTYPE numbers that are read, and the names of those that the core reads besides (tcpdump.org/linktypes.html).
ETHERNET, RAW, COOKED, COOKED2 = {1}, {12, 14, 101, 228, 229}, {113}, {276}
LINKS = ETHERNET | RAW | COOKED | COOKED2
NAMES = {
    0: "NULL", 6: "IEEE802_5", 9: "PPP", 10: "FDDI", 50: "PPP_HDLC", 51: "PPP_ETHER", 104: "C_HDLC", 105: "IEEE802_11", 107: "FRELAY", 108: "LOOP",
    109: "ENC", 117: "PFLOG", 119: "IEEE802_11_PRISM", 127: "IEEE802_11_RADIOTAP", 163: "IEEE802_11_AVS", 192: "PPI", 219: "MPLS", 239: "NFLOG",
    274: "ETHERNET_MPACKET",
}  # fmt: skip


def named(link: int) -> str:
    """A link type in words."""
    return f"link type {link} ({NAMES[link]})" if link in NAMES else f"link type {link}"


class Frame(NamedTuple):
    """Nanoseconds since 1970 UTC, LINKTYPE number, bytes on the wire, bytes stored, bytes of check sequence at the end."""

    time: int
    link: int
    length: int
    data: bytes
    trailer: int = 0
