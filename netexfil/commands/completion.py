"""Shell completion and the manual page, made from the commands' own help."""

from __future__ import annotations

import click

VARIABLE = "_NETEXFIL_COMPLETE"


@click.command(name="completion")
@click.argument("kind", type=click.Choice(["bash", "zsh", "fish", "man"]))
def command(kind: str) -> int:
    """A script that completes netexfil's words in your shell; or `man`, the manual page.

    \b
    Examples:
      netexfil completion bash > ~/.local/share/bash-completion/completions/netexfil
      netexfil completion zsh > ~/.zfunc/_netexfil
      netexfil completion fish > ~/.config/fish/completions/netexfil.fish
      netexfil completion man > ~/.local/share/man/man1/netexfil.1
    """
    group = click.get_current_context().find_root().command
    if not isinstance(group, click.Group):
        raise click.UsageError("completion is for the whole program")
    click.echo(manual(group) if kind == "man" else completion(group, kind))
    return 0


def completion(group: click.Group, shell: str) -> str:
    """click's own script; words are asked of the program when they are needed."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:  # the choices above are click's own
        raise click.UsageError(f"no completion for {shell}")
    return found(group, {}, "netexfil", VARIABLE).source()


def manual(group: click.Group) -> str:
    """A man(7) page: what the program is, then every command with its options."""
    from netexfil import __version__

    context = click.Context(group, info_name="netexfil")
    parts = [
        f'.TH NETEXFIL 1 "" "netexfil {__version__}" "User Commands"',
        ".SH NAME",
        r"netexfil \- what left, how much, over what, and which program sent it",
    ]
    parts += [".SH SYNOPSIS", r".B netexfil \fR[\fICOMMAND\fR] [\fIOPTIONS\fR] \fISOURCE\fR...", ".SH DESCRIPTION", _prose(group.help or "")]
    parts.append(".SH COMMANDS")
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is not None:
            parts += _command(found, f"netexfil {name}", context)
    parts += [".SH EXIT STATUS", _prose(EXIT)]
    return "\n".join(parts)


EXIT = (
    "0 done; 1 findings at or above --fail-on; 2 usage; 3 some input could not be read, the rest was analysed; 4 nothing could be read; "
    "5 the state is in use."
)


def _command(command: click.Command, name: str, parent: click.Context) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent)
    words = " ".join(part for part in command.collect_usage_pieces(context))
    parts = [f".SS {_plain(name)} {_plain(words)}", _prose(command.help or "")]
    for parameter in command.get_params(context):
        row = parameter.get_help_record(context)
        if row is not None and row[0] != "--help":
            parts += [".TP", f".B {_plain(row[0])}", _plain(row[1])]
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            if found is not None:
                parts += _command(found, f"{name} {sub}", context)
    return parts


def _prose(text: str) -> str:
    """Paragraphs; what follows click's no-wrap mark keeps its lines."""
    parts = []
    for paragraph in text.split("\n\n"):
        kept = paragraph.startswith("\b")
        body = _plain(paragraph.removeprefix("\b\n"))
        parts.append(f".PP\n.nf\n{body}\n.fi" if kept else f".PP\n{body}")
    return "\n".join(parts)


def _plain(text: str) -> str:
    """roff's own marks made harmless."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in escaped.splitlines())
