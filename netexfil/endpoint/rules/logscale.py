"""The CrowdStrike LogScale query of the seed as SQL, clause by clause (L1–L18 of docs/rules.md); gives its rows or endpoint alerts.

The printed query does not run as it stands, so its intent is ported. Differences to the Splunk query are kept.
"""

from __future__ import annotations

from netexfil.endpoint.rules.ports import FALCON_CONNECT4, FALCON_START, SYSMON_CONNECT, SYSMON_START, like

COLUMNS = ("@timestamp", "ComputerName", "UserName", "ImageFileName", "CommandLine", "ParentImageFileName", "RemoteAddressIP4", "RemotePort",
           "DetectionType", "ToolName", "RcloneCopy", "RcloneRemote")

_TOOLS = r"(rclone|winscp|pscp|psftp|filezilla|sftp|scp|curl|wget)\.exe"
_SHELLS = r"(powershell\.exe|cmd\.exe)"
_WORDS = r"(sftp|\bscp\b|smtps|ftps|webdav|rclone|winscp)"
_PRIVATE = r"^(10\.|172\.(1[6-9]|2[0-9]|3[01])\.|192\.168\.|127\.)"

# ToolName: the first that matches (L12). WinSCP stands before SCP, whose pattern also hits winscp.exe.
_NAMES = (
    ("image", r"rclone\.exe", "Rclone"), ("image", r"winscp\.exe", "WinSCP"), ("image", r"(pscp|scp)\.exe", "SCP"),
    ("image", r"(psftp|sftp)\.exe", "SFTP"), ("image", r"filezilla\.exe", "FileZilla"),
    ("command_line", "sftp", "SFTP-via-Script"), ("command_line", "rclone", "Rclone-via-Script"),
)
_TOOL = "CASE " + " ".join(f"WHEN {like(column, pattern)} THEN '{name}'" for column, pattern, name in _NAMES) + " ELSE 'Unknown' END"
_RCLONE = like("image", r"rclone\.exe")
_REMOTE = like("command_line", "(sftp|s3|gdrive|onedrive|mega|box|dropbox|webdav)")

SELECT = f"""
WITH branch AS (
  SELECT *, CASE
    WHEN {FALCON_START} OR {SYSMON_START} THEN 'ProcessExecution'                                     -- L1, L2
    WHEN remote_ip LIKE '%:%' THEN NULL                                                               -- IP4 events only
    WHEN {FALCON_CONNECT4} THEN 'NetworkConnection'                                                   -- L1, L3
    WHEN {SYSMON_CONNECT} AND initiated IS NOT FALSE THEN 'NetworkConnection'
  END AS "DetectionType" FROM event
)
SELECT eid,
  CAST(round(coalesce(ts_rec, ts) * 1000) AS BIGINT) AS "@timestamp", host_raw AS "ComputerName", "user" AS "UserName", image AS "ImageFileName",
  command_line AS "CommandLine", parent_image AS "ParentImageFileName",
  CASE "DetectionType" WHEN 'NetworkConnection' THEN remote_ip END AS "RemoteAddressIP4",
  CASE "DetectionType" WHEN 'NetworkConnection' THEN CAST(remote_p AS VARCHAR) END AS "RemotePort",
  "DetectionType", {_TOOL} AS "ToolName",                                                             -- L12
  CASE WHEN {_RCLONE} AND {like("command_line", "(copy|sync|move)")} THEN 'true' ELSE 'false' END AS "RcloneCopy",   -- L13
  CASE WHEN {_RCLONE} AND {_REMOTE} THEN 'true' ELSE 'false' END AS "RcloneRemote"                    -- L14
FROM branch
WHERE ("DetectionType" = 'ProcessExecution' AND (                                                     -- L7
         {like("image", _TOOLS)}                                                                      -- L4 (L6 is inside L4)
         OR ({like("image", _SHELLS)} AND {like("command_line", _WORDS)})))                           -- L5
   OR ("DetectionType" = 'NetworkConnection'                                                          -- L11
       AND remote_p IN (22, 443, 465, 587, 990, 993, 8443, 21)                                        -- L8
       AND {like("image", _TOOLS)}                                                                    -- L9
       AND NOT {like("remote_ip", _PRIVATE)})                                                         -- L10
ORDER BY "@timestamp" DESC NULLS LAST, eid DESC                                                       -- L17, without the 200 row limit
"""

ALERT = f"""
SELECT eid, 'logscale' AS rule, 'Exfiltration over an asymmetric encrypted non-C2 protocol (LogScale seed)' AS title, 'high' AS severity,
  'high' AS confidence, 'T1048.002' AS technique,
  CASE "DetectionType" WHEN 'ProcessExecution' THEN 'process start selected by the LogScale seed query'
       ELSE 'connection to a public address on port ' || "RemotePort" || ' selected by the LogScale seed query' END
  || ' (ToolName ' || "ToolName" || ', RcloneCopy ' || "RcloneCopy" || ', RcloneRemote ' || "RcloneRemote" || ')' AS reason
FROM ({SELECT})
"""
