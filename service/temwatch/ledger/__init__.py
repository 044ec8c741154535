"""The only state of temwatch: one SQLite file, one writer, any number of readers. All SQL is here."""

from temwatch.ledger.opening import is_held, open_ledger
from temwatch.ledger.packed_analysis import PackedAnalysis, pack
from temwatch.ledger.reader import Reader
from temwatch.ledger.requests import answer_to, post_request
from temwatch.ledger.rows import (
    Arrival,
    EditedTable,
    File,
    MicrographRow,
    Publication,
    Receipt,
    Recorded,
    Request,
    Result,
    SampleRow,
)
from temwatch.ledger.writer import Ledger

__all__ = [
    "Arrival",
    "EditedTable",
    "File",
    "Ledger",
    "MicrographRow",
    "PackedAnalysis",
    "Publication",
    "Reader",
    "Receipt",
    "Recorded",
    "Request",
    "Result",
    "SampleRow",
    "answer_to",
    "is_held",
    "open_ledger",
    "pack",
    "post_request",
]
