"""Findings on a terminal: a table where it is wide, blocks where it is narrow, tab-separated lines with --plain. Data is never markup."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from netexfil.finding import Evidence, Finding, Link, iso
from netexfil.report import words
from netexfil.report.words import visible

if TYPE_CHECKING:
    from netexfil.errors import Note
    from netexfil.report import Options
    from netexfil.report.sink import Sink

WIDE = 116  # columns from which one row holds everything
MOST = 200  # findings shown one by one, those with the highest scores; nobody reads more here
LABEL = 100  # characters of a name in a cell; -v, --plain and the other formats show all of it
COLOURS = {"critical": "bold white on red", "high": "bold red", "medium": "bold yellow", "low": "cyan", "info": "dim"}
PLAIN = (
    "score",
    "severity",
    "first_time",
    "host",
    "destination",
    "protocol",
    "tool",
    "bytes_out_low",
    "bytes_out_high",
    "pcr",
    "process",
    "user",
    "sessions",
    "suppressed",
    "id",
    "reasons",
)


def write(findings: Sequence[Finding], _notes: Sequence[Note], out: Sink, options: Options) -> None:
    """The first `MOST` findings, and one line that counts all. Without findings a pipe stays empty, so that cron stays quiet."""
    if options.plain:
        _plain(findings, out, options)
        return
    if not findings and not out.terminal:
        return
    console = terminal(out, options)
    if findings:
        shown = findings[:MOST]
        console.print(_table(shown, options) if console.width >= WIDE and not options.verbose else _blocks(shown, options))
    console.print(_count(findings))
    show(console, out)


def terminal(out: Sink, options: Options) -> Console:
    """A rich console that renders into memory: no markup, no emoji, colours only for a terminal without NO_COLOR."""
    colour = options.colour if options.colour is not None else out.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Console(
        file=io.StringIO(),
        width=options.width or out.columns,
        force_terminal=bool(colour),
        color_system="standard" if colour else None,
        no_color=not colour,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
        soft_wrap=False,
    )


def show(console: Console, out: Sink) -> None:
    """Pass on what the console rendered, without the blanks that tables leave at line ends."""
    rendered: str = console.file.getvalue()  # type: ignore[attr-defined]
    out.text("".join(line.rstrip() + "\n" for line in rendered.splitlines()))


def _text(value: object, style: str = "", longest: int = 400) -> Text:
    """Foreign text, escaped, and cut where its length alone would drown the rest."""
    words_ = visible(value)
    return Text(words_ if len(words_) <= longest else words_[: longest - 1] + "…", style=style, overflow="fold")


def _label(value: object, style: str = "") -> Text:
    return _text(value, style, LABEL)


def _table(findings: Sequence[Finding], options: Options) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), expand=True)
    for title, settings in (
        ("score", {"justify": "right", "no_wrap": True}),
        ("host → destination", {"ratio": 5, "min_width": 26}),
        ("protocol, tool", {"ratio": 3, "min_width": 14}),
        ("bytes out", {"justify": "right", "no_wrap": True}),
        ("PCR", {"justify": "right", "no_wrap": True}),
        ("process, user", {"ratio": 4, "min_width": 16}),
        ("because", {"ratio": 8, "min_width": 30}),
    ):
        table.add_column(title, overflow="fold", **settings)
    for finding in findings:
        table.add_row(
            _score(finding),
            Group(_label(words.host(finding)), _label("→ " + words.destination(finding))),
            Group(_label(finding.protocol), _label(words.tool(finding))),
            _amount(finding),
            Text(words.signed(finding.pcr)),
            Group(*(_label(part) for part in words.owner(finding))),
            Group(*_because(finding, options)),
        )
    return table


def _score(finding: Finding) -> Text:
    label = "allowed" if finding.suppressed else finding.severity
    style = "dim" if finding.suppressed else COLOURS[finding.severity]
    return Text.assemble((f"{finding.score:.0f}", style), "\n", (label, style))


def _amount(finding: Finding) -> Text:
    if finding.kind == "endpoint" and not finding.bytes_out.get("low"):
        return Text("–")
    text = Text(words.size(finding.bytes_out))
    text.append("\n" + words.exact(finding.bytes_out), "dim")
    return text


def _because(finding: Finding, options: Options) -> list[RenderableType]:
    if options.verbose:
        return _details(finding)
    lines: list[RenderableType] = [_reason(e) for e in words.reasons(finding)]
    if finding.suppressed:
        lines.insert(0, _text(words.suppression(finding), "dim"))
    return lines


def _reason(evidence: Evidence) -> RenderableType:
    style = "red" if evidence.points > 0 else "green" if evidence.points < 0 else "dim"
    row = Table.grid(padding=(0, 1))
    row.add_column(justify="right", no_wrap=True, min_width=3)
    row.add_column(overflow="fold")
    row.add_row(Text(words.points(evidence.points), style), _text(evidence.text))
    return row


def _details(finding: Finding) -> list[RenderableType]:
    """What -v adds: every reason, the sessions, the events behind the links, the time and the id."""
    lines: list[RenderableType] = [_text(words.suppression(finding), "dim")] if finding.suppressed else []
    lines += [_reason(e) for e in finding.evidence]
    lines.append(_text(f"{words.when(finding)}, {words.span(finding.duration)}, {finding.confidence} confidence"))
    shown = ", ".join(finding.session_uids[:8]) + (f" … {len(finding.session_uids) - 8} more" if len(finding.session_uids) > 8 else "")
    lines.append(_text(f"{finding.sessions} session{'s' if finding.sessions != 1 else ''}: {shown}"))
    lines += [_link(link) for link in words.best_links(finding)[:8]]
    lines += [_text(f"next: {line}") for step in finding.next_steps for line in _step(step)]
    lines.append(_text(f"id {finding.id}", "dim"))
    return lines


def _step(step: Mapping[str, str]) -> list[str]:
    """Commands to run here in full; of queries for other consoles the title (the page and the record have them whole)."""
    return step.get("text", "").splitlines() if step.get("language") == "sh" else [step.get("title") or step.get("text") or ""]


def _link(link: Link) -> Text:
    event = link.event
    clock = "" if link.clock_offset is None else f", clock {link.clock_offset:+.3f} s"
    who = " ".join(str(event[key]) for key in ("kind", "host", "user") if event.get(key))
    head = f"{link.match} {link.confidence:.0%} of {link.candidates}{clock}: {who}"
    body = event.get("command_line") or event.get("image") or ""
    return _text(f"{head} pid {event.get('pid')}: {body}")


def _blocks(findings: Sequence[Finding], options: Options) -> Group:
    return Group(*(_block(finding, options) for finding in findings))


def _block(finding: Finding, options: Options) -> RenderableType:
    """Score at the left, everything else in short lines beside it."""
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(justify="right", min_width=8, no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    exact = (
        ""
        if finding.kind == "endpoint" and not finding.bytes_out.get("low")
        else f"{words.size(finding.bytes_out)} out ({words.exact(finding.bytes_out)})"
    )
    how = [finding.protocol, words.tool(finding), exact, f"PCR {words.signed(finding.pcr)}" if finding.pcr is not None else ""]
    process, user = words.owner(finding)
    lines: list[RenderableType] = [_text(f"{words.host(finding)} → {words.destination(finding)}", "bold"), _text(_dotted(how))]
    if process:
        lines.append(_text(f"{process}{' as ' + user if user else ''}"))
    grid.add_row(_score(finding), Group(*lines, *_because(finding, options)))
    return Padding(grid, (0, 0, 1, 0))


def _dotted(parts: Iterable[str]) -> str:
    return " · ".join(part for part in parts if part)


def _count(findings: Sequence[Finding]) -> Text:
    if not findings:
        return Text("No findings. What left all the same, by size: netexfil channels SOURCE")
    alerts = sum(f.is_alert for f in findings)
    hidden = sum(f.suppressed is not None for f in findings)
    parts = [f"{len(findings)} finding{'s' * (len(findings) != 1)}", f"{alerts} alert{'s' * (alerts != 1)}", f"{hidden} allowed" if hidden else ""]
    if len(findings) > MOST:
        parts.append(f"shown are the {MOST} with the highest scores; all: --plain, or --format jsonl")
    return Text(_dotted(parts))


def _plain(findings: Sequence[Finding], out: Sink, options: Options) -> None:
    """A header and one tab-separated line a finding, whole values, for grep and awk; -v adds the other lines indented below."""
    if findings:
        out.text("\t".join(PLAIN) + "\n")
    for finding in findings:
        process, user = words.owner(finding)
        because = "; ".join(f"{words.points(e.points)} {e.text}" for e in words.reasons(finding))
        amount = finding.bytes_out
        cells = (
            f"{finding.score:g}",
            finding.severity,
            iso(finding.first_ts) if finding.dated else words.UNDATED,
            words.host(finding),
            words.destination(finding),
            finding.protocol,
            words.tool(finding),
            amount.get("low"),
            amount.get("high"),
            words.signed(finding.pcr),
            process,
            user,
            finding.sessions,
            words.suppression(finding),
            finding.id,
            because,
        )
        out.text("\t".join("" if cell is None else visible(cell) for cell in cells) + "\n")
        if options.verbose:
            _plain_details(finding, out)


def _plain_details(finding: Finding, out: Sink) -> None:
    for evidence in finding.evidence:
        out.text(f"\tevidence\t{words.points(evidence.points)}\t{visible(evidence.code)}\t{visible(evidence.text)}\n")
    for uid in finding.session_uids:
        out.text(f"\tsession\t{visible(uid)}\n")
    for link in words.best_links(finding):
        out.text(f"\tlink\t{_link(link).plain}\n")
