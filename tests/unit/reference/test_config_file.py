from __future__ import annotations

from batch_screen.config.load import variable_names
from reference.config_file import CONFIG, Written, read_config

TEXT = """\
# In front.

[pacing]
# How fast.
# Twice as fast. [run identity]
rate = 10.0

# Its content is part of the [run identity].
file = ""
other = 1

# By endpoint.
[pacing.by_endpoint]
# "a/b" = 5
"""


def test_what_stands_above_a_setting() -> None:
    assert read_config(TEXT) == {
        "pacing.rate": Written("How fast. Twice as fast.", "10.0"),
        "pacing.file": Written("Its content is part of the run's identity.", '""'),
        "pacing.other": Written("Its content is part of the run's identity.", "1"),
        "pacing.by_endpoint": Written("By endpoint.", "", '"a/b" = 5'),
    }


def test_the_file_of_the_repository_explains_every_setting() -> None:
    found = read_config(CONFIG.read_text("utf-8"))
    assert set(found) == set(variable_names().values())
    assert [name for name, written in found.items() if not written.comment] == []
    assert not any("[run identity]" in written.comment for written in found.values())
