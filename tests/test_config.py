"""The configuration: defaults, errors that name the line, and the example that ships."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from temwatch import choices, config
from temwatch.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]
EXAMPLE = (REPOSITORY / "config.example.toml").read_text()


def write(folder: Path, text: str) -> Path:
    path = folder / "temwatch.toml"
    path.write_text(text, encoding="utf-8")
    return path


MINIMAL = '[watch]\nfolder = "in"\n[output]\nfolder = "out"\n'


def test_the_example_that_ships_is_the_one_the_models_give():
    """config.example.toml lists every key with its default."""
    assert EXAMPLE == config.example()


def test_the_example_loads_and_holds_the_defaults(tmp_path):
    """A user may start from the example as it is."""
    loaded = config.load(REPOSITORY / "config.example.toml")
    minimal = config.load(
        write(tmp_path, '[watch]\nfolder = "/data/acquisition"\n[output]\nfolder = "/data/temwatch"\n')
    )
    assert minimal == loaded


def test_every_key_is_in_the_example():
    """No key is hidden from the reader of the example."""
    text = config.example()
    for section, field in config.Config.model_fields.items():
        assert f"[{section}]" in text
        for key in field.annotation.model_fields:
            assert f"\n{key} = " in text or f"\n# {key} = " in text, f"{section}.{key}"


COMMENTED = [line for line in EXAMPLE.splitlines() if re.match(r"# \w+ = ", line)]


def test_numbers_without_a_default_are_shown_as_comments():
    """The parametrised test below covers something."""
    assert ["pixel_size_nm", "frame_interval_s", "min_confidence", "min_diameter_px", "max_holes"] == [
        line.split()[1] for line in COMMENTED
    ]


@pytest.mark.parametrize("line", [*COMMENTED, None])
def test_an_uncommented_line_of_the_example_is_valid(tmp_path, line):
    """Each by itself, and all of them at once (None)."""
    wanted = COMMENTED if line is None else [line]
    text = "\n".join(row.removeprefix("# ") if row in wanted else row for row in EXAMPLE.splitlines())
    loaded = config.load(write(tmp_path, text)).model_dump()
    for row in wanted:
        key, value = row.removeprefix("# ").split(" = ")
        assert [float(value)] == [section[key] for section in loaded.values() if key in section]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (section, key)
        for section, field in config.Config.model_fields.items()
        for key, value in field.annotation.model_fields.items()
        if value.default is None
    ],
)
def test_an_empty_text_means_not_set(tmp_path, section, key):
    """TOML has no null; every key that may be left out may also be empty."""
    example = config.load(write(tmp_path, EXAMPLE))
    text = re.sub(rf"(?m)^(# )?{key} = .*$", f'{key} = ""', EXAMPLE)
    assert example == config.load(write(tmp_path, text))
    assert getattr(getattr(example, section), key) is None


@pytest.mark.parametrize("section", ["watch", "output"])
def test_a_required_folder_must_not_be_empty(tmp_path, section):
    """An empty text must not become the current folder."""
    text = re.sub(rf"(?s)(\[{section}\]\n)folder = \"\w+\"", r'\1folder = ""', MINIMAL)
    with pytest.raises(ConfigError, match=rf"\[{section}\] folder: must not be empty"):
        config.load(write(tmp_path, text))


def test_relative_paths_are_taken_from_the_folder_of_the_file(tmp_path):
    """The service may be started from anywhere."""
    loaded = config.load(write(tmp_path, MINIMAL))
    assert tmp_path / "in" == loaded.watch.folder
    assert tmp_path / "out" / ".temwatch" == loaded.output.state


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "typo = 1\n", "temwatch.toml:5: [output] typo is not a key of temwatch"),
        (MINIMAL + "[wach]\n", "temwatch.toml:5: [wach] is not a key of temwatch"),
        ('[watch]\nfolder = "in"\n', "[output] is missing"),
        ("[watch]\n[output]\nfolder = 'out'\n", "temwatch.toml:1: [watch] folder is missing"),
        (
            MINIMAL + "[separation]\nconvexity_threshold = 2\n",
            "temwatch.toml:6: [separation] convexity_threshold: ",
        ),
        (MINIMAL + "[samples]\npixel_size_nm = 5e7\n", "temwatch.toml:6: [samples] pixel_size_nm: "),
        (MINIMAL + "[samples]\npixel_size_nm = 5e-10\n", "temwatch.toml:6: [samples] pixel_size_nm: "),
        (MINIMAL + '[http]\nlisten = "8750"\n', "[http] listen: must be address:port"),
        (MINIMAL + '[samples]\npattern = "("\n', "is not a regular expression"),
        (MINIMAL + '[samples]\npattern = "(a)"\n', "needs a group named sample"),
        (MINIMAL + '[hook]\ncommand = ["archive"]\n', "[hook] command: must begin with the whole path"),
        (MINIMAL + '[hook]\ncommand = "/bin/archive x"\n', "temwatch.toml:6: [hook] command: "),
        ("[watch\n", "not valid TOML"),
    ],
)
def test_an_error_is_one_line_that_names_the_place(tmp_path, text, expected):
    """Whoever edits the file learns where to look."""
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, text))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    """No traceback for a wrong path."""
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "none.toml")


def test_choices_are_the_keys_of_the_dicts():
    """What may be configured is exactly what is there."""
    from temwatch.analysis.segmentation import SEGMENTERS
    from temwatch.analysis.separation import SEPARATORS

    assert set(get_args(choices.SegmentationMethod)) == set(SEGMENTERS)
    assert set(get_args(choices.SeparationMethod)) == set(SEPARATORS)


def test_the_example_is_toml_without_duplicates():
    """tomllib refuses a key that stands twice."""
    assert set(config.Config.model_fields) == set(tomllib.loads(config.example()))
