"""Writing files so that a kill or a full disk at any moment leaves the old contents or the new ones."""

import errno
import os
from pathlib import Path
from typing import BinaryIO


class CannotSave(OSError):
    """A file could not be written; what was there before is untouched. The message is one full sentence."""


def write(path: Path, data: bytes) -> None:
    """Replace the file by `data`, durably: it survives a crash of the machine once this returns.

    One writer at a time. Raises CannotSave; the old file then still stands.
    """
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        _sync_folder(path.parent)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise _cannot_save(error) from error


def append(path: Path, line: bytes) -> None:
    """Add a line (ending in a newline) to the file, durably. Raises CannotSave; the file is then as before.

    A line that a kill left unfinished is removed first, so it can only ever be the last.
    """
    try:
        with open(path, "a+b", buffering=0) as file:  # a buffer would write its rest when the file is closed
            end = _end_of_last_line(file)
            file.truncate(end)
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise _cannot_save(error) from error


def _end_of_last_line(file: BinaryIO) -> int:
    """Position after the last newline."""
    position = file.seek(0, os.SEEK_END)
    while position:
        start = max(0, position - 65_536)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder, and needs no such thing
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _cannot_save(error: OSError) -> CannotSave:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = "the disk is full" if full else "its folder cannot be written"
    return CannotSave(f"The run could not be saved because {reason}; what was saved before is kept.")
