"""`temwatch deploy-files`: the files come out of the package, and no change by hand is lost."""

from pathlib import Path

import pytest

from temwatch import cli
from temwatch.commands.deploy_files import deploy_files
from temwatch.errors import TemwatchError

REPOSITORY = Path(__file__).parents[1]
CONTRACT = [
    "README.md",
    "config.example.toml",
    "grafana/temwatch.json",
    "prometheus/prometheus.yml",
    "prometheus/temwatch_rules.yml",
    "prometheus/temwatch_rules_test.yml",
    "sysusers.d/temwatch.conf",
    "temwatch-outage.service",
    "temwatch-outage.timer",
    "temwatch.service",
    "tmpfiles.d/temwatch.conf",
]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_a_machine_needs_is_written(tmp_path, capsys):
    """One line for each file, and the content is that of the repository."""
    folder = tmp_path / "new" / "deploy"
    assert 0 == cli.main(["deploy-files", str(folder)])
    written = contents(folder)
    assert set(CONTRACT) <= set(written)
    for name, content in written.items():
        origin = REPOSITORY / ("." if name == "config.example.toml" else "deploy") / name
        assert origin.read_bytes() == content
    lines = capsys.readouterr().out.splitlines()
    assert sorted(f"written   {folder / name}" for name in written) == sorted(lines)


def test_a_second_time_changes_nothing(tmp_path, capsys):
    """And says so."""
    cli.main(["deploy-files", str(tmp_path)])
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert 0 == cli.main(["deploy-files", str(tmp_path)])
    assert first == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert {"unchanged"} == {line.split()[0] for line in capsys.readouterr().out.splitlines()}


def test_a_file_that_was_changed_is_kept_without_force(tmp_path, capsys):
    """Exit code 1 and its name; all others are written."""
    (tmp_path / "temwatch.service").write_text("# mine\n")
    assert 1 == cli.main(["deploy-files", str(tmp_path)])
    said = capsys.readouterr()
    assert "# mine\n" == (tmp_path / "temwatch.service").read_text()
    assert [f"temwatch: {tmp_path / 'temwatch.service'}: has been changed; --force replaces it"] == (
        said.err.splitlines()
    )
    assert set(CONTRACT) <= set(contents(tmp_path))

    assert 0 == cli.main(["deploy-files", str(tmp_path), "--force"])
    assert (REPOSITORY / "deploy/temwatch.service").read_bytes() == (
        tmp_path / "temwatch.service"
    ).read_bytes()
    assert f"replaced  {tmp_path / 'temwatch.service'}" in capsys.readouterr().out


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path, capsys):
    """A file where the folder should be."""
    (tmp_path / "taken").write_text("")
    assert 2 == cli.main(["deploy-files", str(tmp_path / "taken")])
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_an_installation_without_them_says_so(tmp_path):
    """Neither in the package nor beside the sources."""
    package = tmp_path / "site-packages" / "temwatch"
    package.mkdir(parents=True)
    with pytest.raises(TemwatchError, match="install the wheel again"):
        list(deploy_files(package))
    (package / "deploy").mkdir()
    (package / "deploy" / "temwatch.service").write_text("[Unit]\n")
    assert ["temwatch.service", "config.example.toml"] == [name for name, _ in deploy_files(package)]
