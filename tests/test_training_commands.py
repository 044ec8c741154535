"""`temwatch train` and `evaluate`: what they leave, what they refuse in one line, how they are stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from system import COMMAND, command, wait_until
from temwatch.analysis.segmentation import weights
from temwatch.cli import main

SMALL = ("--recipe", "temwatch", "--batch", "2", "--simulated", "0", "--workers", "0", "--device", "cpu")


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """Dark discs on bright noise, some of which touch, from five sources."""
    folder = tmp_path_factory.mktemp("data") / "discs"
    random = np.random.default_rng(0)
    rows, columns = np.indices((96, 96))
    for number in range(5):
        labels = np.zeros((96, 96), np.uint16)
        for particle, (row, column) in enumerate(random.uniform(10, 86, (8, 2)), 1):
            labels[(labels == 0) & ((rows - row) ** 2 + (columns - column) ** 2 < 100)] = particle
        image = 180 + random.normal(0, 10, labels.shape) - 90 * (labels > 0)
        write(folder / "images" / f"{number}.png", image.clip(0, 255).astype(np.uint8))
        write(folder / "instances" / f"{number}.png", labels)
    (folder / "index.csv").write_text("id,source\n" + "".join(f"{n},{n}\n" for n in range(5)))
    return folder


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--data", str(labelled), "--output", str(output), *SMALL, "--steps", "2"]) == 0
    return output


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_training_leaves_weights_division_checkpoint_and_measures(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"deeplab.safetensors", "deeplab.safetensors.sha256", "division.json", "checkpoint.pt"} <= names
    assert {"metrics.csv", "metrics.png"} <= names
    assert not {name for name in names if name.endswith(".tmp")}
    assert weights.read(trained / weights.DEFAULT_NAME).description.architecture == weights.FINE


def test_progress_is_plain_lines_where_there_is_no_terminal(labelled, tmp_path, capsys):
    assert run("train", "--data", labelled, "--output", tmp_path, *SMALL, "--steps", 1) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / weights.DEFAULT_NAME}\n"
    (line,) = captured.err.splitlines()
    assert "labelled 1/1 loss" in line
    for name in ("learning_rate", "tiles_per_second", "iou_particle", "particle_f1", "score"):
        assert f" {name} " in line


def test_a_finished_training_is_not_done_again(labelled, trained, capsys):
    assert run("train", "--data", labelled, "--output", trained, *SMALL, "--steps", 2) == 0
    assert capsys.readouterr().err == ""


def test_a_training_begins_with_weights_that_are_named(labelled, trained, tmp_path, capsys):
    first = trained / weights.DEFAULT_NAME
    arguments = ("train", "--data", labelled, "--output", tmp_path, *SMALL, "--steps", 1)
    assert run(*arguments, "--start-from", first) == 0
    description = weights.read(tmp_path / weights.DEFAULT_NAME).description
    assert description.started_from == weights.read(first).sha256

    assert run(*arguments) == 2  # the same, but from random weights, is another training
    assert "another training" in capsys.readouterr().err


def refusal(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) in (1, 2)
    text = capsys.readouterr().err
    assert text.startswith("temwatch: ")
    assert text.count("\n") == 1
    return text


def test_what_cannot_be_trained_is_refused_in_one_line(labelled, trained, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    output = ("--output", tmp_path / "out")
    assert "no data set" in refusal(capsys, "train", "--data", tmp_path / "empty", *output)
    assert "is there twice" in refusal(capsys, "train", "--data", labelled, labelled, *output)

    write(tmp_path / "odd" / "images" / "a.png", np.zeros((20, 20, 2), np.uint8))
    write(tmp_path / "odd" / "masks" / "a.png", np.zeros((20, 20), np.uint8))
    assert "(20, 20, 2) instead of (y, x)" in refusal(capsys, "train", "--data", tmp_path / "odd", *output)

    small = ("train", "--data", labelled, *SMALL, "--steps", 2)
    (tmp_path / "file").touch()
    assert "--output" in refusal(capsys, *small, "--output", tmp_path / "file")
    assert "--output" in refusal(capsys, *small, "--output", tmp_path / "file" / "below")
    assert "another training" in refusal(capsys, *small, "--output", trained, "--seed", 1)
    assert "cannot be read" in refusal(capsys, *small, *output, "--start-from", tmp_path / "none")
    first = ("--start-from", trained / weights.DEFAULT_NAME)
    assert "weights of another network" in refusal(
        capsys, "train", "--data", labelled, "--recipe", "paper", *output, *first
    )
    assert not (tmp_path / "out").exists()


def test_a_training_that_is_refused_leaves_the_other_one_alone(labelled, trained, capsys):
    before = (trained / "division.json").read_bytes()
    assert "another" in refusal(capsys, "train", "--data", labelled, "--output", trained, *SMALL, "--seed", 3)
    assert before == (trained / "division.json").read_bytes()


@pytest.mark.slow
@pytest.mark.system
def test_ctrl_c_saves_a_checkpoint_and_the_same_command_goes_on(labelled, tmp_path):
    arguments = ("train", "--data", labelled, "--output", tmp_path, *SMALL, "--steps", "100000")
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            # the last thing before the first step
            wait_until((tmp_path / "division.json").exists, 120, "the beginning")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == 130
        finally:
            process.kill()
            process.wait()
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert "the same command continues from there" in last
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert f"step {kept['step']} of 100000" in last
    assert kept["step"] >= 1


def test_the_table_has_pixels_particles_by_both_ways_confusion_and_every_micrograph(
    labelled, trained, capsys, tmp_path
):
    file = trained / weights.DEFAULT_NAME
    picture = tmp_path / "cases.png"
    assert run("evaluate", "--weights", file, "--data", labelled, "--picture", picture) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"deeplab {weights.read(file).sha256[:12]}\n5 micrographs, ")
    for name in ("iou_particle", "dice_background", "particle_f1", "diameter_bias", "service_particle_f1"):
        assert f"\n  {name} " in text
    assert "as the service itself reports them (uecs)" in text
    assert "outlines, as the service itself reports them: medians" in text
    assert "taken for particle" in text
    assert all(f"\n  discs/{number} " in text for number in range(5))
    with Picture.open(picture) as drawn:
        assert drawn.format == "PNG"


def test_json_names_the_weights_and_how_particles_were_parted(labelled, trained, capsys):
    file = trained / weights.DEFAULT_NAME
    assert run("evaluate", "--weights", file, "--data", labelled, "--json", "--separate", "none") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model_sha256"] == weights.read(file).sha256
    assert found["separation"] == "none"
    assert found["micrographs"] == len(found["per_micrograph"]) == 5
    assert {"iou_particle", "particle_f1", "service_particle_f1", "count_error"} <= found["pooled"].keys()


def test_the_threshold_is_the_baseline(labelled, capsys):
    assert run("evaluate", "--method", "threshold", "--data", labelled, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["segmentation"] == "threshold"
    assert found["pooled"]["iou_particle"] > 0.9
    assert found["pooled"]["service_particle_f1"] > 0.5
    (outlines,) = found["outlines"]
    assert outlines["data_set"] == "discs"
    assert outlines["edge_distance_px"]["number"] > 0
    assert abs(outlines["edge_distance_px"]["median"]) < 1
    assert outlines["diameter_ratio"]["median"] == pytest.approx(1, abs=0.1)


def test_outlines_are_looked_at_without_labels_too(labelled, tmp_path, capsys):
    """In micrographs of any format; what cannot be read is named, and the others are looked at."""
    base = ("evaluate", "--method", "threshold")
    assert run(*base, "--data", labelled, "--json") == 0
    with_labels = json.loads(capsys.readouterr().out)["outlines"][0]["edge_distance_px"]
    assert run(*base, "--unlabelled", labelled / "images", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert "pooled" not in found
    (outlines,) = found["outlines"]
    assert outlines["data_set"] == "images"
    assert outlines["diameter_ratio"]["number"] == 0
    assert outlines["edge_distance_px"]["number"] == with_labels["number"]
    assert outlines["edge_distance_px"]["median"] == pytest.approx(with_labels["median"], abs=0.02)

    (tmp_path / "lab").mkdir()
    with Picture.open(labelled / "images" / "0.png") as picture:
        picture.save(tmp_path / "lab" / "0.tif")
    (tmp_path / "lab" / "1.dm3").write_bytes(b"no micrograph")
    assert run(*base, "--unlabelled", tmp_path / "lab") == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"temwatch: {tmp_path / 'lab' / '1.dm3'}: ")
    assert said.err.count("\n") == 1
    assert said.out.splitlines()[-1].split()[0] == "lab"


def test_labelled_micrographs_are_needed_for_scores(labelled, tmp_path, capsys):
    base = ("evaluate", "--method", "threshold")
    unlabelled = (*base, "--unlabelled", labelled / "images")
    assert "--data or --unlabelled" in refusal(capsys, *base)
    assert "--picture" in refusal(capsys, *unlabelled, "--picture", tmp_path / "cases.png")
    assert "--part" in refusal(capsys, *unlabelled, "--part", "train")
    assert "no such file" in refusal(capsys, *base, "--unlabelled", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no micrograph" in refusal(capsys, *base, "--unlabelled", tmp_path / "empty")


def test_a_part_of_the_division_is_evaluated_alone(labelled, trained, capsys):
    parts = json.loads((trained / "division.json").read_text())
    base = ("evaluate", "--method", "threshold", "--data", labelled, "--json")
    names = []
    for part in ("train", "validation"):
        assert run(*base, "--part", part, "--division", trained / "division.json") == 0
        names.append([row["name"] for row in json.loads(capsys.readouterr().out)["per_micrograph"]])
    assert [sorted(part) for part in parts] == [sorted(part) for part in names]

    file = trained / weights.DEFAULT_NAME  # the division beside the weights is theirs
    assert run("evaluate", "--weights", file, "--data", labelled, "--json", "--part", "validation") == 0
    assert len(json.loads(capsys.readouterr().out)["per_micrograph"]) == len(parts[1])


def test_a_separation_method_that_does_not_exist_is_wrong_usage(labelled, capsys):
    assert 2 == run("evaluate", "--data", labelled, "--method", "threshold", "--separate", "magic")
    assert "invalid choice: 'magic'" in capsys.readouterr().err


def test_what_cannot_be_evaluated_is_refused_in_one_line(labelled, trained, tmp_path, capsys):
    base = ("evaluate", "--data", labelled)
    threshold = (*base, "--method", "threshold")
    (tmp_path / "net.safetensors").write_bytes(b"nothing")
    assert "not a weights file" in refusal(capsys, *base, "--weights", tmp_path / "net.safetensors")
    assert "cannot be read" in refusal(capsys, *base, "--weights", tmp_path / "none")
    assert "has no weights" in refusal(capsys, *threshold, "--weights", trained / weights.DEFAULT_NAME)
    assert "ending in .png" in refusal(capsys, *threshold, "--picture", tmp_path / "a.gif")
    assert "ending in .png" in refusal(capsys, *threshold, "--picture", tmp_path / "none" / "a.png")
    assert "needs --division" in refusal(capsys, *threshold, "--part", "train")
    assert "needs --part" in refusal(capsys, *threshold, "--division", trained / "division.json")
    division = ("--division", tmp_path / "division.json")
    assert "No such file" in refusal(capsys, *threshold, "--part", "train", *division)
    division[1].write_text("[[]]")
    assert "none of its part" in refusal(capsys, *threshold, "--part", "train", *division)
    assert "has no part test" in refusal(capsys, *threshold, "--part", "test", *division)
    assert "no such folder" in refusal(capsys, "evaluate", "--data", tmp_path / "none")


PROGRAM = """
import socket, sys
def refuse(*arguments, **options): raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
import numpy as np
import temwatch
from temwatch.cli import main
data, output = sys.argv[1:3]
assert main(["train", "--data", data, "--output", output, *sys.argv[3:]]) == 0
weights = output + "/deeplab.safetensors"
assert main(["evaluate", "--weights", weights, "--data", data]) == 0
temwatch.analyse(np.random.default_rng(0).normal(size=(64, 64)), pixel_size_nm=0.1, weights=weights)
print("done")
"""


@pytest.mark.system
@pytest.mark.slow
def test_training_evaluation_and_inference_need_no_network(labelled, tmp_path):
    """With sockets that refuse and a home without any cache but the code that is compiled."""
    environment = {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment |= {name: os.environ[name] for name in ("PATH", "NUMBA_CACHE_DIR")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(labelled), str(tmp_path / "out"), *SMALL, "--steps", "1"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
    )
    assert done.stdout.endswith("done\n"), done.stderr


@pytest.mark.parametrize(
    "arguments", [("--steps", "0"), ("--batch", "1"), ("--workers", "-1"), ("--recipe", "x")]
)
def test_wrong_options_are_usage_errors(labelled, tmp_path, arguments):
    done = command("train", "--data", labelled, "--output", tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
