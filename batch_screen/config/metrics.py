"""The settings of what a run leaves for Prometheus."""

from __future__ import annotations

from batch_screen.config.section import Section


class Metrics(Section):
    """Where the figures of the last start lie for node_exporter's textfile collector."""

    file: str = ""
