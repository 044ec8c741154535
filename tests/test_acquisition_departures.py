"""A file that is no more where it was has been moved or deleted, or its share is out of reach."""

import os

import pytest

from temwatch.acquisition.absences import Absences
from temwatch.acquisition.departure import has_left
from temwatch.ledger.moves import FormerPlace

HERE, THERE = (1, 2), (1, 3)


def suspect(root, path="Au/a.dm3", inode=None, *, mounted=False):
    return FormerPlace(file_id=1, root=str(root), path=path, inode=inode, mounted=mounted)


def test_a_file_has_left_where_its_folder_is_there_without_it(tmp_path):
    """Also where the folder went with it; a hard link has not, another file in its place is not it."""
    path = tmp_path / "Au" / "a.dm3"
    path.parent.mkdir()
    path.write_bytes(b"a")
    inode = path.stat().st_ino
    assert not has_left(suspect(tmp_path, inode=inode))
    assert not has_left(suspect(tmp_path))
    os.link(path, tmp_path / "b.dm3")
    assert not has_left(suspect(tmp_path, inode=inode))
    path.unlink()
    assert has_left(suspect(tmp_path, inode=inode))
    assert has_left(suspect(tmp_path))
    path.write_bytes(b"another")
    assert has_left(suspect(tmp_path, inode=inode))
    assert not has_left(suspect(tmp_path))
    path.unlink()
    path.parent.rmdir()
    assert has_left(suspect(tmp_path))


def test_what_is_out_of_reach_has_not_left(tmp_path):
    """An empty root is that of a share that is not mounted, as a folder may be; no error says more."""
    (tmp_path / "empty").mkdir()
    assert not has_left(suspect(tmp_path / "empty"))
    assert not has_left(suspect(tmp_path / "none"))
    (tmp_path / "Au").mkdir()
    assert not has_left(suspect(tmp_path, mounted=True))
    assert not has_left(suspect(tmp_path, "x" * 300 + ".dm3", inode=5))


@pytest.fixture
def absences():
    """What was noted, and the absences that note it."""
    noted = []

    def note(paths):
        noted.append(set(paths))
        return {path for path in paths if path == "moved"}

    return noted, Absences(note)


def scan(absences, missing, identity=HERE, *, has_found=True):
    absences.scanned(identity, set(missing), has_found=has_found)
    return absences.note(identity)


def test_two_scans_must_miss_a_file(absences):
    """One may come between deletion and renaming; what is back is told at once."""
    noted, found = absences
    scan(found, {"a", "b"})
    assert [] == noted
    scan(found, {"a", "moved"})
    scan(found, {"a", "moved"})
    assert [{"a"}, {"a", "moved"}] == noted
    assert {"a"} == found.gone, "what was moved is not looked for any more"
    scan(found, {"a"})
    assert 2 == len(noted)
    scan(found, ())
    assert set() == noted[-1]


def test_a_folder_without_any_known_file_tells_nothing(absences):
    """Until one was found in it, and only of the folder that is there now."""
    noted, found = absences
    for _ in range(3):
        scan(found, {"a", "b"}, has_found=False)
    assert [] == noted
    scan(found, {"a"})
    scan(found, {"a", "b"}, THERE, has_found=False)
    scan(found, {"a", "b"}, THERE, has_found=False)
    assert [] == noted
    scan(found, {"a", "b"}, has_found=False)
    scan(found, {"a", "b"}, has_found=False)
    assert {"a", "b"} == noted[-1]
