"""`temwatch status`: what was done and what is to do, ending with a receipt that adds up."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from temwatch import config as configuration
from temwatch.domain import Status
from temwatch.ledger import Reader, is_held


def run(arguments: argparse.Namespace) -> int:
    """Print samples, troubles and the receipt."""
    config = configuration.load(arguments.config)
    console = Console(highlight=False)
    with Reader(config.output.state) as reader:
        console.print("service: " + ("running" if is_held(config.output.state) else "stopped"))
        table = Table(
            "sample", "micrographs", "particles", "pending", "refused", "failed", "last analysed (UTC)"
        )
        for row in reader.samples():
            last = f"{row.last_analysed_at:%Y-%m-%d %H:%M:%S}" if row.last_analysed_at else "-"
            counts = (
                row.micrographs,
                row.particles,
                row.receipt.pending,
                row.receipt.refused,
                row.receipt.failed,
            )
            table.add_row(row.sample, *map(str, counts), last)
        console.print(table)
        for recent in reversed(reader.recent(200)):
            if recent.status in (Status.FAILED, Status.REFUSED):
                console.print(f"{recent.status}: {recent.micrograph}: {recent.reason}", soft_wrap=True)
        receipt = reader.receipt()
    console.print(
        f"seen {receipt.seen} = done {receipt.done} + refused {receipt.refused} + failed {receipt.failed} "
        f"+ duplicates {receipt.duplicates} + superseded {receipt.superseded} + pending {receipt.pending}",
        soft_wrap=True,
    )
    return 0
