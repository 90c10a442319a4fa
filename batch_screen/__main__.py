"""The command ``batch-screen``, which is also ``python -m batch_screen``."""

import gc
import signal


def main() -> None:
    """Loads and runs the command; Ctrl-C while it loads exits without a traceback."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not where the shell has switched it off
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from batch_screen.cli.main import main as command  # noqa: PLC0415 (takes a tenth of a second)

    signal.signal(signal.SIGINT, before)
    try:
        command()
    finally:
        gc.freeze()  # or the end looks through a million objects for garbage: a third of a second


if __name__ == "__main__":
    main()
