"""Fields that are not what the settings expect: blank film, bright particles, padding, in a real run."""

from datetime import UTC, datetime

import numpy as np
import pytest

from damaged_fields import BLANKS, DAMAGES, bright, clean
from system import command, rows, temwatch, threshold
from temwatch.outputs import paths
from temwatch.simulator import write_dm
from temwatch.simulator.micrograph import metadata_of
from temwatch.simulator.settings import SURVEY

pytestmark = pytest.mark.system


def test_the_rows_say_what_is_wrong_with_a_field(tmp_path):
    """Notes in micrographs.csv and in `temwatch status`; padding costs only the particles that it covers."""
    folder = tmp_path / "acquisition" / "Au"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    image = clean(0).image
    fields = {
        "blank": BLANKS["grain of 2 px"](random),
        "bright": bright(image),
        "ordinary": image,
        "padded": DAMAGES["40 black rows"](clean(1).image.astype(float), random).image,  # another field
    }
    for name, field in fields.items():
        counts = np.rint(field).astype(np.uint16)
        write_dm(
            folder / f"{name}.dm3",
            counts,
            pixel_size_nm=1.0,
            acquired_at=datetime(2026, 1, 1, tzinfo=UTC),
            metadata=metadata_of(SURVEY),
        )
    config = threshold(tmp_path)
    output = tmp_path / "results"

    done = temwatch("analyse", folder.parent, "--output", output, "--config", config)

    assert 0 == done.returncode, done.stderr
    found = {row["micrograph"]: row for row in rows(output / "Au" / paths.MICROGRAPHS)}
    notes = {name: found[f"Au/{name}.dm3"]["notes"] for name in fields}
    assert {
        "blank": "blank_field",
        "bright": "bright_particles_suspected;few_px_per_particle",  # what is found there are specks
        "ordinary": "",
        "padded": "",
    } == notes
    count = {name: int(found[f"Au/{name}.dm3"]["particles"]) for name in fields}
    assert 0 == count["blank"]
    assert min(count["padded"], count["ordinary"]) > 15
    config.write_text(config.read_text().replace('[output]\nfolder = "."', '[output]\nfolder = "results"'))
    said = command("status", "--config", config).stdout
    assert "the field looks blank" in said
    assert 'set particles = "bright"' in said
