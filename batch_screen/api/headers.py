"""Headers that occur more than once; ordinary access to a mapping returns only the first."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import MultiMapping


def every(headers: Mapping[str, str], name: str) -> list[str]:
    """All values of a header, in the order in which they arrived.

    >>> from multidict import CIMultiDict
    >>> every(CIMultiDict([("Via", "a"), ("via", "b")]), "Via"), every({}, "Via")
    (['a', 'b'], [])
    """
    if isinstance(headers, MultiMapping):
        return list(headers.getall(name, []))
    return [headers[name]] if name in headers else []


def every_item(headers: Mapping[str, str], name: str) -> list[str]:
    """The items of a list header, on one line with commas or on several (RFC 9110, 5.3).

    >>> every_item({"Content-Encoding": "gzip, ,br "}, "Content-Encoding")
    ['gzip', 'br']
    """
    items = (item.strip() for line in every(headers, name) for item in line.split(","))
    return [item for item in items if item]
