"""What people and disks do to the results while the service runs: tables that are edited and saved."""

import pytest

from system import Service, command, rows, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def contents(series):
    """Any number of different micrographs."""
    whole = sorted(series.glob("*.dm3"))[0].read_bytes()
    numbers = iter(range(1000))
    return lambda: whole + next(numbers).to_bytes(2)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    formats = {"formats": ["csv", "xlsx", "parquet"]}
    with Service(tmp_path_factory.mktemp("output"), output=formats) as running:
        yield running


def as_a_spreadsheet_saves(content):
    """BOM, semicolons, CRLF."""
    return b"\xef\xbb\xbf" + content.replace(b",", b";").replace(b"\n", b"\r\n")


def sorted_rows(content):
    """By the last digits, as no run of the service would leave them."""
    head, *lines = content.splitlines(keepends=True)
    return b"".join([head, *sorted(lines, key=lambda line: line[::-1])])


def kept(folder):
    return sorted(folder.glob("*.edited-*.csv"))


def test_an_edited_table_is_kept_and_page_log_and_status_say_so(service, contents):
    """While it runs and while it is stopped; each edit is told once, every row is there once."""
    folder = service.output / "Au"
    path = folder / "particles.csv"
    edited = []
    for number, change in enumerate(
        (as_a_spreadsheet_saves, sorted_rows, lambda content: content + b"ok"), 1
    ):
        (service.watched / f"Au_{number:02d}.dm3").write_bytes(contents())
        wait_until(lambda number=number: len(service.micrographs()) == number, what="the row")
        if number == 3:
            assert 0 == service.stop()
        edited.append(change(path.read_bytes()))
        path.write_bytes(edited[-1])
    service.start()
    (service.watched / "Au_04.dm3").write_bytes(contents())
    wait_until(lambda: len(service.micrographs()) == 4, what="the last row")
    assert sorted(edited) == sorted(one.read_bytes() for one in kept(folder))
    expected = [
        (row["micrograph"], str(n + 1)) for row in service.micrographs() for n in range(int(row["particles"]))
    ]
    assert expected == [(row["micrograph"], row["particle"]) for row in rows(path)]
    assert 3 == service.log.read_text().count("table was edited")
    assert 3 == len(service.json("api/trouble")["tables"]) == service.json("api/now")["edited_tables"]
    said = command("status", "--config", service.config).stdout
    assert all(one.name in said for one in kept(folder))
    for one in kept(folder):
        one.unlink()
    assert [] == service.json("api/trouble")["tables"]
    assert "edited:" not in command("status", "--config", service.config).stdout
