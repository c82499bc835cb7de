"""Every other dialect: at least three records each, written here in the form the product exports, with the fields worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_endpoint_windows import rows

T = 1772600767.0  # 2026-03-04 05:06:07 UTC
ISO = "2026-03-04T05:06:07Z"

FALCON = {"aid": "a" * 32, "cid": "c", "event_platform": "Win", "timestamp": "1772600768000", "id": "i-1", "aip": "203.0.113.9"}
FDR_START = FALCON | {"event_simpleName": "ProcessRollup2", "TargetProcessId": "494725159582865908", "RawProcessId": "4711", "ParentProcessId": "12",
                      "ImageFileName": r"\Device\HarddiskVolume3\Tools\rclone.exe", "CommandLine": "rclone copy x r:", "ProcessStartTime": "1772600767.000",
                      "ParentBaseFileName": "cmd.exe", "UserSid": "S-1-5-21-9", "SHA256HashData": "ab" * 32, "SHA1HashData": "0" * 40}
FDR_CONNECT = FALCON | {"event_simpleName": "NetworkConnectIP4", "ContextProcessId": "494725159582865908", "ContextTimeStamp": "1772600767.500",
                        "LocalAddressIP4": "10.1.2.3", "LocalPort": "50123", "RemoteAddressIP4": "192.0.2.1", "RemotePort": "22", "Protocol": "6",
                        "ConnectionDirection": "0"}
DEVICE = {"Timestamp": "2026-03-04T05:06:07.1234567Z", "DeviceId": "d" * 40, "DeviceName": "ws1.corp.example", "ReportId": 9}
ACTOR = {"InitiatingProcessFileName": "curl.exe", "InitiatingProcessFolderPath": r"c:\windows\system32\curl.exe", "InitiatingProcessId": 4711,
         "InitiatingProcessCommandLine": "curl -T f https://192.0.2.1/", "InitiatingProcessCreationTime": "2026-03-04T05:06:06.0000001Z",
         "InitiatingProcessAccountName": "ada", "InitiatingProcessAccountDomain": "corp", "InitiatingProcessSHA256": "cd" * 32}
NETWORK = DEVICE | ACTOR | {"ActionType": "ConnectionSuccess", "RemoteIP": "192.0.2.1", "RemotePort": 443, "RemoteUrl": "https://drop.example/x",
                            "LocalIP": "::ffff:10.1.2.3", "LocalPort": 50123, "Protocol": "TcpV4"}
DETECT = {"metadata": {"eventType": "DetectionSummaryEvent", "eventCreationTime": 1772600770000, "offset": 5}, "event": {
    "ProcessStartTime": 1772600767, "ProcessId": 494725159582865908, "ComputerName": "WS1", "UserName": "ada", "DetectName": "Exfiltration", "Severity": 4,
    "FileName": "rclone.exe", "FilePath": r"\Device\HarddiskVolume2\Tools", "CommandLine": "rclone copy", "SensorId": "a" * 32, "LocalIP": "10.1.2.3",
    "NetworkAccesses": [
        {"AccessTimestamp": 1772600768, "Protocol": "TCP", "LocalAddress": "10.1.2.3", "LocalPort": 50123, "RemoteAddress": "192.0.2.1", "RemotePort": 22, "ConnectionDirection": 0},
        {"AccessTimestamp": 1772600769, "Protocol": "TCP", "LocalAddress": "10.1.2.3", "LocalPort": 50124, "RemoteAddress": "192.0.2.2", "RemotePort": 443, "ConnectionDirection": 0}]}}
PROCESS = {"entity_id": "YWJj", "executable": "/usr/bin/curl", "name": "curl", "pid": 4711, "args": ["curl", "-T", "f", "https://x/"], "ppid": 1}
ECS = {"@timestamp": "2026-03-04T05:06:07.000Z", "agent": {"id": "e-1", "type": "endpoint"}, "host": {"hostname": "ws1", "ip": ["10.1.2.3", "127.0.0.1"]},
       "user": {"name": "ada"}}


def event(kind: str, category: str, action: str) -> dict[str, Any]:
    return {"kind": kind, "category": [category], "action": action, "id": "x"}


CONN = {"local_ip": "10.1.2.3", "local_p": 50123, "remote_ip": "192.0.2.1", "remote_p": 22, "proto": "tcp"}
SOURCE = {"source": {"ip": "10.1.2.3", "port": 50123, "bytes": 900}, "destination": {"ip": "192.0.2.1", "port": 22, "bytes": 40}}
OCSF = {"time": 1772600767000, "device": {"hostname": "WS1", "ip": "10.1.2.3"}, "metadata": {"version": "1.1.0"}}
OSQUERY = {"name": "pack_x", "hostIdentifier": "ws1", "unixTime": "1772600767", "action": "added"}
SOCKET = {"pid": "4711", "path": "/usr/bin/scp", "local_address": "10.1.2.3", "local_port": "50123", "remote_address": "192.0.2.1", "remote_port": "22", "protocol": "6"}
FALCO = {"hostname": "ws1", "rule": "Outbound SSH", "priority": "Warning", "source": "syscall", "time": "2026-03-04T05:06:07.123456789Z", "tags": ["T1048"]}
FALCO_FIELDS = {"fd.name": "10.1.2.3:50123->192.0.2.1:22", "fd.l4proto": "tcp", "proc.name": "scp", "proc.pid": 4711, "evt.time": 1772600767123456789}
VM = {"TimeGenerated": ISO, "Computer": "WS1", "ProcessName": "java", "Protocol": "tcp", "BytesSent": 218, "BytesReceived": 1220}
HARFANG = {"@event_create_date": ISO, "@timestamp": ISO, "agent": {"hostname": "WS1", "agentid": "h-1"}, "tenant": ""}
S1 = {"event.time": 1772600767000, "endpoint.name": "WS1", "agent.uuid": "s-1", "src.process.name": "curl", "src.process.pid": 4711}
ACTIVITY = {"activityuuid": "u", "agentid": "1", "createdat": "2026-03-04 05:06:07.000", "id": "9"}
ELASTIC_ALERT = {"@timestamp": ISO, "kibana.alert.rule.name": "Upload", "kibana.alert.rule.rule_id": "r-1", "kibana.alert.severity": "high",
                 "kibana.alert.original_time": "2026-03-04T05:06:07.000Z", "host.name": "WS1", "process.pid": 4711}
PLAIN = {"ts": T, "host": "WS1"}

CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("falcon", FDR_START, {"kind": "process_start", "ts": T, "pid": 4711, "guid": "494725159582865908", "parent_guid": "12", "host_id": "a" * 32,
                           "hashes": "sha256=" + "ab" * 32, "parent_image": "cmd.exe", "user": "S-1-5-21-9"}),
    ("falcon", FDR_CONNECT, {"kind": "net_conn", "ts": T + 0.5, "initiated": True, "guid": "494725159582865908", **CONN}),
    ("falcon", FALCON | {"event_simpleName": "DnsRequest", "DomainName": "G.API.mega.co.nz", "IP4Records": "192.0.2.9;192.0.2.8;", "ContextTimeStamp": "1772600767.0"},
     {"kind": "dns", "target": "g.api.mega.co.nz", "answers": "192.0.2.9,192.0.2.8", "ts": T}),
    ("falcon", {"#event_simpleName": "NetworkReceiveAcceptIP4", "@timestamp": 1772600767000, "aid": "b", "ComputerName": "WS1", "LocalAddressIP4": "10.1.2.3",
                "LPort": "50123", "RemoteAddressIP4": "192.0.2.1", "RPort": "22", "Protocol": "6", "ConnectionDirection": "1"},
     {"kind": "net_conn", "host": "ws1", "initiated": False, "ts": T, **CONN}),
    ("falcon-streams", DETECT | {"event": DETECT["event"] | {"NetworkAccesses": []}}, {"kind": "alert", "rule_name": "Exfiltration", "severity": 3}),
    ("falcon-streams", {"metadata": {"eventType": "EppDetectionSummaryEvent"}, "event": {"ProcessStartTime": 1772600767, "Hostname": "WS1", "Name": "n", "Severity": 70,
                        "AgentId": "a", "FileName": "x.exe", "FilePath": r"\Device\HarddiskVolume3\d\x.exe"}},
     {"kind": "alert", "severity": 3, "image": r"\Device\HarddiskVolume3\d\x.exe", "host": "ws1", "ts": T}),
    ("falcon-streams", {"metadata": {"eventType": "FirewallMatchEvent"}, "event": {"HostName": "WS1", "LocalAddress": "10.1.2.3", "LocalPort": "50123", "Protocol": "6",
                        "RemoteAddress": "192.0.2.1", "RemotePort": "22", "ConnectionDirection": "1", "Timestamp": ISO}}, {"kind": "net_conn", "initiated": False, "ts": T, **CONN}),
    ("falcon-api", {"ExternalApiType": "Event_EppDetectionSummaryEvent", "cid": "c", "Hostname": "WS1", "Name": "n", "SeverityName": "Low", "ProcessStartTime": ISO,
                    "FileName": "pup app", "FilePath": "/Applications/a.app/"}, {"kind": "alert", "severity": 1, "image": "/Applications/a.app/pup app", "ts": T}),
    ("falcon-detects", {"detection_id": "ldt:1", "device": {"hostname": "WS1", "device_id": "a"}, "behaviors": [{"filename": "rclone.exe", "timestamp": ISO}],
                        "max_severity_displayname": "High"}, {"kind": "alert", "severity": 3, "image": "rclone.exe", "ts": T}),
    ("falcon-aidmaster", {"aid": "a", "ComputerName": "WS1", "AgentTimeOffset": "-5574.2", "Time": "1772600767.0"}, {"kind": "host_info", "host": "ws1", "ts": T}),
    ("falcon-assets", {"aid": "a", "cid": "c", "LocalAddressIP4": "10.1.2.3 10.9.8.7", "MAC": "02-00", "_time": "1772600767.0"}, {"host_ips": "10.1.2.3,10.9.8.7"}),
    ("falcon-userinfo", {"UserSid": "S-1-5-21-9", "UserName": "ada", "_time": "1772600767"}, {"user": "ada", "target": "S-1-5-21-9"}),
    ("falcon-other", {"cid": "c", "aid": "a", "assessments": {}}, {"kind": "other", "host_id": "a"}),
    ("logscale-other", {"@timestamp": 1772600767000, "#repo": "r", "#type": "t"}, {"kind": "other", "ts": T}),
    ("defender", {"category": "AdvancedHunting-DeviceNetworkEvents", "operationName": "Publish", "properties": NETWORK},
     {"kind": "net_conn", **CONN, "remote_p": 443, "remote_host": "drop.example", "image": r"c:\windows\system32\curl.exe", "pid": 4711, "user": r"corp\ada",
      "guid": "4711@2026-03-04T05:06:06.0000001Z", "initiated": True, "ts": T + 0.1234567}),
    ("defender", DEVICE | ACTOR | {"ActionType": "ProcessCreated", "FileName": "rclone.exe", "FolderPath": r"C:\Tools\rclone.exe", "ProcessId": 5000,
                                  "ProcessCommandLine": "rclone copy", "ProcessCreationTime": ISO, "AccountName": "ada", "AccountDomain": "corp"},
     {"kind": "process_start", "image": r"C:\Tools\rclone.exe", "pid": 5000, "parent_pid": 4711, "parent_image": r"c:\windows\system32\curl.exe", "ts": T}),
    ("defender", NETWORK | {"ActionType": "InboundConnectionAccepted", "InitiatingProcessId": 0}, {"kind": "net_conn", "initiated": False, "pid": None}),
    ("defender", DEVICE | ACTOR | {"ActionType": "FileCreated", "FileName": "rclone.conf", "FolderPath": r"C:\Users\a\rclone.conf"},
     {"kind": "file_create", "target": r"C:\Users\a\rclone.conf"}),
    ("defender-networkinfo", DEVICE | {"IPAddresses": '[{"IPAddress":"10.1.2.3","SubnetPrefix":16},{"IPAddress":"fd00::5"}]', "MacAddress": "02:00:00:00:00:01"},
     {"kind": "host_info", "host_ips": "10.1.2.3,fd00::5"}),
    ("defender-deviceinfo", DEVICE | {"PublicIP": "203.0.113.9", "LoggedOnUsers": '[{"UserName":"ada","DomainName":"CORP"}]'}, {"host_ips": None, "user": r"CORP\ada"}),
    ("defender-alert", {"Timestamp": ISO, "AlertId": "da1", "Title": "Exfil", "Severity": "High", "AttackTechniques": '["Exfiltration (T1048.002)"]'},
     {"kind": "alert", "rule_name": "Exfil", "severity": 3, "technique": "T1048.002"}),
    ("defender-evidence", {"Timestamp": ISO, "AlertId": "da1", "EntityType": "Process", "DeviceName": "ws1.corp.example", "FileName": "rclone.exe"}, {"kind": "alert", "host": "ws1"}),
    ("defender-other", {"category": "AdvancedHunting-EmailEvents", "properties": {"Timestamp": ISO}}, {"kind": "other", "ts": T}),
    ("defender-internal", {"CreatedProcessName": "rclone.exe", "InitiatingProcessName": "cmd.exe", "CreatedProcessId": "5000", "ComputerDnsName": "ws1",
                           "CreatedProcessCreationTime": "2026-03-04 05:06:07.000000000+00:00", "CreatedProcessCommandLine": "rclone copy"},
     {"kind": "process_start", "pid": 5000, "ts": T}),
    ("elastic", ECS | {"event": event("event", "process", "exec"), "process": PROCESS}, {"kind": "process_start", "pid": 4711, "guid": "YWJj", "command_line": "curl -T f https://x/", "ts": T}),
    ("elastic", ECS | {"event": event("event", "network", "disconnect_received"), "process": PROCESS, "network": {"transport": "tcp", "direction": "egress"}, **SOURCE},
     {"kind": "net_conn", "initiated": True, "bytes_out": 900, "bytes_in": 40, "host_ips": "10.1.2.3,127.0.0.1", **CONN}),
    ("elastic", ECS | {"event": event("event", "network_traffic", "network_flow"), "network": {"transport": "tcp", "direction": "ingress", "community_id": "1:x"},
                       "source": SOURCE["destination"], "destination": SOURCE["source"]},
     {"kind": "net_conn", "initiated": False, "bytes_out": 900, "bytes_in": 40, "community_id": "1:x", **CONN}),
    ("elastic", ECS | {"event": event("event", "network", "lookup_result"), "process": PROCESS, "dns": {"question": {"name": "a.example"}, "resolved_ip": ["192.0.2.1"]}},
     {"kind": "dns", "target": "a.example", "answers": "192.0.2.1"}),
    ("elastic-alert", ELASTIC_ALERT, {"kind": "alert", "rule_name": "Upload", "severity": 3, "pid": 4711, "ts": T}),
    ("elastic-alert", {"_index": "i", "_source": ELASTIC_ALERT}, {"rule_id": "r-1"}),
    ("elastic-alert", {"_index": "i", "fields": {name: [value] for name, value in ELASTIC_ALERT.items()}}, {"rule_name": "Upload", "ts": T}),
    ("ocsf", OCSF | {"class_uid": 1007, "activity_id": 1, "process": {"pid": 5000, "cmd_line": "scp f h:", "file": {"path": "/usr/bin/scp"}}, "actor": {"process": {"pid": 4711}}},
     {"kind": "process_start", "pid": 5000, "parent_pid": 4711, "image": "/usr/bin/scp", "ts": T, "host_ips": "10.1.2.3"}),
    ("ocsf", OCSF | {"class_uid": 4001, "activity_id": 1, "src_endpoint": {"ip": "10.1.2.3", "port": 50123}, "dst_endpoint": {"ip": "192.0.2.1", "port": 22},
                     "connection_info": {"protocol_num": 6, "direction_id": 2}, "actor": {"process": {"pid": 4711}}}, {"kind": "net_conn", "initiated": True, "pid": 4711, **CONN}),
    ("ocsf", OCSF | {"class_uid": 2004, "activity_id": 1, "finding_info": {"title": "Exfil", "uid": "f"}, "severity_id": 4, "evidences": [{"process": {"pid": 4711}}]},
     {"kind": "alert", "rule_name": "Exfil", "severity": 3, "pid": 4711}),
    ("osquery-sockets", OSQUERY | {"columns": SOCKET}, {"kind": "net_conn", "host": "ws1", "pid": 4711, "image": "/usr/bin/scp", "ts": T, **CONN}),
    ("osquery-sockets", OSQUERY | {"columns": SOCKET | {"syscall": "accept", "time": "1772600700"}}, {"initiated": False, "ts": T - 67}),
    ("osquery-sockets", {"name": "s", "hostIdentifier": "ws1", "unixTime": "1772600767", "action": "snapshot", "snapshot": [SOCKET]}, {"kind": "net_conn", **CONN}),
    ("osquery-processes", OSQUERY | {"columns": {"cmdline": "scp f h:", "path": "/usr/bin/scp", "pid": "4711", "parent": "1"}}, {"kind": "process_start", "parent_pid": 1}),
    ("osquery", OSQUERY | {"columns": {"value": "1"}}, {"kind": "other", "ts": T}),
    ("falco", FALCO | {"output_fields": FALCO_FIELDS}, {"kind": "alert", "rule_name": "Outbound SSH", "severity": 2, "technique": "T1048", "initiated": True, **CONN}),
    ("falco", FALCO | {"output_fields": FALCO_FIELDS | {"evt.type": "accept"}}, {"initiated": False, "local_ip": "192.0.2.1", "remote_ip": "10.1.2.3"}),
    ("falco", FALCO | {"output_fields": {"proc.cmdline": "scp f h:"}}, {"command_line": "scp f h:", "remote_ip": None, "ts": T + 0.123456}),
    ("vmconnection", VM | {"Direction": "outbound", "SourceIp": "10.1.2.3", "DestinationIp": "192.0.2.1", "RemoteIp": "192.0.2.1", "DestinationPort": 22},
     {"local_ip": "10.1.2.3", "remote_ip": "192.0.2.1", "remote_p": 22, "bytes_out": 218, "bytes_in": 1220, "initiated": True}),
    ("vmconnection", VM | {"Direction": "inbound", "SourceIp": "192.0.2.1", "DestinationIp": "10.1.2.3", "RemoteIp": "192.0.2.1", "DestinationPort": 22},
     {"local_ip": "10.1.2.3", "local_p": 22, "remote_ip": "192.0.2.1", "initiated": False}),
    ("vmconnection", VM | {"Direction": "local", "SourceIp": "127.0.0.1", "DestinationIp": "127.0.0.1", "DestinationPort": 22}, {"image": "java"}),
    ("harfanglab", HARFANG | {"log_type": "network", "saddr": "10.1.2.3", "sport": 50123, "daddr": "192.0.2.1", "dport": 22, "direction": "out", "pid": 4711},
     {"kind": "net_conn", "initiated": True, "ts": T, **CONN}),
    ("harfanglab", HARFANG | {"log_type": "process", "image_name": r"C:\rclone.exe", "pid": 4711, "commandline": "rclone copy", "ppid": 4}, {"kind": "process_start", "parent_pid": 4}),
    ("harfanglab", HARFANG | {"log_type": "alert", "rule_name": "Upload", "level": "high", "process": {"pid": 4711}}, {"kind": "alert", "severity": 3, "pid": 4711}),
    ("sentinelone-activity", ACTIVITY | {"activitytype": 3608, "data": {"rulename": "r", "severity": "E_CRITICAL", "detectedat": ISO}}, {"kind": "alert", "severity": 4, "ts": T}),
    ("sentinelone-activity", ACTIVITY | {"activitytype": "19", "data": {"computername": "WS1", "filepath": "/tmp/x", "confidencelevel": "malicious"}}, {"kind": "alert", "target": "/tmp/x"}),
    ("sentinelone-activity", ACTIVITY | {"activitytype": 90, "data": {"computername": "WS1"}}, {"kind": "other", "host": "ws1"}),
    ("sentinelone-funnel", S1 | {"event.type": "IP Connect", "src.ip.address": "10.1.2.3", "src.port.number": 50123, "dst.ip.address": "192.0.2.1", "dst.port.number": 22},
     {"kind": "net_conn", "pid": 4711, "ts": T} | {name: value for name, value in CONN.items() if name != "proto"}),
    ("sentinelone-funnel", S1 | {"event.type": "Process Creation", "tgt.process.name": "scp", "tgt.process.pid": 5000}, {"kind": "process_start", "pid": 5000, "parent_pid": 4711}),
    ("sentinelone-funnel", S1 | {"event.type": "DNS Resolved", "event.dns.request": "a.example", "event.dns.response": "192.0.2.1;"}, {"kind": "dns", "answers": "192.0.2.1"}),
    ("hayabusa", {"Timestamp": "2026-03-04 14:06:07.000 +09:00", "RuleTitle": "Net", "Level": "med", "Computer": "WS1", "Channel": "Sysmon", "EventID": 3,
                  "Details": {"Proto": "tcp", "SrcIP": "10.1.2.3", "SrcPort": 50123, "TgtIP": "192.0.2.1", "TgtPort": 22, "PID": 4711}}, {"kind": "net_conn", "severity": 2, "ts": T, **CONN}),
    ("hayabusa", {"Timestamp": ISO, "RuleTitle": "Proc", "Level": "crit", "Computer": "WS1", "Channel": "Sec", "EventID": 4688, "Details": {"CmdLine": "scp f h:", "PID": "0x1267"}},
     {"kind": "process_start", "pid": 4711, "severity": 4}),
    ("hayabusa", {"Timestamp": ISO, "RuleTitle": "Net", "Level": "low", "Computer": "WS1", "Channel": "Sysmon", "EventID": "3",
                  "Details": "Proto: tcp ¦ SrcIP: 10.1.2.3 ¦ SrcPort: 50123 ¦ TgtIP: 192.0.2.1 ¦ TgtPort: 22 ¦ PID: 4711"}, {"kind": "net_conn", "severity": 1, **CONN}),
    ("plain", PLAIN | {"kind": "net_conn", "initiated": True, **CONN}, {"kind": "net_conn", "ts": T, **CONN}),
    ("plain", PLAIN | {"kind": "process_start", "image": "/usr/bin/scp", "pid": 4711, "command_line": "scp f h:"}, {"pid": 4711, "command_line": "scp f h:"}),
    ("plain", PLAIN | {"kind": "alert", "rule_name": "r", "severity": 3}, {"kind": "alert", "severity": 3}),
    ("auditd", 'node=ws1 type=SYSCALL msg=audit(1772600767.000:9): arch=c000003e syscall=42 success=no exit=-115 ppid=1 pid=4711 uid=0 comm="scp" exe="/usr/bin/scp"\n'
               "node=ws1 type=SOCKADDR msg=audit(1772600767.000:9): saddr=02000016C00002010000000000000000",
     {"kind": "net_conn", "remote_ip": "192.0.2.1", "remote_p": 22, "pid": 4711, "ts": T}),
    ("auditd", 'type=SYSCALL msg=audit(1772600767.000:8): arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=4711 uid=0 exe="/usr/bin/scp"\n'
               'type=EXECVE msg=audit(1772600767.000:8): argc=3 a0="scp" a1=612062 a2="h:"', {"kind": "process_start", "command_line": "scp a b h:", "parent_pid": 1}),
    ("auditd", {"SyslogMessage": 'type=AUOMS_EXECVE audit(1772600767.000:7): syscall=execve success=yes ppid=1 pid=4711 user=ada exe="/usr/bin/scp" cmdline="scp f h:"',
                "Computer": "WS1", "HostIP": "10.1.2.3"}, {"kind": "process_start", "user": "ada", "host": "ws1", "host_ips": "10.1.2.3"}),
    ("windows-classic", "03/04/2026 05:06:07 AM\nLogName=Security\nEventCode=4688\nComputerName=ws1.corp.example\nRecordNumber=7\nMessage=A new process has been created.\n"
                        "\tAccount Name:\t\tada\n\tAccount Domain:\t\tCORP\n\tNew Process ID:\t\t0x1267\n\tNew Process Name:\tC:\\pscp.exe\n\tCreator Process ID:\t0xfa0\n"
                        "\tProcess Command Line:\tpscp -pw x f h:", {"kind": "process_start", "pid": 4711, "parent_pid": 4000, "user": r"CORP\ada", "ts": T, "host": "ws1"}),
]


@pytest.mark.parametrize(("dialect", "record", "wanted"), CASES, ids=[f"{name}-{n}" for n, (name, _, _) in enumerate(CASES)])
def test_dialect(tmp_path: Path, dialect: str, record: Any, wanted: dict[str, Any]) -> None:
    path = tmp_path / "events"
    path.write_text((record if isinstance(record, str) else json.dumps(record)) + "\n", "utf-8")
    got = rows(path)[0]
    assert got["dialect"] == dialect
    for name, value in wanted.items():
        assert got[name] == (pytest.approx(value, abs=1e-5) if name == "ts" else value), name


def test_every_dialect_has_a_case() -> None:
    import endpoint_made

    from netexfil.endpoint import dialect

    assert {shape.name for shape in dialect.shapes()} == {name for name, _, _ in CASES} | set(endpoint_made.CARRIERS)


def test_connections_of_a_detection_are_events_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(DETECT, indent=2) + "\n" + json.dumps(DETECT, indent=2))
    got = rows(path)
    assert [(row["kind"], row["remote_ip"], row["local_p"]) for row in got[:2]] == [("alert", "192.0.2.1", 50123), ("net_conn", "192.0.2.2", 50124)]
    assert got[0]["image"] == r"\Device\HarddiskVolume2\Tools\rclone.exe"
    assert got[0]["guid"] == "494725159582865908"  # above 2^53
    assert [row["line"] for row in got] == [1, 1, len(json.dumps(DETECT, indent=2).split("\n")) + 1] * 1 + [len(json.dumps(DETECT, indent=2).split("\n")) + 1]


def test_falcon_connections_take_image_host_and_user_from_their_process(tmp_path: Path) -> None:
    records = [FDR_CONNECT, FDR_START, {"aid": "a" * 32, "ComputerName": "WS1", "AgentTimeOffset": "0", "Time": "1772600000"},
               {"UserSid": "S-1-5-21-9", "UserName": "ada", "_time": "1772600000"}, FDR_CONNECT | {"aid": "f" * 32}]
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    got = rows(path)
    assert (got[0]["image"], got[0]["pid"], got[0]["host"], got[0]["user"]) == (FDR_START["ImageFileName"], 4711, "ws1", "ada")
    assert got[0]["command_line"] is None
    assert got[4]["image"] is None  # the same key on another host is another process
