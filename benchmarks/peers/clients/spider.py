"""Scrapy at a rate, with a job folder, by its documentation.

The page "Jobs: pausing and resuming crawls" (docs.scrapy.org/en/latest/topics/jobs.html) says
how a crawl is resumed: with JOBDIR, the same command again, requests that can be pickled, and
the filter of duplicates, which keeps what it has seen there. It promises that for a job that was
*stopped cleanly*. "AutoThrottle extension" and "Settings" say how to pace: DOWNLOAD_DELAY is the
time between two requests to one site, at random from half to one and a half of it; AutoThrottle
only ever makes it longer, and needs a target concurrency above what the rate and the latency
require; concurrency has to be raised from its default of 8 for a site. "Feed exports": lines of
JSON, appended to, as is the default for local files. More retries than the default of 2, for a
lookup that is given up is a lookup lost.

    python spider.py customers.csv URL RATE answers.jsonl
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.http import JsonRequest, Response

ENDPOINTS = ("sim-swap/check", "device-swap/check")


class SwapSpider(scrapy.Spider):
    name = "swap"

    def __init__(self, source: str, url: str, **options: Any) -> None:
        super().__init__(**options)
        self.source, self.url = source, url

    async def start(self) -> AsyncIterator[Any]:
        with open(self.source, encoding="utf-8", newline="") as file:  # noqa: PTH123, ASYNC230
            for row in csv.DictReader(file):
                for endpoint in ENDPOINTS:
                    yield JsonRequest(
                        f"{self.url}/{endpoint}",
                        data={"phoneNumber": row["phone"], "maxAge": 2400},
                        headers={"apiKey": "sandbox-key"},
                        cb_kwargs={"phone": row["phone"], "endpoint": endpoint},
                    )

    def parse(self, response: Response, phone: str, endpoint: str) -> Iterator[dict[str, Any]]:
        swapped = json.loads(response.body)["swapped"]
        yield {"phone": phone, "endpoint": endpoint, "swapped": swapped}


def settings(rate: float, target: str) -> dict[str, object]:
    """What the documentation advises for so many requests a second."""
    concurrency = max(16, int(rate / 10))
    return {
        "JOBDIR": str(Path(target).with_name("job")),
        "DOWNLOAD_DELAY": 1 / rate,
        "CONCURRENT_REQUESTS": concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": 1 / rate,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": concurrency,
        "RETRY_HTTP_CODES": [429, 500, 502, 503, 504, 522, 524, 408],
        "RETRY_TIMES": 10,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "WARNING",
        "FEEDS": {target: {"format": "jsonlines"}},
    }


if __name__ == "__main__":
    process = CrawlerProcess(settings(float(sys.argv[3]), sys.argv[4]))
    process.crawl(SwapSpider, source=sys.argv[1], url=sys.argv[2])
    process.start()
