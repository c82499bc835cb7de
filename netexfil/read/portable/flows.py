"""Packets to sessions: the table of open ones, and who began."""

from __future__ import annotations

import heapq

from netexfil.read.portable.end import ACK, SYN
from netexfil.read.portable.packets import TCP, Packet
from netexfil.read.portable.session import ATTEMPT, DNS_LOOK, DNS_PORTS, NEVER, SECOND, Ends, Session

STEP = 10 * 365 * 86_400 * SECOND  # a packet so much older: a stamp before it was wrong
SESSIONS = 500_000  # open at once, where the options do not say

# Zeek 8's likely_server_ports, and 465 and 8443, by protocol number; the core's table (a test holds them equal).
SERVER_PORTS = {
    6: {21, 22, 25, 53, 80, 81, 88, 135, 139, 143, 389, 443, 445, 465, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993, 995, 1080, 1434, 1883,
        2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 5900, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8443, 8888, 20000},
    17: {53, 67, 88, 123, 137, 161, 162, 389, 443, 514, 1812, 2123, 2152, 3268, 3544, 4789, 5060, 5072, 5353, 5355, 6081, 20000},
}  # fmt: skip


def turned(packet: Packet) -> bool:
    """Does the first packet of a session come from the responder? By the ports that Zeek calls likely servers."""
    ports = SERVER_PORTS[packet.proto]
    source, target = packet.source_port in ports, packet.target_port in ports
    if packet.proto != TCP:
        return source and not target and packet.target != b"\xff\xff\xff\xff"
    if not source or packet.flags & (SYN | ACK) == SYN:
        return False
    return not packet.flags & SYN and packet.source_port < packet.target_port if target else True


class Flows:
    """Open sessions. Finished ones are in `done`, in the order in which they ended."""

    def __init__(self, most: int | None = None) -> None:
        self.open: dict[tuple[int, Ends, Ends], Session] = {}
        self.timers: list[tuple[int, int, Session]] = []
        self.done: list[Session] = []
        self.now = -NEVER
        self.most = most or SESSIONS
        self.serial = 0

    def tick(self, time: int) -> None:
        """A new frame: what has timed out until then is done."""
        self.now = time if self.now - time > STEP else max(self.now, time)
        while self.timers and self.timers[0][0] <= self.now:
            due, _, session = heapq.heappop(self.timers)
            if session.live and session.armed == due:
                session.armed = NEVER
                if session.over(self.now):
                    self._finish(session)
                else:
                    self._arm(session)

    def add(self, packet: Packet, time: int, source: str) -> None:
        """Count a packet at its session, which begins where there is none."""
        from_, to = (packet.source, packet.source_port), (packet.target, packet.target_port)
        key = (packet.proto, min(from_, to), max(from_, to))
        session = self.open.get(key)
        if session is not None and packet.proto == TCP and session.tcp.is_reuse(packet) and session.late(session.orig == from_, packet) is None:
            self._finish(session)
            session = None
        new = session is None
        if session is None:
            session = self._create(packet, time, source)
            self.open[key] = session
        orig = session.orig == from_
        if packet.proto == TCP:
            session.take_segment(orig, packet, time)
        else:
            session.take_datagram(orig, packet, time)
        if new or packet.proto == TCP:
            self._arm(session)

    def _create(self, packet: Packet, time: int, source: str) -> Session:
        if len(self.open) >= self.most:
            self._evict()
        ends = (packet.source, packet.source_port), (packet.target, packet.target_port)
        session = Session(*ends, packet.proto, time, source, last=time)
        if turned(packet):
            session.orig, session.resp = session.resp, session.orig
            session.tcp.write("^", True)
        if packet.proto == TCP:
            session.expire = self.now + ATTEMPT
        elif session.resp[1] in DNS_PORTS:
            session.expire = self.now + DNS_LOOK
        return session

    def _arm(self, session: Session) -> None:
        due = session.due()
        if due < session.armed:
            session.armed, self.serial = due, self.serial + 1
            heapq.heappush(self.timers, (due, self.serial, session))

    def _evict(self) -> None:
        """Hand out the session that would time out first."""
        while self.timers:
            due, _, session = heapq.heappop(self.timers)
            if session.live and session.armed == due:
                session.armed = NEVER
                if session.due() > due:
                    self._arm(session)
                    continue
                session.marks |= {"early", "open"}
                self._finish(session)
                return

    def _finish(self, session: Session) -> None:
        session.live = False
        del self.open[session.proto, min(session.orig, session.resp), max(session.orig, session.resp)]
        self.done.append(session)

    def close(self) -> None:
        """The end of the input: everything still open is done."""
        for session in list(self.open.values()):
            session.marks.add("open")
            self._finish(session)
