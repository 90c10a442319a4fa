"""Scrapy at a rate, by its documentation.

The pages "AutoThrottle extension" and "Settings" say how: DOWNLOAD_DELAY is the time between
two requests to one site, at random from half to one and a half of it; AutoThrottle only ever
makes it longer, and needs a target concurrency above what the rate and the latency require;
concurrency has to be raised from its default of 8 for a site. AUTOTHROTTLE_START_DELAY would
begin at one request in five seconds. More retries than the default of 2, for a row that is
given up is a row lost.

    python spider.py customers.csv URL RATE answers.csv
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http import JsonRequest, Response


class SimSwapSpider(scrapy.Spider):
    name = "sim_swap"

    def __init__(self, source: str, url: str, **options: Any) -> None:
        super().__init__(**options)
        self.source, self.url = source, url

    async def start(self) -> AsyncIterator[Any]:
        with open(self.source, encoding="utf-8", newline="") as file:  # noqa: PTH123, ASYNC230
            for row in csv.DictReader(file):
                question = {"phoneNumber": row["phone"], "maxAge": 2400}
                yield JsonRequest(
                    self.url,
                    data=question,
                    headers={"apiKey": "sandbox-key"},
                    cb_kwargs={"row": row},
                    dont_filter=True,
                )

    def parse(self, response: Response, row: dict[str, str]) -> Iterator[dict[str, str]]:
        yield {**row, "swapped": json.loads(response.body)["swapped"]}


def settings(rate: float, target: str) -> dict[str, object]:
    """What the documentation advises for so many requests a second."""
    concurrency = max(16, int(rate / 10))
    return {
        "DOWNLOAD_DELAY": 1 / rate,
        "CONCURRENT_REQUESTS": concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": 1 / rate,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": concurrency,
        "RETRY_HTTP_CODES": "429,500,502,503,504,522,524,408",
        "RETRY_TIMES": 10,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "WARNING",
        "FEEDS": {target: {"format": "csv"}},
    }


if __name__ == "__main__":
    process = CrawlerProcess(settings(float(sys.argv[3]), sys.argv[4]))
    process.crawl(SimSwapSpider, source=sys.argv[1], url=sys.argv[2])
    process.start()
