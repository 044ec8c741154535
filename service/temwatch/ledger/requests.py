"""What commands and the page ask of the service that holds the ledger, and what it answers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from temwatch.domain import utc_text
from temwatch.ledger.reader import Reader
from temwatch.ledger.rows import Request
from temwatch.ledger.schema import FILE_NAME, connect_to_write
from temwatch.ledger.writer import Ledger

PUBLISH = "publish"
"""Request of the service itself: publish the `samples` in which something has changed."""


def post_request(state: Path, kind: str, arguments: Mapping[str, Any], at: datetime) -> int:
    """Ask something of the service that holds the ledger in `state`; `answer_to` returns its answer.

    Raises
    ------
    StartError
        There is no ledger, or it is of another version.
    """
    with Reader(state):
        pass  # raises StartError
    connection = connect_to_write(state / FILE_NAME)
    try:
        return add_request(connection, kind, arguments, at)
    finally:
        connection.close()


def add_request(connection: sqlite3.Connection, kind: str, arguments: Mapping[str, Any], at: datetime) -> int:
    """The same within the transaction of the caller."""
    posted = connection.execute(
        "INSERT INTO requests (kind, arguments, created_at) VALUES (?, ?, ?)",
        (kind, json.dumps(dict(arguments)), utc_text(at)),
    )
    assert posted.lastrowid is not None
    return posted.lastrowid


def open_requests(ledger: Ledger) -> list[Request]:
    """Requests without an answer, oldest first."""
    with ledger.reading() as connection:
        rows = connection.execute(
            "SELECT id, kind, arguments, created_at FROM requests WHERE done_at IS NULL ORDER BY id"
        ).fetchall()
    return [
        Request(
            id=number,
            kind=kind,
            arguments=json.loads(arguments),
            created_at=datetime.fromisoformat(created_at),
        )
        for number, kind, arguments, created_at in rows
    ]


def ask_to_publish(connection: sqlite3.Connection, samples: Sequence[str], at: datetime) -> None:
    """Have the service publish samples of which rows have changed, within the transaction of the caller."""
    if samples:
        add_request(connection, PUBLISH, {"samples": samples}, at)


def answer_request(ledger: Ledger, request_id: int, text: str, at: datetime) -> None:
    """Close a request; `text` is for whoever posted it."""
    with ledger.transaction() as connection:
        close_request(connection, request_id, text, at)


def close_request(connection: sqlite3.Connection, request_id: int, text: str, at: datetime) -> None:
    """The same within the transaction of the caller: what is done and answered is not done again."""
    connection.execute(
        "UPDATE requests SET done_at = ?, answer = ? WHERE id = ?", (utc_text(at), text, request_id)
    )


def answer_to(reader: Reader, request_id: int) -> str | None:
    """The service's answer to a request, None while it is open."""
    answer: str | None = reader.value("SELECT answer FROM requests WHERE id = ?", request_id)
    return answer
