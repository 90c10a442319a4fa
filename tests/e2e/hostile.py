"""Files made to break or to exhaust whoever reads them; small to write, made on the fly."""

from __future__ import annotations

import codecs
import gzip
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .conftest import NUMBERS

ROW = f"{NUMBERS[5]},x\n".encode()
LIST = "".join(f"{line}\n" for line in ("phone,note", *(f"{n},x" for n in NUMBERS[:200]))).encode()
HEAD = b"phone,note\n"
MIB = 1 << 20


def content(*parts: bytes | tuple[bytes, int]) -> Callable[[Path], None]:
    """Writes the parts; a pair is repeated, and takes no memory before it is written."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            for part in parts:
                data, times = part if isinstance(part, tuple) else (part, 1)
                at_once = max(1, min(times, MIB // len(data)))
                file.writelines(data * at_once for _ in range(times // at_once))
                file.write(data * (times % at_once))

    return write


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def rows(mib: int) -> bytes:
    return ROW * (mib * MIB // len(ROW))


def gzip_members(path: Path) -> None:
    """Its trailer tells of the last member only."""
    path.write_bytes(gzip.compress(HEAD) + gzip.compress(rows(4), 6) * 500 + gzip.compress(ROW))


def gzip_honest_trailer(path: Path) -> None:
    path.write_bytes(gzip.compress(HEAD + rows(64), 6))


def zstd_frames(path: Path) -> None:
    path.write_bytes(zstd(HEAD) + zstd(rows(4)) * 2_000)


def zstd_claim(path: Path) -> None:
    """A frame whose header promises 2^40 bytes, and then holds one raw block."""
    header = b"\x28\xb5\x2f\xfd" + bytes([0xC0, (20 - 10) << 3]) + (1 << 40).to_bytes(8, "little")
    path.write_bytes(header + _raw_block())


def zstd_window(path: Path) -> None:
    """A frame whose window of 2^41 bytes would have to be held in memory."""
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes([0x00, (41 - 10) << 3]) + _raw_block())


def _raw_block() -> bytes:
    return (len(LIST) << 3 | 1).to_bytes(3, "little") + LIST


def _repeated(cells: list[str], counts: list[int]) -> Any:
    parts = [pa.repeat(pa.scalar(n, pa.int32()), count) for n, count in enumerate(counts)]
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(parts), pa.array(cells))


def parquet_rows(path: Path) -> None:
    """Sixteen million rows in some kilobytes, all of them one cell of a dictionary."""
    table = pa.table({"phone": _repeated([NUMBERS[5]], [4_000_000])})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(4):
            writer.write_table(table, row_group_size=4_000_000)


def parquet_dictionary(path: Path) -> None:
    """A megabyte that stands in fifty thousand rows: 50 GB."""
    table = pa.table({"phone": _repeated([NUMBERS[5], "9" * 1_000_000], [2_000, 50_000])})
    pq.write_table(table, path, store_schema=False, dictionary_pagesize_limit=1 << 30)


def parquet_delta(path: Path) -> None:
    """Every cell says: the same as the one before."""
    table = pa.table({"phone": [NUMBERS[5]] * 2_000 + ["9" * 20_000] * 5_000})
    encoding = {"phone": "DELTA_BYTE_ARRAY"}
    pq.write_table(
        table, path, use_dictionary=False, column_encoding=encoding, data_page_size=1 << 30
    )


def parquet_page(path: Path) -> None:
    table = pa.table({"phone": [*NUMBERS[:3], "9" * 140_000_000]})
    pq.write_table(table, path, use_dictionary=False, compression="zstd")


def parquet_columns(path: Path) -> None:
    columns = {f"c{n}": pa.nulls(1) for n in range(11_000)}
    pq.write_table(pa.table({"phone": NUMBERS[:1], **columns}), path)


def parquet_deep(path: Path) -> None:
    nested = pa.string()
    for _ in range(500):
        nested = pa.list_(nested)
    pq.write_table(pa.table({"phone": NUMBERS[:1], "deep": pa.array([None], nested)}), path)


def parquet_ending(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pq.write_table(pa.table({"phone": NUMBERS[:3]}), path)
        path.write_bytes(change(path.read_bytes()))

    return write


def parquet_footer(path: Path) -> None:
    """A sparse file that calls 300 million bytes of itself a footer."""
    with path.open("wb") as file:
        file.write(b"PAR1")
        file.truncate(300_000_004)
        file.seek(0, 2)
        file.write((300_000_000).to_bytes(4, "little") + b"PAR1")


def linked_in_a_circle(path: Path) -> None:
    path.symlink_to(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)  # its path may be too long for a socket's name
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


def lone_surrogate(path: Path) -> None:
    start = codecs.BOM_UTF16_LE + LIST.decode().encode("utf-16-le")
    path.write_bytes(start + b"\x00\xd8x\x00\n\x00")
