"""Headers that come more than once; an ordinary look at a mapping shows the first alone."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import MultiMapping


def every(headers: Mapping[str, str], name: str) -> list[str]:
    """All values of that name, in the order in which they came.

    >>> from multidict import CIMultiDict
    >>> every(CIMultiDict([("Via", "a"), ("via", "b")]), "Via"), every({}, "Via")
    (['a', 'b'], [])
    """
    if isinstance(headers, MultiMapping):
        return list(headers.getall(name, []))
    return [headers[name]] if name in headers else []


def every_item(headers: Mapping[str, str], name: str) -> list[str]:
    """What is listed there: over commas or over several lines, which is the same (RFC 9110, 5.3).

    >>> every_item({"Content-Encoding": "gzip, ,br "}, "Content-Encoding")
    ['gzip', 'br']
    """
    items = (item.strip() for line in every(headers, name) for item in line.split(","))
    return [item for item in items if item]
