"""The page in a real browser: it filters, sorts, opens and prints, foreign text stays text, and everyone can read it."""

import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from report_cases import HOSTILE, evidence, finding, hostile, link

from netexfil import report
from netexfil.errors import Note

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
FINDINGS = [
    *(finding(n, score=90.0 - n, bytes_out={"low": n * 1000, "high": n * 1000, "quality": "exact"}) for n in range(1, 6)),
    finding(
        6, severity="low", score=20.0, protocol="FTPS", links=(), destination={"ips": ["198.51.100.9"], "port": 990, "proto": "tcp", "name": None}
    ),
    hostile(9),
]
NOTES = [Note("conn.log", "line", HOSTILE, 7), Note(HOSTILE, "gap", "packets are missing", count=3)]


class Tree(HTMLParser):
    """Flat list of (tag, attributes, text inside up to the next tag)."""

    def __init__(self, text):
        super().__init__()
        self.nodes = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.nodes.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.nodes:
            self.nodes[-1][2] += data

    def all(self, tag, **attrs):
        return [node for node in self.nodes if node[0] == tag and all(node[1].get(key.replace("_", "-")) == value for key, value in attrs.items())]


def page(folder, findings=FINDINGS, notes=NOTES):
    path = folder / "report.html"
    report.write(findings, notes, "html", path, report.Options(title="Case 7"))
    return path


def browse(path, fragment="", *more):
    """The DOM after the page's scripts ran, as text; a message on the browser's console fails."""
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={path.parent / 'profile'}",
            *more,
            "--dump-dom",
            f"file://{path}#{fragment}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def rows(dom):
    return int(re.search(r'data-rows="(\d+)"', dom)[1])


@needs_browser
def test_renders_filters_sorts_and_opens(tmp_path):
    path = page(tmp_path)
    dom = browse(path, "q=rclone.exe&sort=bytes&dir=asc&open=0000000000000002")
    tree = Tree(dom)
    assert rows(dom) == 5
    ids = [node[1]["id"] for node in tree.all("tr", **{"class": "row"})]
    assert ids == [f"f-{n:016x}" for n in range(1, 6)]
    assert len(tree.all("button", aria_expanded="true")) == 1
    opened = dom[dom.index('class="detail"') :]
    for said in (
        "5 times the threshold",
        "volume_channel",
        "a nightly job of this host",
        "CaaaaaaaaaaaaaaaA1",
        "rclone.exe copy C:\\data",
        "cmd.exe",
        "clock +2.700 s",
        "2.00 kB (2,000 B), exact",
        "endpoint.jsonl line 7",
    ):
        assert said in opened, said
    assert opened.index("cmd.exe") < opened.index("rclone.exe copy"), "the parent stands above its child"


@needs_browser
def test_other_filters_and_the_zoom(tmp_path):
    path = page(tmp_path)
    assert rows(browse(path, "sev=medium&allowed=0")) == 5
    first = FINDINGS[0].first_ts
    dom = browse(path, f"proto=SFTP%2FSCP&t={first - 1},{first + 100}")
    assert rows(dom) == 1
    assert 'id="range" role="status">2024-04-19' in dom


@needs_browser
def test_findings_stand_before_the_map_and_what_is_empty_says_so(tmp_path):
    path = page(tmp_path)
    dom = browse(path, "host=10.0.0.9&to=nobody")
    assert rows(dom) == 0
    assert "No finding passes these filters." in dom
    assert "10.0.0.9 to nobody ✕" in dom, "the chosen pair is told, and can be let go"
    assert dom.index('id="table"') < dom.index('id="map"')
    (tmp_path / "none").mkdir()
    dom = browse(page(tmp_path / "none", [], []))
    assert "No findings. What could not be read stands under data quality." in dom
    assert re.search(r'<section aria-labelledby="h-time"[^>]* hidden', dom)
    assert 'class="tile strong"' not in dom, "no alerts are no alarm"


@needs_browser
def test_hostile_text_stays_text(tmp_path):
    path = page(tmp_path, [hostile(n) for n in range(1, 4)])
    dom = browse(path, "open=0000000000000001,0000000000000002")
    tree = Tree(dom)
    assert tree.all("title")[0][2].strip() == "Case 7"
    assert not tree.all("img")
    assert len(tree.all("script")) == 2
    assert not [node for node in tree.nodes for name, value in node[1].items() if name.startswith("on") or (value or "").startswith("javascript:")]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b\x9b]", path.read_text() + dom)
    assert r"\u202egpj.exe\x1b[31m" in dom


@needs_browser
def test_the_policy_in_the_page_stops_a_script_that_slipped_in(tmp_path):
    path = page(tmp_path)
    path.write_text(path.read_text().replace("<main>", "<main><script>document.title='owned'</script><p onclick=\"document.title='owned'\">", 1))
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{path}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "<title>Case 7</title>" in done.stdout


@needs_browser
def test_a_thousand_findings_are_small_and_quick(tmp_path):
    many = [
        finding(
            n,
            links=tuple(link() for _ in range(30)),
            evidence=tuple(evidence(f"code_{i}") for i in range(8)),
            session_uids=tuple(f"C{i:017d}" for i in range(200)),
            sessions=200,
        )
        for n in range(1000)
    ]
    path = page(tmp_path, many)
    assert path.stat().st_size < 6_000_000
    ready = int(re.search(r'data-ready="(\d+)"', browse(path))[1])
    assert ready < 2000, f"{ready} ms"


@needs_browser
def test_readable_by_all(tmp_path):
    tree = Tree(browse(page(tmp_path), "open=0000000000000002"))
    assert tree.all("html")[0][1]["lang"] == "en"
    ids = [node[1]["id"] for node in tree.nodes if "id" in node[1]]
    assert len(ids) == len(set(ids))
    assert not [node for node in tree.nodes for key in ("aria-controls", "aria-labelledby") if node[1].get(key) and node[1][key] not in ids]
    assert not [node for node in tree.all("button") if not node[2].strip() and not node[1].get("aria-label")]
    labelled = {id(tree.nodes[at + 1]) for at, node in enumerate(tree.nodes[:-1]) if node[0] == "label"}
    assert not [node for node in tree.nodes if node[0] in ("input", "select") and id(node) not in labelled]
    assert not [node for node in tree.all("th") if "scope" not in node[1]]
    assert not [node for node in tree.all("svg") if node[1].get("role") != "img" or not node[1].get("aria-label")]
    levels = [int(node[0][1]) for node in tree.nodes if re.fullmatch("h[1-6]", node[0])]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert [node[0] for node in tree.nodes if node[0] in ("header", "main", "footer")] == ["header", "main", "footer"]
    assert not [node for node in tree.nodes if int(node[1].get("tabindex") or 0) > 0]


def brightness(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_contrast(theme):
    style = files("netexfil.report").joinpath("page.css").read_text()
    block = [part for part in re.findall(r"\{([^{}]*--back:[^{}]*)\}", style) if "--h0" in part][theme]
    colour = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for ink, back in [
        ("ink", "back"),
        ("ink", "panel"),
        ("ink", "code"),
        ("ink", "hover"),
        ("soft", "back"),
        ("soft", "panel"),
        ("soft", "hover"),
        ("accent", "back"),
        ("for", "panel"),
        ("against", "panel"),
        *(("on", name) for name in ("critical", "high", "medium", "low", "info")),
    ]:
        assert contrast(colour[ink], colour[back]) >= 4.5, (ink, back)
    for mark in ("for", "against", "soft", "accent", "focus", *(f"h{n}" for n in range(8))):
        assert contrast(colour[mark], colour["panel"]) >= 3, mark


def test_the_page_asks_for_nothing(tmp_path):
    text = page(tmp_path).read_text()
    assert not re.search(r"""<(link|img|iframe|object|embed|base|form)\b|@import|\burl\(|\b(src|href)=["'](?!#)""", text[: text.index('id="data"')])
    assert "default-src 'none'" in text
    block = text[text.index('id="data">') + 10 :]
    assert json.loads(block[: block.index("</script>")])[-1]["id"] == f"{9:016x}"


def test_what_was_lost_is_listed_and_readable_without_scripts(tmp_path):
    text = page(tmp_path).read_text()
    assert "packets are missing" in text
    assert "1 finding: without any endpoint event" in text
    assert (
        "10.0.0.1 (ws-1) sent 1.00 kB to files.example.net (192.0.2.1):22 over SFTP/SCP" in text[text.index("<noscript>") : text.index("</noscript>")]
    )
