"""What of one side's data was seen, and what was acknowledged without being seen: Zeek's reassembler without the data.

Positions count from the side's first byte; `end` is the side that sends, `peer` the one that acknowledges.
"""

from __future__ import annotations

from netexfil.read.portable.end import WORD, End, State

ABOVE_HOLE = INITIAL_WINDOW = 16_384
WITHOUT_ACKS = 10 * 1024 * 1024


def undelivered(end: End, peer: End, up_to: int) -> list[int]:
    """Bytes of each hole below `up_to`, which was acknowledged; none are told where an end was joined in its middle or cut off."""
    told, gaps = end.clean() and peer.clean(), []
    if not end.skip:
        while end.above and end.above[0][0] < up_to:
            low, high = end.above.pop(0)
            gaps.append(low - end.delivered)
            end.delivered = max(end.delivered, high)
        gaps.append(up_to - end.delivered)
    end.delivered = max(end.delivered, up_to)
    return [gap for gap in gaps if told and gap > 0]


def data_sent(end: End, peer: End, low: int, length: int) -> None:
    """Take `length` bytes from `low` on. What is never acknowledged is not kept in mind for ever (`WITHOUT_ACKS`, `ABOVE_HOLE`)."""
    upper = low + length
    if end.skip or upper <= end.trimmed:
        return
    low = max(low, end.trimmed)
    if low <= end.delivered and not end.above:
        end.delivered = max(end.delivered, upper)
    else:
        end.insert(low, upper)
        end.deliver()
    if end.nothing_acked():
        if end.size(peer) > INITIAL_WINDOW and end.delivered > end.trimmed:
            end.trimmed = end.delivered
        if end.above and end.above[-1][1] - end.delivered > ABOVE_HOLE:
            end.above, end.skip = [], True
    held = max(end.delivered - end.trimmed, 0) + sum(high - low for low, high in end.above)
    if held > WITHOUT_ACKS:
        end.above, end.skip = [], True


def pending(end: End, peer: End) -> bool:
    """Whether data of this side is still awaited or unacknowledged, so that it has not come to its end."""
    delivered, last = end.start + end.delivered, end.wraps * WORD + end.last
    if end.skip or last < delivered:
        return False
    if last not in (delivered, delivered + 1):
        return True
    return end.state != State.RESET and (peer.delivered > peer.trimmed or bool(peer.above))
