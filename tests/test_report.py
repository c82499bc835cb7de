"""Formats of findings: exact where a machine reads, harmless where a person does."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from report_cases import NAUGHTY, endpoint_only, finding, hostile

from netexfil import analyze, report
from netexfil.errors import Note, Unreadable
from netexfil.finding import Finding
from netexfil.report import html, saved, words


class Terminal(io.BytesIO):
    def isatty(self):
        return True


def written(findings, form, **options):
    out = io.BytesIO()
    report.write(findings, [], form, out, report.Options(**options))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_console_says_all_that_decides(width):
    shown = written([finding()], "console", width=width).decode()
    for said in (
        "91",
        "critical",
        "10.0.0.1 (ws-1)",
        "files.example.net",
        "SFTP/SCP",
        "rclone",
        "1.30 MB",
        "1,301,419 B",
        "+0.98",
        "rclone.exe [4242]",
        "alice",
        "+40",
        "5 times the threshold",
        "+30",
        "SSH banner names rclone",
        "1 finding · 1 alert",
    ):
        assert said in re.sub(r"\s+", " ", shown), said
    assert max(map(len, shown.splitlines())) <= width
    assert "\x1b" not in shown


def test_console_verbose_adds_sessions_links_and_all_evidence():
    shown = re.sub(r"\s+", " ", written([finding()], "console", verbose=True, width=100).decode())
    for said in ("CaaaaaaaaaaaaaaaA1", "a nightly job", "five_tuple 99% of 1", "rclone.exe copy", "id 0000000000000001", "2024-04-19T04:23:20.250Z"):
        assert said in shown, said


@pytest.mark.parametrize("options", [{"width": 80}, {"width": 160}, {"verbose": True}, {"plain": True}, {"plain": True, "verbose": True}])
def test_console_shows_no_control_characters_and_no_markup(options):
    shown = written([hostile()], "console", **options).decode()
    assert not NAUGHTY.search(shown.replace("\t", "")), options
    assert "\\x1b[31m" in re.sub(r"\s+", "", shown)
    assert "[red]" in re.sub(r"\s+", "", shown), "rich took data for markup"


def test_console_colours_only_where_asked(monkeypatch):
    assert b"\x1b[" in written([finding()], "console", colour=True)

    for no_color, wanted in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm")
        out = Terminal()
        report.write([finding()], [], "console", out)
        assert (b"\x1b[" in out.getvalue()) is wanted


def test_of_very_many_findings_a_terminal_shows_those_with_the_highest_scores() -> None:
    many = [finding(id=f"{n:016x}", score=float(max(35 - n // 20, 0)), host={"ip": "10.0.0.9", "name": f"host{n:05d}"}) for n in range(1000)]
    told = written(many, "console", width=140).decode()
    assert "host00199" in told
    assert "host00200" not in told
    assert "1000 findings" in told
    assert "--plain" in told
    assert len(written(many, "console", plain=True).splitlines()) == 1001


def test_console_without_findings_is_silent_in_a_pipe():
    assert written([], "console") == b""
    assert written([], "console", plain=True) == b""


def test_console_without_findings_says_on_a_terminal_where_to_look():
    out = Terminal()
    report.write([], [], "console", out)
    assert out.getvalue().startswith(b"No findings. ")
    assert b"netexfil channels" in out.getvalue()


def test_plain_is_one_line_a_finding():
    lines = written([finding(1), hostile(2)], "console", plain=True).decode().splitlines()
    assert len(lines) == 3
    assert len({line.count("\t") for line in lines}) == 1


def test_endpoint_finding_without_destination_everywhere():
    alone = endpoint_only(rate=None)
    for form in report.FORMATS:
        assert written([alone], form)


def test_jsonl_is_the_record_and_comes_back():
    findings = [finding(1), hostile(2)]
    lines = written(findings, "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(json.dumps(f.record())) for f in findings]
    assert [Finding.from_record(json.loads(line)) for line in lines] == [Finding.from_record(json.loads(json.dumps(f.record()))) for f in findings]


def test_jsonl_takes_undecodable_file_names():
    shown = json.loads(written([finding(protocol="x\udc80")], "jsonl"))
    assert shown["protocol"] == "x\\udc80"


def test_csv_defuses_formulas_and_keeps_numbers():
    evil = finding(tool={"name": "=cmd|' /C calc'!A0", "verdict": "none"}, host={"ip": "10.0.0.1", "name": "+1+1"}, pcr=-0.5)
    row = next(csv.DictReader(io.StringIO(written([evil], "csv").decode())))
    assert row["tool"] == "'=cmd|' /C calc'!A0"
    assert row["host_name"] == "'+1+1"
    assert row["pcr"] == "-0.5"
    assert not [name for name, cell in row.items() if cell[:1] in ("=", "@", "\t", "\r") or (cell[:1] in "+-" and cell and name != "pcr")]


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t=", "\r=", "\n", " =", "\u200b=", "\ufeff@", "\uff1d"])
def test_csv_defuses_a_formula_behind_what_a_reader_drops(lead):
    row = next(csv.DictReader(io.StringIO(written([finding(tool={"name": f"{lead}cmd|x", "verdict": "none"})], "csv").decode(), newline="")))
    assert row["tool"] == f"'{lead}cmd|x"


def test_parquet_of_findings(tmp_path):
    path = tmp_path / "findings.parquet"
    report.write([finding(), hostile()], [], "parquet", path)
    row = duckdb.connect().execute(f"SELECT id, evidence[1].points, links[1].event->>'pid', bytes_out.low, len(evidence) FROM '{path}' ORDER BY id").fetchone()
    assert row == ("0000000000000001", 40.0, "4242", 1301419, 4)


def test_parquet_has_every_field_of_a_finding(tmp_path):
    path = tmp_path / "findings.parquet"
    ours = Path(__file__).parent.parent / "pcaps"
    found = analyze([ours / "test2-pscp.pcap"], join=[ours / "endpoint"]).findings
    report.write(found, [], "parquet", path)
    for held in found:
        row = duckdb.connect().execute(f"SELECT to_json(f) FROM '{path}' f WHERE id = ?", [held.id]).fetchone()
        told = json.loads(json.dumps(held.record()))
        assert {name for name, value in told.items() if value not in (None, [])} <= json.loads(row[0]).keys()
        assert json.loads(row[0])["next_steps"] == told["next_steps"]


def test_notice_log_has_every_field_and_no_raw_controls():
    text = written([finding(), hostile()], "notice").decode()
    head = {line.split("\t")[0]: line.split("\t")[1:] for line in text.splitlines() if line.startswith("#")}
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert len(head["#fields"]) == len(head["#types"])
    assert [len(row) for row in rows] == [len(head["#fields"])] * 2
    shown = dict(zip(head["#fields"], rows[0], strict=True))
    assert (shown["note"], shown["src"], shown["dst"], shown["p"]) == ("Exfil::Encrypted_Upload", "10.0.0.1", "192.0.2.1", "22")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


def test_every_format_goes_to_a_path_too(tmp_path):
    for form in report.FORMATS:
        path = tmp_path / form
        report.write([finding(), hostile()], [Note("x", "gap", "y")], form, path, report.Options(width=120))
        assert path.read_bytes() == (written([finding(), hostile()], form, width=120) if form not in ("html", "parquet") else path.read_bytes())


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1301419, "1.30 MB"),
        (99949, "99.9 kB"),
        (99951, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (5 * 10**15, "5000 TB"),
        (None, "?"),
    ],
)
def test_units(count, shown):
    assert words.units(count) == shown


PULL = {"destination": {"ips": ["192.0.2.1"], "port": 22, "proto": "tcp", "name": None}, "extra": {"direction": "pull"}}


def test_a_pull_is_no_upload_to_a_port_of_the_other_end():
    found = finding(host={"ip": "10.0.0.5", "name": None}, **PULL)
    assert words.sentence(found) == "192.0.2.1 fetched 1.30 MB from port 22 of 10.0.0.5 over SFTP/SCP"
    for form in ("console", "csv", "html", "notice", "ecs", "ocsf"):
        assert "192.0.2.1:22" not in written([found], form).decode()
    assert "pulling from port 22" in written([found], "console", width=200).decode()
    document, record = json.loads(written([found], "ecs")), json.loads(written([found], "ocsf"))
    assert (document["source"]["ip"], document["source"]["bytes"], document["network"]["direction"]) == ("192.0.2.1", 12345, "inbound")
    assert (document["destination"]["ip"], document["destination"]["port"], document["destination"]["bytes"]) == ("10.0.0.5", 22, 1301419)
    channel = record["evidences"][0]
    assert (channel["src_endpoint"]["ip"], channel["dst_endpoint"], channel["connection_info"]["direction_id"]) == (
        "192.0.2.1", {"ip": "10.0.0.5", "port": 22}, 1)
    row = dict(zip(zeek_columns(written([found], "notice")), written([found], "notice").decode().splitlines()[-1].split("\t"), strict=True))
    assert (row["src"], row["dst"], row["p"]) == ("192.0.2.1", "10.0.0.5", "22")


def zeek_columns(log):
    return next(line for line in log.decode().splitlines() if line.startswith("#fields")).split("\t")[1:]


def test_the_page_counts_only_what_left():
    inside = finding(kind="endpoint", destination={"ips": ["127.0.0.1"], "port": 4443, "proto": "tcp", "name": None})
    assert html.summary([finding(), inside])["bytes"] == finding().bytes_out["low"]


@pytest.mark.parametrize("form", sorted(report.FORMATS))
def test_no_time_is_no_date(form, tmp_path):
    undated = endpoint_only(first_ts=0.0, last_ts=0.0, window="")
    made = written([finding(), undated], form)
    if form == "parquet":
        (tmp_path / "f.parquet").write_bytes(made)
        assert duckdb.sql(f"SELECT count(first_ts), count(first_time) FROM '{tmp_path}/f.parquet'").fetchall() == [(1, 1)]
    elif form not in ("ecs", "ocsf"):  # they ask for a time
        assert b"1970" not in made
    if form == "jsonl":
        (tmp_path / "f.jsonl").write_bytes(made)
        assert saved.findings(tmp_path / "f.jsonl")[0][1] == undated
    if form == "console":
        assert "no time" in written([undated], form, verbose=True).decode()


def test_bounds_are_said():
    assert words.size({"low": 0, "high": None, "quality": "unknown"}) == "unknown"
    assert words.exact({"low": 5, "high": None, "quality": "bounded"}) == "≥ 5 B"
    assert words.size({"low": 10**6, "high": 2 * 10**6, "quality": "bounded"}) == "1.00 MB – 2.00 MB"


@given(st.text())
def test_visible_text_is_printable_and_plain_text_is_kept(text):
    assert words.visible(text).isprintable()
    if text.isprintable():
        assert words.visible(text) == text


PLACES = (("duration",), ("rate",), ("host", "ip"), ("host",), ("destination", "ips"), ("links", 0, "clock_offset"), ("links", 0, "match"),
          ("links", 0, "event", "host"), ("attack",), ("attack", 0), ("next_steps", 0, "text"), ("evidence", 0, "text"), ("suppressed", "reason"),
          ("tool", "name"), ("bytes_out", "low"), ("score",), ("first_ts",))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("odd", [[1], {"a": 1}, "x", -1e11, True, None])
def test_a_saved_finding_of_any_shape_is_refused_or_shown(tmp_path, place, odd):
    steps = ({"title": "t", "language": "sh", "text": "x"},)
    record = json.loads(json.dumps(finding(next_steps=steps, suppressed={"by": "allow 1", "reason": "x", "expires": None}).record()))
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = odd
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps(record) + "\n" + json.dumps(finding().record()))
    found, notes = saved.findings(path)
    assert len(found) + len(notes) == 2
    for form in ("console", "csv", "html", "ecs", "ocsf", "notice"):
        assert written(found, form, verbose=True, width=150)


def test_saved_findings_skip_broken_lines(tmp_path):
    path = tmp_path / "f.jsonl"
    good = written([finding()], "jsonl")
    path.write_bytes(
        good
        + b"{broken\n\n"
        + good.replace(b'"critical"', b'"dreadful"')
        + b'[1]\n{"schema":2}\n'
        + good.replace(b'"first_ts":1713500600.25', b'"first_ts":1e300')
    )
    found, notes = saved.findings(path)
    assert [f.id for f in found] == ["0000000000000001"]
    assert [note.place for note in notes] == [2, 4, 5, 6, 7]
    path.write_text("nothing\n")
    with pytest.raises(Unreadable):
        saved.findings(path)


def test_report_command(tmp_path):
    from netexfil.commands.report import command

    lines, page = tmp_path / "f.jsonl", tmp_path / "r.html"
    lines.write_bytes(written([finding(), finding(2, severity="low")], "jsonl"))
    assert CliRunner().invoke(command, [str(lines), "-o", str(page), "--title", "Case <7>"], standalone_mode=False).return_value == 0
    assert "<h1>Case &lt;7&gt;</h1>" in page.read_text()
    done = CliRunner().invoke(command, [str(lines), "--format", "jsonl", "--min-severity", "medium"], standalone_mode=False)
    assert len(done.stdout.splitlines()) == 1
    done = CliRunner().invoke(command, [str(lines), "--format", "console", "-v", "--plain"], standalone_mode=False)
    assert "evidence" in done.stdout
    with lines.open("ab") as file:
        file.write(b"junk\n")
    assert CliRunner().invoke(command, [str(lines), "--format", "csv"], standalone_mode=False).return_value == 3


def test_help_does_not_import_the_writers():
    code = "import sys, netexfil.report; sys.exit(bool({'rich', 'jinja2', 'duckdb', 'orjson'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_report_command_takes_a_state_file(tmp_path):
    from netexfil import pipeline, state
    from netexfil.commands.report import command
    from netexfil.simulate import Options, simulate

    pytest.importorskip("netexfil._core", reason="the core is not built")
    capture = simulate(["test1-rclone-sftp"], tmp_path, Options(size=2_000_000))[0]
    path = tmp_path / "s.duckdb"
    state.run(path, pipeline.Job(sources=(str(capture),)), 1_795_400_000.0)
    done = CliRunner().invoke(command, [str(path), "--format", "jsonl"], standalone_mode=False)
    assert done.exception is None, done.exception
    assert [json.loads(line)["destination"]["ips"] for line in done.stdout.splitlines()] == [["192.0.2.1"]]
