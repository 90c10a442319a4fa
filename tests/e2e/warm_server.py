"""Loads the whole package and then becomes the command, in one fork for each request.

A script: ``warm_server.py DESCRIPTOR``, of the socket that requests come from. Each brings
four descriptors: stdin, stdout, stderr, and the one to report process, exit code and
memory to.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

import batch_screen
from batch_screen.__main__ import main
from batch_screen.masking.text import mask_text
from batch_screen.reports.page import templates

_LONGEST_REQUEST = 1 << 20
_STREAMS = 3


def serve(control: socket.socket) -> None:
    """Returns in a process that shall be the command; ends when nobody is left to ask."""
    begun: dict[int, tuple[int, int]] = {}  # of each command: what to poll, its id, its report
    ready = select.poll()
    ready.register(control, select.POLLIN)
    while True:
        for descriptor, _ in ready.poll():
            if descriptor in begun:
                ready.unregister(descriptor)
                os.close(descriptor)
                _tell_end(*begun.pop(descriptor))
                continue
            message, descriptors, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, _STREAMS + 1)
            if not message:
                sys.exit()
            *streams, report = descriptors
            if not (child := os.fork()):
                control.close()
                for other in (report, *begun, *(told for _, told in begun.values())):
                    os.close(other)
                _become(json.loads(message), streams)
                return
            for stream in streams:
                os.close(stream)
            os.write(report, b"%d\n" % child)
            process = os.pidfd_open(child)
            begun[process] = child, report
            ready.register(process, select.POLLIN)


def _tell_end(child: int, report: int) -> None:
    """Reports the exit code and the memory of a process that has ended."""
    _, status, used = os.wait4(child, 0)
    with suppress(BrokenPipeError):  # nobody has waited for it
        os.write(report, b"%d %d\n" % (os.waitstatus_to_exitcode(status), used.ru_maxrss))
    os.close(report)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["command"]


def _end(code: int) -> None:
    """Ends as Python does, but takes no module apart: two thirds of a short command's CPU."""
    threading._shutdown()  # of threads that are no daemons, and of pools
    atexit._run_exitfuncs()
    sys.stdout.flush()  # if that fails, the end is Python's own
    sys.stderr.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    # Of threads: those that allocators begin when polars and pyarrow are loaded, which they
    # begin anew in a fork, and one of polars that clears away what a query has spilled.
    warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", module=__name__)
    faulthandler.enable()  # as the command's environment asks for
    for module in pkgutil.walk_packages(batch_screen.__path__, "batch_screen."):
        if module.name != "batch_screen.cluster.ray":  # an extra, with threads of its own
            import_module(module.name)
    for name in ("uvloop", "pandas", "xlsxwriter.workbook"):  # pyarrow looks for pandas
        with suppress(ImportError):  # extras
            import_module(name)
    for name in ("report.html.jinja", "pace.svg.jinja", "charts.jinja"):
        templates().get_template(name)  # what a command loads when it gets there
    mask_text("")  # what every command makes first
    gc.collect()
    gc.freeze()  # or every fork would copy what the collector touches
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may be deaf to it
    serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        _end(end.code)
    sys.exit()
