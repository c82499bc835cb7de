"""The Splunk query of the seed as SQL, clause by clause (S1–S28 of docs/rules.md); gives its rows or endpoint alerts.

The printed query does not run as it stands, so its intent is ported. Differences to the LogScale query are kept.
"""

from __future__ import annotations

from netexfil.endpoint.rules.ports import FALCON_CONNECT, FALCON_START, SYSMON_CONNECT, SYSMON_START, like

COLUMNS = ("_time", "host", "User", "Image", "CommandLine", "ParentImage", "ParentCommandLine", "EventType", "Protocol", "DestinationIp",
           "DestinationPort", "RcloneCopy", "RcloneRemote", "SuspicionScore")

# S12: search wildcards, that is prefixes of the text.
_PREFIXES = ("10.", *(f"172.{n}." for n in range(16, 32)), "192.168.", "127.")
_PRIVATE = " OR ".join(f"starts_with(coalesce(dest_ip, ''), '{prefix}')" for prefix in _PREFIXES)

# Protocol: the first that matches (S16–S23); a port stands for its text, anchored on both sides.
_PROTOCOLS = (
    (("sftp://", (22,)), "SFTP/SCP"), (("smtps", ()), "SMTPS"), (("ftps://", (990,)), "FTPS"), (("webdav", ()), "WebDAV/HTTPS"),
    (("", (443, 8443)), "HTTPS"), (("", (465, 587)), "SMTPS"), (("", (993,)), "IMAPS"),
)


def _protocol() -> str:
    whens = []
    for (word, ports), name in _PROTOCOLS:
        tests = [like("command_line", word)] if word else []
        tests += [f"dest_port IN ({', '.join(map(str, ports))})"] if ports else []
        whens.append(f"WHEN {' OR '.join(tests)} THEN '{name}'")
    return f"CASE {' '.join(whens)} ELSE 'Unknown' END"


_RCLONE = like("image", r"rclone\.exe")
_S3 = like("image", r"(rclone|winscp|pscp|psftp|sftp|scp|filezilla)\.exe")
_S4 = like("command_line", r"(\bsftp\b|\bscp\b|smtps|ftps|webdav|rclone)")
_S6 = like("image", r"(rclone|winscp|pscp|psftp|sftp|filezilla)\.exe")
_S7 = like("image", r"powershell\.exe")
_S8 = like("image", r"cmd\.exe")
_S9 = like("image", r"curl\.exe")
_S10 = like("image", r"(rclone|winscp|pscp|psftp|sftp|filezilla|curl|wget)\.exe")
SELECT = f"""
WITH sysmon AS (
  SELECT *, CASE WHEN {SYSMON_START} OR {FALCON_START} THEN 1 WHEN {SYSMON_CONNECT} OR {FALCON_CONNECT} THEN 3 END AS event_code,
    -- Sysmon's Destination is the remote side, or the local one of a TCP connection that came in (S14: no test of Initiated)
    CASE WHEN initiated IS FALSE AND proto IS DISTINCT FROM 'udp' THEN local_ip ELSE remote_ip END AS dest_ip,
    CASE WHEN initiated IS FALSE AND proto IS DISTINCT FROM 'udp' THEN local_p ELSE remote_p END AS dest_port
  FROM event
), scored AS (
  SELECT *,
    CASE WHEN {_S3} THEN 1                        -- S3
         WHEN {_S4} THEN 1 ELSE 0 END AS tool,    -- S4, S5
    CASE WHEN {_RCLONE} AND {like("command_line", "(copy|sync|move)")} THEN 1 ELSE 0 END AS "RcloneCopy",          -- S24
    CASE WHEN {_RCLONE} AND {like("command_line", "(sftp|s3|gdrive|onedrive|mega|box|dropbox|webdav)")} THEN 1 ELSE 0 END AS "RcloneRemote"  -- S25
  FROM sysmon
  WHERE (event_code = 1 AND (
           {_S6}                                      -- S6, without scp.exe
           OR ({_S7} AND {like("command_line", "(sftp|smtps|webdav|ftps|rclone|scp)")})  -- S7
           OR ({_S8} AND {like("command_line", "(sftp|scp|rclone|winscp)")})                -- S8
           OR ({_S9} AND {like("command_line", "(--ssl|--tls|https://|sftp://|ftps://)")})))  -- S9
     OR (event_code = 3 AND (
           {_S10}                            -- S10
           OR {like("command_line", "(sftp|smtps|webdav|ftps|rclone)")})                                           -- S11
         AND NOT ({_PRIVATE}))                                                                                     -- S12, S13
)
SELECT eid,
  strftime(make_timestamp(CAST(round(ts * 1000) * 1000 AS BIGINT)), '%Y-%m-%d %H:%M:%S.%g UTC') AS "_time",
  host_raw AS "host", "user" AS "User", image AS "Image",
  command_line AS "CommandLine", parent_image AS "ParentImage", parent_command_line AS "ParentCommandLine",
  CASE event_code WHEN 1 THEN 'ProcessCreate' WHEN 3 THEN 'NetworkConnect' ELSE 'Other' END AS "EventType",        -- S15
  {_protocol()} AS "Protocol",
  CASE event_code WHEN 3 THEN dest_ip END AS "DestinationIp", CASE event_code WHEN 3 THEN CAST(dest_port AS VARCHAR) END AS "DestinationPort",
  "RcloneCopy", "RcloneRemote", tool + "RcloneCopy" + "RcloneRemote" AS "SuspicionScore"
FROM scored
WHERE tool + "RcloneCopy" + "RcloneRemote" > 0 OR event_code = 3                                                   -- S26
ORDER BY ts DESC NULLS LAST, eid DESC                                                                              -- S28
"""

ALERT = f"""
SELECT eid, 'splunk' AS rule, 'Exfiltration over an asymmetric encrypted non-C2 protocol (Splunk seed)' AS title, 'high' AS severity,
  'medium' AS confidence, 'T1048.002' AS technique,
  CASE "EventType" WHEN 'ProcessCreate' THEN 'process start' ELSE 'connection to a public address' END
  || ' selected by the Splunk seed query (Protocol ' || "Protocol" || ', SuspicionScore ' || "SuspicionScore" || ')' AS reason
FROM ({SELECT})
"""
