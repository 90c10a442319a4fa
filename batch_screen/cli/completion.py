"""``batch-screen completion``: the script with which a shell completes what is typed."""

from __future__ import annotations

import click

from batch_screen.cli.show import show_json

_COMMAND = "batch-screen"
_VARIABLE = "_BATCH_SCREEN_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def completion(context: click.Context, *, shell: str, as_json: bool) -> None:
    """Print a script that completes commands, options, endpoints and regions in SHELL.

    \b
    bash, in ~/.bashrc:  eval "$(batch-screen completion bash)"
    zsh, in ~/.zshrc:    eval "$(batch-screen completion zsh)"
    fish:                batch-screen completion fish > ~/.config/fish/completions/batch-screen.fish
    """  # noqa: D301 (click's mark for a paragraph that keeps its lines)
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}; use bash, zsh or fish")
    script = made(context.find_root().command, {}, _COMMAND, _VARIABLE).source()
    if as_json:
        import json  # noqa: PLC0415

        script = json.dumps({"shell": shell, "script": script}, indent=2)
    show_json(script)
