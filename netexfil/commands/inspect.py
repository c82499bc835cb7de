"""What TShark sees in one session."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from netexfil.commands import common


@click.command(name="inspect")
@common.sources_argument
@click.option("--session", "uid", required=True, metavar="UID", help="Uid of the session.")
@click.option("--keylog", type=click.Path(dir_okay=False, path_type=Path), help="TLS keys (SSLKEYLOGFILE); with them contents are shown.")
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
def command(sources: tuple[str, ...], uid: str, keylog: Path | None, form: str) -> int:
    """Handshakes, certificates and algorithms of one session, and its contents where keys allow. Needs TShark and the extra `inspect`.

    \b
    Examples:
      netexfil inspect capture.pcap --session CHhAvVGS1DHFjwGM9
      netexfil inspect ring/ --session CHhAvVGS1DHFjwGM9 --keylog keys.log --format jsonl
    """
    from netexfil import inspection
    from netexfil.finding import iso
    from netexfil.report import jsonl, words

    found = inspection.inspect(sources, uid, keylog)
    for seen in found.seen:
        if form == "jsonl":
            click.echo(jsonl.line(asdict(seen)), nl=False)
            continue
        click.echo(words.visible(f"{seen.number:>6} {iso(seen.time)} {seen.source} {seen.layer}"))
        for word, value in seen.says.items():
            click.echo(words.visible(f"       {word}: {value}"))
    if form == "text":
        click.echo(f"{found.packets:,} packets, {len(found.seen):,} of them say something in clear")
    common.say(found.notes)
    return common.exit_code(found.notes)
