"""Known files that whole scans no longer find: somebody has removed them, or their folder is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Collection

_Identity = tuple[int, int]


class Absences:
    """What the last scans have missed.

    A file that one scan misses may just be renamed, so that two have to. A folder in which no known file was
    found since it is there may be the place of a share that is not mounted: then nothing is noted.

    Parameters
    ----------
    note : callable
        Takes all files that are gone, whenever these are others; gives those of which nothing is known.
    """

    def __init__(self, note: Callable[[Collection[str]], Collection[str]]) -> None:
        self.gone: set[str] = set()
        self._note = note
        self._has_noted = False
        self._missing: set[str] | None = None  # by the last scan, and by the one before
        self._before: set[str] | None = None
        self._filled: _Identity | None = None  # the folder in which known files were last found

    def scanned(self, identity: _Identity, missing: set[str], *, has_found: bool) -> None:
        """A whole scan of a folder has found known files, or none, and missed these."""
        if has_found:
            self._filled = identity
        if self._filled == identity:
            self._before, self._missing = self._missing, missing

    def note(self, identity: _Identity) -> set[str]:
        """After a scan of this folder: note what is gone and what is back; gives what is gone."""
        if self._filled != identity or self._missing is None or self._before is None:
            return set()
        gone = self._missing & (self._before | self.gone)
        if not self._has_noted or gone != self.gone:
            self.gone = gone - set(self._note(gone))
            self._has_noted = True
        return gone
