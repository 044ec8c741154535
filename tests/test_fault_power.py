"""A power cut keeps what was synchronised: content before its name, both before the ledger speaks of it."""

import os
from pathlib import Path

import numpy as np
import pytest

from ledger_cases import segmented, take
from temwatch.ledger import open_ledger, publications
from temwatch.outputs import pictures, sample_folder

FORMATS = ["xlsx", "parquet"]


class Disk:
    """What of the real calls would outlive a power cut."""

    def __init__(self, monkeypatch):
        self.content = {}  # (device, inode): content at the last fsync
        self.names = {}  # path: (device, inode), as of the folder's last fsync
        self.unsynced = []  # names that were put in place since
        self.fsync, self.replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self._fsync)
        monkeypatch.setattr(os, "replace", self._replace)

    def _fsync(self, descriptor):
        self.fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            self.names |= {entry: self._identity(entry) for entry in path.iterdir()}
            self.unsynced = [name for name in self.unsynced if name.parent != path]
        else:
            self.content[self._identity(path)] = path.read_bytes()

    def _replace(self, source, target):
        kept = self.content.get(self._identity(Path(source)))
        assert Path(source).read_bytes() == kept, f"{source} renamed before its fsync"
        self.replace(source, target)
        self.unsynced.append(Path(target))

    @staticmethod
    def _identity(path):
        status = path.stat()
        return status.st_dev, status.st_ino

    def after_a_power_cut(self, path):
        """Content that would be there, None where the name would not be."""
        return self.content.get(self.names.get(path))


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def ledger(tmp_path, monkeypatch, disk):
    """It looks, whenever it is told that something was published, whether that would last."""
    told = publications.record

    def published(ledger, sample, files, written=None):
        files = list(files)
        for publication in files:
            path = tmp_path / sample / publication.file
            kept = disk.after_a_power_cut(path)
            assert kept is not None, f"{path.name} would not be there"
            assert publication.bytes <= len(kept), f"{path.name} would be too short"
            assert path.read_bytes()[: publication.bytes] == kept[: publication.bytes]
        assert [] == disk.unsynced
        ledger.checked = getattr(ledger, "checked", 0) + len(files)
        told(ledger, sample, files, written)

    monkeypatch.setattr(publications, "record", published)
    with open_ledger(tmp_path / ".temwatch") as opened:
        yield opened


def test_tables_are_synchronised_before_the_ledger_says_they_are_published(tmp_path, ledger):
    """Written whole, appended to, and written again after a revision: each file, each name."""
    for step, (path, content, revision) in enumerate(
        [("a.dm3", 1, 1), ("b.dm3", 2, 1), ("c.dm3", 3, 1), ("a.dm3", 4, 2)], 1
    ):
        take(ledger, path, content, mtime_ns=revision)
        sample_folder.publish(ledger, tmp_path, "Au")
        sample_folder.write_formats(ledger, tmp_path, "Au", FORMATS)
        assert ledger.checked >= 5 * step
    sample_folder.rebuild(ledger, tmp_path, "Au")


def test_pictures_are_synchronised_before_they_have_their_names(tmp_path, disk):
    """They cannot be made again without the original file, and the ledger's row comes right after them."""
    _, analysis = segmented()
    image = np.random.default_rng(0).normal(size=analysis.mask.shape).astype(np.float32)
    folder = tmp_path / "Au" / "micrographs" / "a"
    pictures.write_pictures(folder, "a", image, analysis)
    for kind in ("micrograph", "mask", "overlay"):
        path = folder / f"a_{kind}.png"
        assert path.read_bytes() == disk.after_a_power_cut(path)
    for made in (folder, folder.parent, folder.parent.parent):
        assert made in disk.names, f"{made.name} was made and not synchronised"
