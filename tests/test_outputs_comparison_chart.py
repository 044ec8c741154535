"""The chart of several samples."""

from ledger_cases import take
from temwatch.analysis.statistics.bins import AUTOMATIC
from temwatch.ledger import open_ledger, sample_columns
from temwatch.outputs import sample_comparison
from temwatch.outputs.population_summary import View


def test_the_legend_names_every_sample(tmp_path):
    """Also one that begins with _, which matplotlib leaves out, and one with the sign of a formula."""
    names = ("_Au", "Ag$1$")
    with open_ledger(tmp_path) as ledger:
        for name in names:
            take(ledger, f"{name}/1.dm3", content=name, particles=20, sample=name)
        with ledger.reader() as reader:
            fields = {name: sample_columns.fields(reader, name) for name in names}
    drawn = sample_comparison.chart(fields, "svg", View(), AUTOMATIC).decode()
    for name in names:
        assert f"{name} (N = 20)" in drawn.partition("legend_1")[2]
