"""Simulated exposures for the tests of copies and repeats: areas, their exposures, and exports of these."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from temwatch.simulator import Settings, detector, imaging
from temwatch.simulator.specimen import arrange

SETTINGS = Settings(size_px=640, particles=60)


class Area:
    """A specimen area somewhat larger than what one exposure shows of it."""

    def __init__(self, settings, seed):
        self.random = np.random.default_rng(seed)
        self.settings = settings
        projections = [projection for _, projection in arrange(settings, self.random)]
        field = imaging.empty_field(settings)
        crystals = ((one, imaging.random_crystals(settings, self.random)) for one in projections)
        imaging.add_particles(field, settings, crystals)
        carbon = imaging.carbon_phase(settings, field.phase.shape[0], self.random)
        self.relative = imaging.transmitted(field, settings, carbon)
        self.relative *= imaging.illumination(settings, self.random)

    def expose(self, drift_px=(0, 0), size_px=512):
        """One exposure: the same specimen, drifted, and new noise."""
        row, column = drift_px
        seen = self.relative[row : row + size_px, column : column + size_px]
        return detector.expose(seen, replace(self.settings, size_px=size_px), self.random)


def in_8_bit(image, low=0.5, high=99.5, gamma=1.0):
    """An export with the contrast between two percentiles, clipped."""
    dark, bright = np.percentile(image, [low, high])
    return (255 * np.clip((image - dark) / (bright - dark), 0, 1) ** gamma + 0.5).astype(np.uint8)


def with_scale_bar(image):
    """Written into the lower right corner, in a box."""
    height, width = image.shape
    marked = image.copy()
    marked[-height // 12 :, -width // 3 :] = 0
    marked[-height // 20 : -height // 30, -width // 4 : -width // 8] = 255
    return marked


def as_jpeg(image, quality=90):
    """Compressed and read again."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def halved(image):
    """At half size, as an image program makes it."""
    height, width = image.shape
    return np.asarray(Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.BOX))


def with_data_bar(image):
    """A bar below the image, as some microscopes' programs export it."""
    height, width = image.shape
    return np.vstack([image, np.zeros((height // 16, width), image.dtype)])


EXPORTS = {
    "whole range": lambda image: in_8_bit(image, 0, 100),
    "stretched": in_8_bit,
    "clipped": lambda image: in_8_bit(image, 5, 95),
    "gamma 0.6": lambda image: in_8_bit(image, 1, 99, 0.6),
    "gamma 1.8": lambda image: in_8_bit(image, 1, 99, 1.8),
    "scale bar": lambda image: with_scale_bar(in_8_bit(image)),
    "data bar": lambda image: with_data_bar(in_8_bit(image)),
    "half size": lambda image: halved(in_8_bit(image)),
    "cut below": lambda image: in_8_bit(image)[: -image.shape[0] // 12],
    "jpeg": lambda image: as_jpeg(in_8_bit(image)),
    "jpeg 75": lambda image: as_jpeg(in_8_bit(image), 75),
    "jpeg of half size": lambda image: as_jpeg(halved(in_8_bit(image)), 85),
    "other counts": lambda image: (image // 2).astype(np.uint16),
    "16 bit": lambda image: (65535 * ((image - image.min()) / np.ptp(image))).astype(np.uint16),
    "floats": lambda image: (0.37 * image - 12).astype(np.float32),
}
