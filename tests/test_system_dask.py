"""`temwatch analyse --dask`: real scheduler and workers, one of them killed; rows as of a local run."""

import os
import re
import shlex
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from dask_cluster import DASK, Cluster
from system import COMMAND, command, rows, temwatch, threshold, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

OWN = {"analysed_at", "seconds"}
"""Columns that differ between two runs of anything."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler with two workers."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add()
        cluster.add()
        yield cluster


@pytest.fixture
def config(tmp_path):
    return threshold(tmp_path)


def table(output, name="particles.csv"):
    """Rows of a table without what differs between any two runs, sorted: workers finish in any order."""
    found = [
        tuple((key, value) for key, value in row.items() if key not in OWN)
        for path in output.glob(f"*/{name}")
        for row in rows(path)
    ]
    return sorted(found)


def archive(folder, sources, copies):
    """A folder of `copies` different micrographs."""
    folder.mkdir()
    for number in range(copies):
        content = sources[number % len(sources)].read_bytes() + number.to_bytes(2)
        (folder / f"Au_{number:03d}.dm3").write_bytes(content)
    return folder


@pytest.mark.slow
def test_rows_and_pictures_are_those_of_a_local_run(cluster, config, series, tmp_path):
    """Micrographs, a stack, a broken file: every row but its time, and every picture to the byte."""
    acquired = archive(tmp_path / "in", sorted(series.glob("*.dm3")), 4)
    (acquired / "broken.dm3").write_text("these are field notes")
    assert 0 == command("simulate", "--output", acquired, "--frames", 3, "--seed", 3).returncode
    local = temwatch("analyse", acquired, "--output", tmp_path / "local", "--config", config)
    spread = temwatch(
        "analyse", acquired, "--output", tmp_path / "spread", "--config", config, "--dask", cluster.address
    )
    assert (local.returncode, 1) == (1, spread.returncode), spread.stderr
    assert "cluster: " in spread.stderr
    for name in ("particles.csv", "rejections.csv"):
        assert table(tmp_path / "local", name) == table(tmp_path / "spread", name)
    for one, other in zip(
        table(tmp_path / "local", "micrographs.csv"),
        table(tmp_path / "spread", "micrographs.csv"),
        strict=True,
    ):
        # a file that is refused has been hashed there
        own = {"sha256"} if ("status", "refused") in one else set()
        assert [(key, value) for key, value in one if key not in own] == [
            (key, value) for key, value in other if key not in own
        ]
    pictures = {
        path.relative_to(tmp_path / "local"): path.read_bytes()
        for path in (tmp_path / "local").glob("*/micrographs/**/*.png")
    }
    assert len(pictures) >= 15
    assert pictures == {name: (tmp_path / "spread" / name).read_bytes() for name in pictures}
    again = temwatch(
        "analyse", acquired, "--output", tmp_path / "spread", "--config", config, "--dask", cluster.address
    )
    assert 1 == again.returncode  # the broken one, once more
    assert table(tmp_path / "local") == table(tmp_path / "spread")


@pytest.mark.slow
def test_workers_that_do_not_see_the_files_are_sent_them(cluster, config, series, tmp_path):
    """The content goes over the wire, and the rows are the same."""
    acquired = archive(tmp_path / "in", sorted(series.glob("*.dm3")), 3)
    hidden = tmp_path / "elsewhere"
    local = temwatch("analyse", acquired, "--output", tmp_path / "local", "--config", config)
    assert 0 == local.returncode, local.stderr
    # only the client sees files in that folder
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    hidden.mkdir()
    script = f'mount --bind "{acquired}" "{hidden}" && exec "$@"'
    options = ("--config", config, "--dask", cluster.address)
    done = subprocess.run(
        [*command, script, "sh", *COMMAND, "analyse", hidden, "--output", tmp_path / "sent", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert 0 == done.returncode, done.stderr
    assert table(tmp_path / "local") == table(tmp_path / "sent")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_repeats_its_own_files_alone(config, series, tmp_path):
    """Two workers, one is killed in the middle: every file once in the tables."""
    acquired = archive(tmp_path / "in", sorted(series.glob("*.dm3")), 24)
    output = tmp_path / "out"
    with Cluster(tmp_path) as cluster:
        victim, _ = cluster.add(), cluster.add()
        options = ("--config", config, "--dask", cluster.address)
        with subprocess.Popen(
            [*COMMAND, "analyse", acquired, "--output", output, *options],
            stderr=subprocess.PIPE,
        ) as running:
            micrographs = output / "Au" / "micrographs.csv"
            wait_until(
                lambda: micrographs.exists() and len(rows(micrographs)) >= 4,
                seconds=240,
                what="the first rows",
            )
            victim.kill()
            _, said = running.communicate(timeout=300)
        assert 0 == running.returncode, said
    found = rows(micrographs)
    expected = Counter({f"Au_{number:03d}.dm3": 1 for number in range(24)})
    assert expected == Counter(row["micrograph"] for row in found)
    assert {"done"} == {row["status"] for row in found}
    assert sum(int(row["particles"]) for row in found) == len(rows(output / "Au" / "particles.csv")) > 0


@pytest.mark.slow
def test_the_recipe_for_one_machine_does_what_it_says(series, tmp_path):
    """The commands of deploy/dask/README.md, on another port."""
    text = (Path(__file__).parents[1] / "deploy" / "dask" / "README.md").read_text()
    block = re.search(r"## One machine\n```console\n(.*?)```", text, re.DOTALL)[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    archive(tmp_path / "archive", sorted(series.glob("*.dm3")), 2)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, words in (("dask", DASK), ("temwatch", COMMAND)):
        script = tools / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        script.chmod(0o755)
    lines = [line.removeprefix("$ ") for line in block.splitlines()]
    commands = "\n".join(lines).replace("8786", str(port)).replace("/tmp/temwatch-spool", str(tmp_path))
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen(
            ["sh", "-c", commands],
            cwd=tmp_path,
            env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
            stderr=said,
            start_new_session=True,
        ) as shell,
    ):
        try:
            code = shell.wait(timeout=400)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)  # scheduler and workers go on in the background
    assert 0 == code, (tmp_path / "said").read_text()
    assert 2 == len(rows(tmp_path / "results" / "Au" / "micrographs.csv"))


def test_a_scheduler_that_is_not_there_is_a_line(tmp_path):
    """Wrong address: exit code 2."""
    done = temwatch("analyse", tmp_path, "--output", tmp_path / "out", "--dask", "tcp://127.0.0.1:1")
    assert 2 == done.returncode
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
