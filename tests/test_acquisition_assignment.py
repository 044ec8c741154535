"""Sample and sequence of a file, by the rules of the documentation."""

import pytest

from temwatch.acquisition.assignment import place
from temwatch.config import SampleSettings, SequenceSettings


def where(path, pattern="", folders=()):
    return place(
        path,
        root_name="session",
        samples=SampleSettings(pattern=pattern),
        sequences=SequenceSettings(folders=folders),
    )


@pytest.mark.parametrize(
    ("path", "sample"),
    [
        ("Au_07.dm3", "Au"),
        ("Au/07.dm3", "Au"),
        ("Au/day/07.dm3", "Au"),
        ("Au 2nm (3).dm3", "Au 2nm"),
        ("Au-12.tif", "Au"),
        ("Pt_5nm.dm3", "Pt_5nm"),
        ("overview.dm3", "overview"),
        ("0001.dm3", "session"),
        ("line\nbreak_1.dm3", "line\nbreak"),
        ("25af264996.dm3", "25af264996"),
        ("Au_3f2a9c1.dm3", "Au_3f2a9c1"),
        ("550e8400-e29b-41d4-a716-446655440000.tif", "550e8400-e29b-41d4-a716-446655440000"),
        ("Fe0001.dm3", "Fe"),
        ("CeFe 12345678.dm3", "CeFe"),
        ("Au_20261127a03.dm3", "Au_20261127a"),
        ("Au_1a2.dm3", "Au_1a"),
    ],
)
def test_the_first_folder_or_the_name_without_its_counter(path, sample):
    """The rule that needs no configuration."""
    assert sample == where(path).sample


def test_a_pattern_decides_where_it_matches():
    """And the rule above where it does not."""
    pattern = r"user_\w+/(?P<sample>[^/]+)/"
    assert "Au 3" == where("user_eva/Au 3/day/1.dm3", pattern).sample
    assert "elsewhere" == where("elsewhere/1.dm3", pattern).sample


def test_numbered_files_are_a_sequence_only_where_configured():
    """Else they are a sample of many micrographs."""
    assert (None, None) == (where("heating/f_0012.dm3").sequence, where("heating/f_0012.dm3").frame)
    found = where("heating/f_0012.dm3", folders=("heat*",))
    assert ("heating", "heating", 12) == (found.sample, found.sequence, found.frame)


def test_the_tree_of_an_in_situ_camera_is_a_sequence_by_itself():
    """A frame's place in time comes from the names; which number that is depends on the other files."""
    tree = "Hour_00/Minute_01/Second_05/X_Hour_00_Minute_01_Second_05_Frame_0012.dm4"
    for above, sample, sequence in (
        ("X/", "X", "X"),
        ("", "X", "X"),
        ("Au/X/", "Au", "X"),
        ("Au/a/X/", "Au", "a/X"),
    ):
        found = where(above + tree)
        assert (sample, sequence, None) == (found.sample, found.sequence, found.frame)
        assert 65 * 1_000_000 + 12 == found.position
    flat = where("X/X_Hour_00_Minute_00_Second_01_Frame_0000.dm4", folders=("X",))
    assert ("X", 1_000_000) == (flat.sequence, flat.position)


def test_two_folders_of_one_sample_are_two_sequences():
    """Though the last part of their paths is the same."""
    assert ["a/run", "a_run", "run"] == [
        where(path, folders=("*",)).sequence for path in ("Au/a/run/1.dm3", "Au/a_run/1.dm3", "Au/run/1.dm3")
    ]
