from __future__ import annotations

from collections.abc import Mapping

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from batch_screen.api.headers import every, every_item

TWICE = CIMultiDict([("Via", "a, b"), ("X", "y"), ("vIA", "c")])


@pytest.mark.parametrize("headers", [TWICE, CIMultiDictProxy(TWICE)])
def test_a_header_that_comes_more_than_once(headers: Mapping[str, str]) -> None:
    assert every(headers, "via") == ["a, b", "c"]
    assert every_item(headers, "via") == ["a", "b", "c"]
    assert every(headers, "Age") == every_item(headers, "Age") == []


def test_an_ordinary_mapping_has_one_of_each() -> None:
    assert every({"Via": "a"}, "Via") == ["a"]
    assert every({"Via": "a"}, "Age") == []
    assert every_item({"Via": " a ,, b,"}, "Via") == ["a", "b"]
