"""Zip archives: the one list in them, and workbooks, which are zip archives, too."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, BinaryIO

from batch_screen.errors import InputError, empty_input
from batch_screen.input.files import translated
from batch_screen.input.layout import shown
from batch_screen.input.limits import Caps
from batch_screen.input.names import is_no_list

ZIP = b"PK\x03\x04"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
_OPEN_DOCUMENT = b"application/vnd.oasis.opendocument."
_DOCUMENTS = {"word/": "a Word document", "ppt/": "a PowerPoint file"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NAMED = 5


def open_member(file: BinaryIO, name: str, caps: Caps) -> IO[bytes]:
    """Opens the only list in an archive. InputError where it has several, or an encrypted one."""
    archive = zipfile.ZipFile(file)
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_beside(m.filename)]
    if not members:
        raise empty_input(f"{name}: it is a zip archive without a list in it; put one into it")
    if len(members) > 1:
        listed = ", ".join(shown(member.filename) for member in members[:_NAMED])
        more = f" and {len(members) - _NAMED:,} more" if members[_NAMED:] else ""
        raise InputError(
            f"{name}: it is a zip archive of several files, {listed}{more}; unpack it, and name "
            "those to read"
        )
    member = members[0]
    if member.flag_bits & 1 or member.compress_type not in _METHODS:
        how = "encrypted" if member.flag_bits & 1 else "packed by a method that is not read"
        raise InputError(
            f"{name}: {shown(member.filename)} in this zip archive is {how}; unpack it"
        )
    caps.check(name, file.seek(0, 2), member.file_size)
    return archive.open(member)


def is_workbook(path: Path, name: str, head: bytes, caps: Caps) -> bool:
    """Whether a file, which begins with ``head``, is a workbook; other documents are refused."""
    if head.startswith(_OLD_WORKBOOK):
        return True
    if not head.startswith(ZIP):
        return False
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{name}: it is a damaged zip archive or Excel workbook; copy or export the file again"
        )
    with translated(name), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "mimetype" in names:
            kind = archive.read("mimetype")[:100]
            if kind.startswith(_OPEN_DOCUMENT) and not kind.endswith(b".spreadsheet"):
                raise InputError(f"{name}: it looks like an OpenDocument text: export it as CSV")
            is_one = kind.startswith(_OPEN_DOCUMENT)
        else:
            is_one = "[Content_Types].xml" in names and any(n.startswith("xl/") for n in names)
            for folder, kind_of in _DOCUMENTS.items():
                if "[Content_Types].xml" in names and any(n.startswith(folder) for n in names):
                    raise InputError(f"{name}: it looks like {kind_of}: export the list as CSV")
        if is_one:  # it is unpacked as a whole, so its size is known before
            unpacked = sum(member.file_size for member in archive.infolist())
            caps.check(name, path.stat().st_size, unpacked)
        return is_one


def _is_beside(name: str) -> bool:
    """Whether a member is what systems add: resource forks, hidden files, markers."""
    return name.startswith("__MACOSX/") or any(map(is_no_list, name.split("/")))
