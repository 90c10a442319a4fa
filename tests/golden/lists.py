"""Lists of numbers that nobody has: regulators keep them free for films, books and examples."""

from __future__ import annotations

LONDON = [f"+442079460{i:03}" for i in range(1000)]
BERLIN = [f"+493023125{i:03}" for i in range(1000)]
NEW_YORK = [f"+12125550{i}" for i in range(100, 200)]
MAGIC = "+467017406"
"""A number that begins so makes the sandbox misbehave as its last two digits say."""


def csv(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def column(*numbers: str) -> str:
    """A list with nothing but numbers."""
    return csv("phone", *numbers)


def customers(numbers: list[str]) -> str:
    """Numbers with a customer's id in front."""
    return csv("customer_id,phone", *(f"C-{i:03},{n}" for i, n in enumerate(numbers, 1)))


CUSTOMERS = csv(
    "customer_id,branch,phone,country",
    "C-01,Bristol,+44 20 7946 0022,",
    "C-02,Bristol,020 7946 0066,GB",
    "C-03,Bristol,02079460054,uk",
    "C-04,Chicago,+1 212 555 0143,US",
    "C-05,Chicago,(212) 555-0160,US",
    "C-06,Bristol,020 7946 0041,GB",
    "C-07,Köln,030 23125 007,DE",
    "C-08,Bristol,0044 20 7946 0022,GB",
    "C-09,Chicago,+1 212 555 0110 ext. 4,US",
    "C-10,Köln,4.93023E+11,DE",
    "C-11,Köln,,DE",
    "C-12,Köln,030 23125 158,",
    'C-13,"Malmö, hamnen",070-174 06 05,SE',
    "C-14,Malmö,070-174 06 06,SE",
    "C-15,Malmö,070-174 06 07,SE",
    "C-16,Malmö,070-174 06 08,SE",
    "C-17,Malmö,+46701740622,SE",
    "C-18,Malmö,'+46701740644,SE",
    'C-19,Malmö,="+46701740645",SE',
    "C-20,Malmö,tel:+46-70-174-06-50,SE",
    "C-21,Bristol,442079460434,DE",
    "C-22,Bristol,+44 20 7946 0301 / +44 20 7946 0302,GB",
    "C-23,Chicago,1-212-JKL-0162,US",
    "C-24,Köln,+49 30 23125 100,DE",
    "C-25,Köln,0049 30 23125 101,DE",
    "C-26,Köln,＋４９３０２３１２５１０２,DE",
    "C-27,Köln,493023125103,DE",
    "C-28,Köln,+49 (0)30 23125 104,DE",
    "C-29,Köln,030/23125-105,DE",
    "C-30,Chicago,2125550111,US",
    "C-31,Chicago,212.555.0112,US",
    "C-32,Chicago,12125550113.0,US",
    "C-33,Köln,030 23125 100,DE",
    "C-34,Paris,01 99 00 00 14,FR",
    "C-35,Paris,+33 1 99 00 00 15,",
    "C-36,Paris,+33 6 39 98 92 95,FR",
    "C-37,Sydney,0491 570 006,AU",
    "C-38,Sydney,n/a,AU",
    "C-39,Chicago,911,US",
    "C-40,Köln,+49 30 23125 100 00000000,DE",
    "C-41,Köln,030,DE",
    "C-42,Chicago,604 555 0101,CA",
)
"""Most ways in which numbers are written, right and wrong."""
