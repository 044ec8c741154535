"""`temwatch history`: who changed what, when and why."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from temwatch.commands import terminal
from temwatch.commands.caller import config_of
from temwatch.domain import utc_text
from temwatch.ledger import Reader, changes
from temwatch.ledger.changes import ChangeRow
from temwatch.names import printable


def run(arguments: argparse.Namespace) -> int:
    """Print the changes, newest first."""
    with Reader(config_of(arguments).output.state) as reader:
        sample = None if arguments.sample is None else terminal.known_sample(reader, arguments.sample)
        found = changes.history(reader, limit=arguments.limit, sample=sample)
    if arguments.json:
        rows = [asdict(one) | {"made_at": utc_text(one.made_at), "what": one.words} for one in found]
        json.dump(rows, sys.stdout, indent=1)
        print()  # noqa: T201
        return 0
    for one in found:
        print(printable(_line(one)))  # noqa: T201
    if not found:
        print("nothing was changed")  # noqa: T201
    return 0


def _line(one: ChangeRow) -> str:
    frame = "" if one.frame is None else f", frame {one.frame}"
    subject = one.sample if one.micrograph is None else f"{one.micrograph}{frame}"
    when = one.made_at.astimezone().strftime("%Y-%m-%d %H:%M")
    reason = f": {one.reason}" if one.reason else ""
    undone = f" (undone by {one.undone_by})" if one.undone_by is not None else ""
    return f"{one.id:>5}  {when}  {one.made_by}  {subject}  {one.words}{reason}{undone}"
