"""Arguments in, exit code out. Only this module and `commands/` print, exit or read the clock."""

from __future__ import annotations

import importlib
import sys

import click

from netexfil import __version__
from netexfil.errors import NetexfilError

# name -> (module that holds `command`, one line of help). A command is imported when it is asked for.
COMMANDS = {
    "analyze": ("netexfil.commands.analyze", "Findings from captures and Zeek logs (the default command)."),
    "sessions": ("netexfil.commands.sessions", "Sessions, with direction, PCR, volume and rate."),
    "channels": ("netexfil.commands.channels", "What left, how much, over what: outbound sessions by channel, largest first."),
    "events": ("netexfil.commands.events", "Endpoint telemetry as normalised events, or what a rule selects."),
    "links": ("netexfil.commands.links", "Which process owned each session."),
    "carve": ("netexfil.commands.carve", "Only the packets of a finding or a session."),
    "explain": ("netexfil.commands.explain", "What a reason means, or why a finding has its score."),
    "policy": ("netexfil.commands.policy", "A commented policy file with every default; check one."),
    "evaluate": ("netexfil.commands.evaluate", "Recall, precision and confusion over labelled cases."),
    "power": ("netexfil.commands.power", "The smallest upload per host class that would be found here."),
    "simulate": ("netexfil.commands.simulate", "Captures, logs and events of made-up uploads, with their truth."),
    "inspect": ("netexfil.commands.inspect", "What TShark sees in one session."),
    "report": ("netexfil.commands.report", "Saved findings as a page, or in any other format."),
    "spark": ("netexfil.commands.spark", "The main job on Apache Spark, for archives that do not fit one machine."),
    "state": ("netexfil.commands.state", "What a state holds; forget, vacuum, export."),
    "diff": ("netexfil.commands.diff", "What is new or grown, since a time or between two states."),
    "completion": ("netexfil.commands.completion", "Shell completion, and the manual page."),
}


class Lazy(click.Group):
    """A group that imports a command only when it is asked for; words that begin with no command are sources to analyze."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in COMMANDS and args[0] not in ("--help", "--version"):
            args = ["analyze", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy)
@click.version_option(__version__, prog_name="netexfil")
def group() -> None:
    """What left, how much, over what, and which program sent it.

    \b
      netexfil zeek-logs/ --join endpoint.jsonl    the main job
      netexfil capture.pcapng                      the same from packets
      netexfil /opt/zeek/logs --state s.duckdb     the same from cron
    """


def main() -> None:
    """Console entry: runs the command and turns our own errors into one line and their exit code."""
    try:
        code = group(standalone_mode=False)
    except NetexfilError as error:
        click.echo(f"netexfil: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except OSError as error:  # mostly an output that cannot be written: no such folder, no right, no room
        from netexfil.commands import common

        click.echo("netexfil: " + common.visible(f"{error.filename or 'input or output'}: {error.strerror or error}"), err=True)
        code = 2
    except Exception as error:
        if type(error).__name__ != "OutOfMemoryException":  # DuckDB's; it is not imported for this
            raise
        click.echo("netexfil: this input needs more memory than it may take: --memory gives it more", err=True)
        code = 4
    sys.exit(code if isinstance(code, int) else 0)
