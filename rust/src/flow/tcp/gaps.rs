//! What was delivered in order, what waits above a hole, and what was acknowledged and never seen.

use super::letters::{is_power, letter};
use super::{ABOVE_HOLE, Conversation, End, INITIAL_WINDOW, PIECES, WITHOUT_ACKS};
use crate::flow::history::History;

impl Conversation {
    pub(super) fn ack_received(&mut self, orig: bool, mut up_to: u64, history: &mut History) {
        let end = self.end(orig);
        if end.fins && up_to >= end.fin_at {
            up_to = end.fin_at.saturating_sub(1);
        }
        if up_to <= end.trimmed {
            return;
        }
        if up_to > end.delivered {
            self.undelivered(orig, up_to, history);
        }
        let end = self.end(orig);
        end.trimmed = up_to;
        deliver(end);
        self.check_eof(orig);
    }

    /// Data that was acknowledged and never seen.
    pub(super) fn undelivered(&mut self, orig: bool, up_to: u64, history: &mut History) {
        if up_to <= 2 && self.partial {
            return;
        }
        let (end, peer) = self.pair(orig);
        let told = end.clean() && peer.clean();
        let mut gaps = Vec::new();
        if !end.skip {
            while let Some((low, high)) = end.above.as_mut().and_then(|above| above.first().copied()) {
                if low >= up_to {
                    break;
                }
                if low > end.delivered {
                    gaps.push(low - end.delivered);
                }
                end.delivered = end.delivered.max(high);
                drop_first(end);
            }
            if up_to > end.delivered {
                gaps.push(up_to - end.delivered);
            }
        }
        end.delivered = end.delivered.max(up_to);
        for gap in gaps {
            if told {
                self.missed = self.missed.saturating_add(gap);
                let end = self.end(orig);
                end.gaps = end.gaps.saturating_add(1);
                if is_power(end.gaps) {
                    history.push(letter(b'G', orig));
                }
            }
        }
    }

    #[inline]
    pub(super) fn data_sent(&mut self, orig: bool, seq: u64, length: u64) {
        let (end, peer) = self.pair(orig);
        if end.skip {
            return;
        }
        let upper = seq.saturating_add(length);
        let low = seq.max(end.trimmed);
        if upper <= end.trimmed {
            return;
        }
        if low <= end.delivered && end.above.is_none() {
            end.delivered = end.delivered.max(upper);
        } else {
            insert(end, low, upper);
            deliver(end);
        }
        if end.nothing_acked() {
            if end.size(peer) > INITIAL_WINDOW && end.delivered > end.trimmed {
                end.trimmed = end.delivered;
            }
            if end.top().is_some_and(|top| top.saturating_sub(end.delivered) > ABOVE_HOLE) {
                end.above = None;
                end.skip = true;
            }
        }
        let held = end.delivered.saturating_sub(end.trimmed) + end.above.as_ref().map_or(0, |above| above.iter().map(|piece| piece.1 - piece.0).sum());
        if held > WITHOUT_ACKS {
            end.above = None;
            end.skip = true;
        }
    }
}

/// Remember data above a hole.
pub(super) fn insert(end: &mut End, low: u64, upper: u64) {
    let low = low.max(end.delivered);
    if upper <= low {
        return;
    }
    let above = end.above.get_or_insert_default();
    let begin = above.partition_point(|piece| piece.1 < low);
    let stop = above.partition_point(|piece| piece.0 <= upper);
    let joined = above.get(begin..stop).unwrap_or_default().iter().fold((low, upper), |all, piece| (all.0.min(piece.0), all.1.max(piece.1)));
    above.splice(begin..stop, [joined]);
    if above.len() > PIECES {
        end.above = None;
        end.skip = true;
    }
}

/// Deliver what follows on without a hole.
pub(super) fn deliver(end: &mut End) {
    while let Some((low, high)) = end.above.as_ref().and_then(|above| above.first().copied()) {
        if low > end.delivered {
            return;
        }
        end.delivered = end.delivered.max(high);
        drop_first(end);
    }
}

pub(super) fn drop_first(end: &mut End) {
    if let Some(above) = end.above.as_mut() {
        if !above.is_empty() {
            above.remove(0);
        }
        if above.is_empty() {
            end.above = None;
        }
    }
}
