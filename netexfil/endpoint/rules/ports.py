"""What both seed queries call the same thing: which of our events stand for a Sysmon or Falcon record, and the pattern helper."""

from __future__ import annotations

# Sysmon's and Falcon's records by what the dialects made of them. Other products' process starts are left to the `netexfil` rules:
# the seeds read these two sources only (DESIGN: "Sysmon and Falcon events both pass through both where the fields allow it").
FALCON_START = "(kind = 'process_start' AND event_id IN ('ProcessRollup2', 'SyntheticProcessRollup2'))"
SYSMON_START = "(kind = 'process_start' AND event_id = '1' AND dialect <> 'ocsf')"  # OCSF counts its activities from 1, too
FALCON_CONNECT4 = "(kind = 'net_conn' AND event_id = 'NetworkConnectIP4')"
FALCON_CONNECT = "(kind = 'net_conn' AND event_id LIKE 'Network%IP_')"
SYSMON_CONNECT = "(kind = 'net_conn' AND event_id = '3' AND dialect <> 'ocsf')"


def like(column: str, pattern: str) -> str:
    """SQL for "the column matches this pattern somewhere, whatever the case"; an absent column never does."""
    quoted = pattern.replace("'", "''")
    return f"coalesce(regexp_matches({column}, '(?i){quoted}'), false)"
