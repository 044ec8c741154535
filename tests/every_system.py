"""analyse, report, export and the Python functions, where temwatch is installed: on Linux, macOS and Windows.

    python tests/every_system.py FOLDER [analyse's further options]

FOLDER is new, or holds micrographs of a sample in acquired/Au. Ends with a line that says what was found.
"""

import csv
import sys
from pathlib import Path

import temwatch
from temwatch import cli

FORMATS = "csv,xlsx,parquet,geojson,coco,nexus"


def main(folder, *options):
    acquired = folder / "acquired"
    if not acquired.exists():
        run("simulate", "--output", acquired / "Au", "--micrographs", "2", "--seed", "1")
        run("simulate", "--output", acquired / "Pt", "--frames", "3", "--seed", "1")
    walk(folder, acquired, options)
    if (acquired / "Pt").exists():
        walk(folder, acquired, options)  # opens and replaces what is there


def walk(folder, acquired, options):
    results, exported = folder / "results", folder / "exported"
    run("analyse", acquired, "--output", results, "--formats", "csv,xlsx,parquet", *options)
    run("report", "--results", results, "Au")
    run("export", "--results", results, "Au", "--formats", FORMATS, "--output", exported)
    with (results / "Au" / "particles.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    micrographs = sorted((acquired / "Au").glob("*.dm3"))
    # the path below the folder, with / on every system
    assert {f"Au/{path.name}" for path in micrographs} == {row["micrograph"] for row in rows}, rows[0]
    assert (results / "Au" / "report" / "report.html").stat().st_size > 0
    assert len(list(exported.iterdir())) >= len(FORMATS.split(",")), list(exported.iterdir())
    assert not [path for path in results.rglob("*") if path.name.endswith(".new")]
    found = temwatch.read_results(results)
    assert len(rows) == len(found["Au"].particles)
    if (acquired / "Pt").exists():
        assert 3 == len(found["Pt"].frames)
    micrograph = temwatch.read(micrographs[0])
    print(f"{sys.platform}: {len(rows)} particles, {micrograph.pixel_size_nm:.4g} nm per pixel")


def run(*arguments):
    code = cli.main([str(argument) for argument in arguments])
    assert code == 0, (arguments, code)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), *sys.argv[2:])
