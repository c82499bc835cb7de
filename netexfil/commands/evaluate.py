"""Recall, precision and confusion over labelled cases."""

from __future__ import annotations

from pathlib import Path

import click

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@click.command(name="evaluate")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--volume", type=click.IntRange(min=1), default=262_144, show_default=True, help="outbound_volume in bytes; lab transfers are small.")
@click.option("--logs", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Read Zeek's logs of each capture from here instead.")
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Replace the figures in this Markdown page.")
@click.option("--min-recall", type=click.FloatRange(0, 1), help="Exit 1 where recall is below this or anything benign alerts.")
def command(folder: Path, volume: int, logs: Path | None, write: Path | None, min_recall: float | None) -> int:
    """Analyse every case in FOLDER (NAME.truth.json beside its capture) and compare with its truth.

    \b
    Examples:
      netexfil simulate all -o drill && netexfil evaluate drill
    """
    from netexfil import evaluate

    score = evaluate.evaluate(folder, volume, logs)
    text = evaluate.report(score, volume)
    if write is None:
        click.echo(text, nl=False)
    else:
        page = write.read_text(encoding="utf-8")
        head, found, rest = page.partition(BEGIN)
        _, closed, tail = rest.partition(END)
        if not (found and closed):
            raise click.ClickException(f"{write}: needs the lines {BEGIN} and {END}")
        write.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}", encoding="utf-8")
    found_, all_ = score.recall
    return int(min_recall is not None and (found_ < min_recall * all_ or bool(score.stray)))
