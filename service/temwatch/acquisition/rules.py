"""Files that the configuration takes out of the data set by itself, decided by their path alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from temwatch.config import Config
from temwatch.ledger import Ledger, exclusions, selection
from temwatch.ledger.changes import rule_author


def rule_for(path: str, rules: Iterable[str]) -> str | None:
    """The first rule that a path below the watched folder matches, None where none does.

    A rule that ends in / is about folders, one with another / about the whole path, any other about the name
    of the file. Upper and lower case make no difference.

    Examples
    --------
    >>> rule_for("Au/Rejected/Au_07.dm3", ["*_bad*", "rejected/"])
    'rejected/'
    >>> rule_for("Au/Au_07_bad.dm3", ["*_bad*", "rejected/"])
    '*_bad*'
    >>> rule_for("Au/Au_07.dm3", ["*_bad*", "rejected/"])
    """
    *folders, name = path.lower().split("/")
    for rule in rules:
        pattern = rule.lower()
        if pattern.endswith("/"):
            inner = pattern.rstrip("/")
            places = ["/".join(folders[:end]) for end in range(1, len(folders) + 1)]
            matches = any(fnmatchcase(place, inner) for place in ([*places] if "/" in inner else folders))
        else:
            matches = fnmatchcase(path.lower() if "/" in pattern else name, pattern)
        if matches:
            return rule
    return None


def exclude_known(ledger: Ledger, config: Config) -> list[str]:
    """Exclude known files that match the rules now; gives the samples in which something has changed.

    About a file that a rule has excluded before nothing is decided again: somebody may have included it.
    """
    rules = config.watch.exclude
    if not rules:
        return []
    with ledger.transaction() as connection:
        samples: dict[str, None] = {}
        for file in selection.untouched_by_rules(connection):
            rule = rule_for(file.path, rules)
            if rule is not None:
                author = rule_author(rule, datetime.now(UTC))
                if exclusions.exclude_file(connection, file.id, None, author) is not None:
                    samples[file.sample] = None
    return [*samples]
