"""What a code means, or why a finding has its score."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from netexfil.commands import common


@click.command(name="explain")
@click.argument("what", required=False)
@click.argument("findings", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(what: str | None, findings: Path | None) -> int:
    """Explain an evidence CODE, or a finding: its ID and the file of findings (JSON lines) that holds it.

    \b
    Examples:
      netexfil explain                       every code, by question
      netexfil explain ledger_7d             what it asks, why, what fools it
      netexfil explain 4d3be55cd7edad60 findings.jsonl
    """
    from netexfil.detect import CODES

    if what is None:
        lines = list(_overview())
    elif what in CODES:
        lines = list(_code(what))
    elif findings is None:
        near = [code for code in CODES if what.lower() in code]
        raise click.UsageError(f"no code {what!r}" + (f"; did you mean {', '.join(near)}?" if near else "; for a finding name its file too"))
    else:
        lines = list(_finding(what, findings))
    click.echo("\n".join(common.visible(line) for line in lines))
    return 0


def _overview() -> Iterable[str]:
    from netexfil.detect import QUESTIONS

    for question in QUESTIONS:
        yield (inspect.getdoc(question) or "").split("\n")[0]
        for code in question.CODES:
            yield f"  {code.code:22s}{code.asks}"


def _code(name: str) -> Iterable[str]:
    from netexfil.defaults import THRESHOLDS
    from netexfil.detect import CODES, QUESTIONS

    code = CODES[name]
    yield f"{code.code} (family {code.family}, {code.unit})"
    yield f"  {code.asks}"
    yield f"  example: {code.example}"
    yield f"  says: {code.text}"
    for question in QUESTIONS:
        if code in question.CODES:
            yield from ("", *(inspect.getdoc(question) or "").split("\n"))
    if name in THRESHOLDS:
        held = THRESHOLDS[name]
        yield f"threshold {name}: {held.value:g} {f'x {held.share_of}' if held.share_of else held.unit}, {held.source}"


def _finding(identity: str, path: Path) -> Iterable[str]:
    record = _find(identity, path)
    target = record.get("destination") or {}
    yield f"{record['id']}  {record['severity']} {record['score']} ({record['confidence']} confidence)  {record['window']}"
    remote = target.get("name") or ", ".join(target.get("ips", []))
    yield f"  {record['host'].get('name') or record['host'].get('ip')} -> {remote} {record['protocol']}"
    for item in record["evidence"]:
        yield f"  {item['points']:+5d}  {item['text']}  [{item['code']}; {item['source']}]"
    yield f"  {sum(item['points'] for item in record['evidence']):5d}  the sum, which is the score"
    if record.get("suppressed"):
        yield f"  suppressed by {record['suppressed']['by']}: {record['suppressed']['reason']}"


def _find(identity: str, path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and str(record.get("id", "")).startswith(identity) and "evidence" in record:
                return record
    raise click.ClickException(f"{path}: no finding {identity}")
