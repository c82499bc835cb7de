"""The packets behind a finding."""

from __future__ import annotations

from pathlib import Path

import click

from netexfil.commands import common
from netexfil.errors import NetexfilError, Note
from netexfil.finding import Finding

WORST = "worst"


@click.command(name="carve")
@common.sources_argument
@click.option("--finding", "ids", multiple=True, metavar="ID", help="Id of a finding, or its first characters; `worst` is the highest score.")
@click.option("--findings", "saved", type=click.Path(dir_okay=False, path_type=Path), help="Where they are: JSON lines, or a state file.")
@click.option("--session", "uids", multiple=True, metavar="UID", help="Uid of a session; may be given again.")
@click.option("-o", "--output", required=True, help="The pcapng file to write; `-` for stdout.")
def command(sources: tuple[str, ...], ids: tuple[str, ...], saved: Path | None, uids: tuple[str, ...], output: str) -> int:
    """Only the packets of a finding or a session, siblings included, as a pcapng whose comments name the finding.

    A SOURCE is a capture (pcap, pcapng, gzip, zstd), or a directory of them, like a ring buffer. Zeek logs among the sources tell
    which packets are meant where a finding came from logs.

    \b
    Examples:
      netexfil carve ring/ --findings findings.jsonl --finding worst -o worst.pcapng
      netexfil carve capture.pcap --session CHhAvVGS1DHFjwGM9 -o session.pcapng
    """
    from netexfil import carve
    from netexfil.report import words

    if ids and saved is None:
        raise click.UsageError("--finding needs --findings FILE")
    if not ids and not uids:
        raise click.UsageError("name what to cut out: --finding ID or --session UID")
    findings, notes = _chosen(saved, ids) if saved and ids else ([], [])
    with common.Progress() as progress:
        cut = carve.carve(sources, output, findings, uids, progress)
    if output != "-":
        for session, frames in ((session, frames) for session, frames in cut.sessions if frames):
            ends = f"{session.orig_h}:{session.orig_p} > {session.resp_h}:{session.resp_p}/{session.proto}"
            click.echo(f"{session.uid}\t{frames:,} packets\t{words.visible(ends)}")
        click.echo(f"{cut.frames:,} packets, {words.units(cut.bytes)} in {output}")
    notes = [*notes, *cut.notes]
    common.say(notes)
    return common.exit_code(notes)


def _chosen(path: Path, ids: tuple[str, ...]) -> tuple[list[Finding], list[Note]]:
    """The findings of these ids; a beginning will do where only one has it."""
    from netexfil.commands.report import load

    found, notes = load(path)
    chosen = []
    for wanted in ids:
        named = [max(found, key=lambda f: f.score)] if wanted == WORST and found else [f for f in found if f.id.startswith(wanted)]
        exact = [f for f in named if f.id == wanted]
        if len(exact or named) != 1:
            raise NetexfilError(f"{path}: {'no finding' if not named else f'{len(named)} findings'} with id {wanted}")
        chosen += exact or named
    return chosen, notes
