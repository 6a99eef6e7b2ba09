"""A disk whose power can be cut, or that can be full, below SQLite: an apsw VFS that keeps files in memory.

What was written and not yet fsynced is lost, kept, or kept in part when the power goes: each 512-byte sector then has,
independently, one of the contents that it has had since the last fsync, and the file one of its lengths. With the first
fsync of a new file SQLite's own VFS fsyncs the folder too: then its name is durable, and so are removals before it.
"""

from __future__ import annotations

import itertools
import random

import apsw

SECTOR = 512
_names = itertools.count(1)


class File:
    """What programs see, what the platter surely has, and what was asked for since the last fsync."""

    def __init__(self, data: bytes = b"", durable: bool = False):
        self.data, self.durable, self.synced = bytearray(data), bytearray(data if durable else b""), durable
        # (offset, data) of a write, (length, None) of a truncation.
        self.pending: list[tuple[int, bytes | None]] = []

    def change(self, offset: int, data: bytes | None) -> None:
        apply(self.data, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.pending:
            apply(self.durable, offset, data)
        self.pending.clear()
        self.synced = True

    def survivor(self, chance: random.Random, keep: float) -> bytes:
        """What is there after a power cut; keep: how likely it is that something not yet synced reached the platter."""
        now, sizes = bytearray(self.durable), [len(self.durable)]
        sectors: dict[int, list[bytes]] = {}
        for offset, data in self.pending:
            apply(now, offset, data)
            sizes.append(len(now))
            for number in range(offset // SECTOR, -(-(offset + len(data or b"")) // SECTOR)):
                sectors.setdefault(number, []).append(bytes(now[number * SECTOR : (number + 1) * SECTOR]))
        found = bytearray(self.durable)
        for number, contents in sectors.items():
            if chance.random() < keep:
                apply(found, number * SECTOR, contents[-1] if keep == 1 else chance.choice(contents))
        size = sizes[-1] if keep == 1 else chance.choice(sizes) if chance.random() < keep else sizes[0]
        return bytes(found[:size]).ljust(size, b"\0")


def apply(data: bytearray, offset: int, written: bytes | None) -> None:
    """A write, or without one a truncation."""
    if written is None:
        del data[offset:]
        return
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(written)] = written


class Handle:
    """An open file, as SQLite uses it. One connection has the disk, so locks are always granted."""

    def __init__(self, disk: Disk, name: str, delete: bool):
        self._disk, self._name, self._delete = disk, name, delete

    @property
    def _file(self) -> File:
        return self._disk.files[self._name]

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.must_have_power()
        return bytes(self._file.data[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.count()
        grown = offset + len(data) - len(self._file.data)
        if grown > 0 and self._disk.used() + grown > self._disk.capacity:
            raise apsw.FullError("no space left on the disk")
        self._file.change(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._disk.count()
        self._file.change(size, None)

    def xSync(self, flags: int) -> None:
        self._disk.count()
        if self._disk.sync_fails:
            # As Linux does it: the error is told once, and what was not written counts as clean from then on.
            self._disk.sync_fails = False
            self._file.pending.clear()
            raise apsw.IOError("the disk did not take it")
        if not self._file.synced:
            self._disk.sync_folder()
        self._file.sync()

    def xFileSize(self) -> int:
        self._disk.must_have_power()
        return len(self._file.data)

    def xClose(self) -> None:
        if self._delete and self._disk.on:
            del self._disk.files[self._name]

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE


class Disk(apsw.VFS):
    """A disk by the name `self.name`, for `Journal(folder, vfs=disk.name)`.

    cut_at: at the how manieth write, fsync, truncation or removal the power goes. capacity: bytes. sync_fails: the
    next fsync fails.
    """

    def __init__(self, contents: dict[str, bytes] | None = None, *, cut_at: float = float("inf")):
        self.name = f"disk{next(_names)}"
        self.files = {name: File(data, durable=True) for name, data in (contents or {}).items()}
        self.cut_at, self.operations, self.on = cut_at, 0, True
        self.capacity, self.sync_fails = float("inf"), False
        # Names that were removed, but may be back after a power cut.
        self._removed: dict[str, File] = {}
        super().__init__(self.name, "")

    def used(self) -> int:
        return sum(len(file.data) for file in self.files.values())

    def must_have_power(self) -> None:
        if not self.on:
            raise apsw.IOError("the power is out")

    def count(self) -> None:
        self.must_have_power()
        self.operations += 1
        if self.operations >= self.cut_at:
            self.on = False
            raise apsw.IOError("the power goes out")

    def image(self) -> dict[str, bytes]:
        """What another process sees after kill -9: all that was written."""
        return {name: bytes(file.data) for name, file in self.files.items()}

    def survivors(self, chance: random.Random) -> dict[str, bytes]:
        """What is there after the power is back. One time in three nothing that was not synced is."""
        keep = chance.choice((0.0, 1.0, chance.random()))
        found = {}
        for name, file in self.files.items():
            if file.synced or chance.random() < keep:
                found[name] = file.survivor(chance, keep)
        for name, file in self._removed.items():
            if name not in found and file.synced and chance.random() < 0.5:
                found[name] = file.survivor(chance, keep)
        return found

    def sync_folder(self) -> None:
        self._removed.clear()

    def xOpen(self, name, flags: list[int]) -> Handle:
        self.must_have_power()
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or f"temporary{next(_names)}"
        if path not in self.files:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(path)
            self.files[path] = File()
        flags[1] = flags[0]
        return Handle(self, path, bool(flags[0] & apsw.SQLITE_OPEN_DELETEONCLOSE))

    def xDelete(self, path: str, sync_folder: bool) -> None:
        self.count()
        if path not in self.files:
            raise apsw.IOError("no such file")
        file = self.files.pop(path)
        self._removed[path] = file
        if sync_folder:
            self.sync_folder()

    def xAccess(self, path: str, flags: int) -> bool:
        self.must_have_power()
        return path in self.files

    def xFullPathname(self, name: str) -> str:
        return name
