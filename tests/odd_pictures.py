"""TIFF files whose numbers would go wrong silently: what each states, and what has to become of it."""

import functools
import itertools

import numpy as np
import tifffile

from odd_entries import Entry

EDGE_PX = 96
_NUMBERS = itertools.count()


def picture(edge_px=EDGE_PX):
    """Noise with a dark disc of 20 px; another one each time."""
    y, x = np.indices((edge_px, edge_px))
    image = np.random.default_rng(next(_NUMBERS)).normal(1000, 20, (edge_px, edge_px))
    image[np.hypot(y - edge_px / 2, x - edge_px / 2) < 10] -= 400
    return image.astype(np.uint16)


def _tiff(folder, _, frames=1, **options):
    pixels = picture() if frames == 1 else np.stack([picture() for _ in range(frames)])
    tifffile.imwrite(folder / "odd_1.tif", pixels, photometric="minisblack", **options)


def _pages_of_different_scale(folder, _):
    with tifffile.TiffWriter(folder / "odd_1.tif") as tif:
        for per_cm in (1e8, 2e8):
            tif.write(picture(), resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", contiguous=False)


def _entry(name, expected, **options):
    return Entry(name, functools.partial(_tiff, **options), expected)


def _imagej(unit, **more):
    return {"imagej": True, "resolution": (10.0, 10.0), "metadata": {"unit": unit, **more}}


PICTURES = (
    _entry("centimetre", "done", resolution=(1e8, 1e8), resolutionunit="CENTIMETER"),
    _entry("inch", "done", resolution=(2.54e8, 2.54e8), resolutionunit="INCH"),
    _entry("micrometre", "done", resolution=(1e4, 1e4), resolutionunit="MICROMETER"),
    _entry("nanometers", "done", **_imagej("nanometers")),
    _entry("Nanomètres", "done", **_imagej("nanom\\u00E8tres")),
    _entry("resolution without unit", "refused", resolution=(1e8, 1e8), resolutionunit="NONE"),
    _entry("for printing", "refused", resolution=(300, 300), resolutionunit="INCH"),
    _entry("seconds", "refused", **_imagej("nm", yunit="s")),
    _entry("electronvolts", "refused", **_imagej("eV")),
    _entry("one per nanometre", "refused", **_imagej("1/nm")),
    _entry("degrees", "refused", **_imagej("deg")),
    _entry("impossible size", "refused", resolution=(4e9, 4e9), resolutionunit="MICROMETER"),
    _entry("anisotropic", "refused", resolution=(1e8, 2e8), resolutionunit="CENTIMETER"),
    _entry("channels", "refused", frames=3, **_imagej("nm", axes="CYX")),
    _entry("depth", "refused", frames=5, **_imagej("nm", axes="ZYX", spacing=7.0)),
    _entry(
        "diffraction",
        "refused",
        description="Microscope\nIllumination Mode: Diffraction\n",
        metadata=None,
    ),
    Entry("pages of different scale", _pages_of_different_scale, "refused"),
)
"""Sizes of those that are done are 0.1 nm a pixel."""
