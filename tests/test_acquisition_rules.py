"""Rules of the configuration that exclude files by their path."""

import pytest

from ledger_cases import START, result, take
from temwatch.acquisition.rules import exclude_known, rule_for
from temwatch.config import Config
from temwatch.domain import Status
from temwatch.ledger import changes, exclusions, open_ledger, queue, recording
from temwatch.ledger.changes import Author

RULES = ("rejected/", "*_bad*", "Pt/tests/", "Pt/old_*")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("Au/rejected/1.dm3", "rejected/"),
        ("REJECTED/sub/1.dm3", "rejected/"),
        ("Au/rejected.dm3", None),
        ("Au/not rejected/1.dm3", None),
        ("Au/Au_1_BAD.dm3", "*_bad*"),
        ("Au_bad/1.dm3", None),
        ("Pt/tests/deep/1.dm3", "Pt/tests/"),
        ("Au/Pt/tests/1.dm3", None),
        ("pt/old_1.dm3", "Pt/old_*"),
        ("Au/1.dm3", None),
    ],
)
def test_a_rule_is_about_folders_or_names(path, rule):
    assert rule == rule_for(path, RULES)


def config(folder, *rules):
    return Config.model_validate(
        {"watch": {"folder": str(folder), "exclude": rules}, "output": {"folder": str(folder)}}
    )


def row(ledger, path):
    with ledger.reader() as reader:
        return [one for one in reader.micrographs("Au") if one.micrograph == path][-1]


def test_what_arrives_under_a_rule_is_analysed_and_excluded(tmp_path):
    """Its later revisions, too; the history names the rule."""
    with open_ledger(tmp_path) as ledger:
        take(ledger, "a_bad.dm3", excluded_by="*_bad*")
        assert (Status.EXCLUDED, 3) == (row(ledger, "a_bad.dm3").status, row(ledger, "a_bad.dm3").particles)
        take(ledger, "a_bad.dm3", 1, size_bytes=7, excluded_by="*_bad*")
        assert Status.EXCLUDED is row(ledger, "a_bad.dm3").status
        with ledger.reader() as reader:
            found = changes.history(reader, limit=9)
        assert [("configuration", "matches *_bad*")] * 2 == [(one.source, one.reason) for one in found]


def test_a_new_rule_excludes_what_is_there_and_once(tmp_path):
    """Whoever includes a file afterwards is heard, whenever the service starts."""
    with open_ledger(tmp_path) as ledger:
        take(ledger, "a_bad.dm3", 0)
        take(ledger, "b.dm3", 1)
        assert [] == exclude_known(ledger, config(tmp_path))
        assert ["Au"] == exclude_known(ledger, config(tmp_path, "*_bad*"))
        assert Status.EXCLUDED is row(ledger, "a_bad.dm3").status
        assert Status.DONE is row(ledger, "b.dm3").status
        with ledger.transaction() as connection:
            exclusions.include_file(connection, 1, None, Author(by="anna", at=START, source="command"))
        assert [] == exclude_known(ledger, config(tmp_path, "*_bad*"))
        queue.retry(ledger, ["a_bad.dm3"])
        (file,) = queue.claim(ledger, 9, START)
        recording.record(ledger, file.id, [result(0)])
        assert Status.DONE is row(ledger, "a_bad.dm3").status


def test_a_new_rule_leaves_what_a_person_has_put_back(tmp_path):
    """Whoever included a file before the rule was written is heard, too."""
    anna = Author(by="anna", at=START, source="command")
    with open_ledger(tmp_path) as ledger:
        take(ledger, "a_bad.dm3", 0)
        take(ledger, "b_bad.dm3", 1)
        with ledger.transaction() as connection:
            exclusions.exclude_file(connection, 1, None, anna)
            exclusions.include_file(connection, 1, None, anna)
            exclusions.exclude_particles(connection, 2, [1], anna)
            exclusions.include_particles(connection, 2, [1], anna)
        exclude_known(ledger, config(tmp_path, "*_bad*"))
        assert Status.DONE is row(ledger, "a_bad.dm3").status
        assert Status.EXCLUDED is row(ledger, "b_bad.dm3").status
