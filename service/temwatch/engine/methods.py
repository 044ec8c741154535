"""With what each sample is analysed: the configuration, and over it the settings of the sample."""

from __future__ import annotations

from temwatch import setting_keys
from temwatch.analysis import pipeline
from temwatch.analysis.appearance.min_confidence import with_min_confidence
from temwatch.analysis.segmentation import for_particles
from temwatch.config import Config, SeparationSettings
from temwatch.domain import Method, Segmentation, Segmenter
from temwatch.setting_keys import PARTICLES, Polarity, Settings

_PREFIX = "separation."


class Methods:
    """The method of each sample.

    Parameters
    ----------
    config : Config
        Of the service.
    segmenter : Segmenter
        That of the configuration; it knows its opposite.
    method : Method
        That of the configuration.
    """

    def __init__(self, config: Config, segmenter: Segmenter, method: Method) -> None:
        self._config = config
        self._segmenter = segmenter
        self._configured = method

    def separation(self, settings: Settings) -> SeparationSettings:
        """The separation of a sample with these settings."""
        return setting_keys.separation(self._config.separation, settings)

    def polarity(self, settings: Settings) -> Polarity:
        """Whether its particles are dark or bright."""
        return setting_keys.polarity(self._config.segmentation, settings)

    def method(self, settings: Settings) -> Method:
        """What names them on every row."""
        if not settings:
            return self._configured
        segmenter = for_particles(self._segmenter, self.polarity(settings))
        certain = setting_keys.min_confidence(self._config.segmentation, settings)
        return pipeline.describe(with_min_confidence(segmenter, certain), self.separation(settings))

    def renewed(self, recorded: Method, settings: Settings) -> Method:
        """What names a micrograph of the sample that is resolved again; see `renewed`."""
        return renewed(recorded, self._config, settings)


def renewed(recorded: Method, config: Config, settings: Settings) -> Method:
    """The method of a micrograph that is resolved again: its old segmentation, and all else as it is now.

    Parameters
    ----------
    recorded : Method
        That of its row.
    config : Config
        Of the service.
    settings : Settings
        Of its sample.
    """
    prefix = "segmentation."
    segmenter = Segmenter(
        name=recorded.segmentation,
        segment=_stored,
        model_sha256=recorded.model_sha256,
        parameters=tuple(
            (key.removeprefix(prefix), value) for key, value in recorded.parameters if key.startswith(prefix)
        ),
    )
    certain = setting_keys.min_confidence(config.segmentation, settings)
    separation = setting_keys.separation(config.separation, settings)
    return pipeline.describe(with_min_confidence(segmenter, certain), separation)


def _stored(_: object) -> list[Segmentation]:
    raise AssertionError("the stored segmentation is used; nothing is segmented again")


def separation_of(method: Method) -> SeparationSettings:
    """The separation of a recorded method; what this version does not know any more is left out."""
    known = {
        key.removeprefix(_PREFIX): value
        for key, value in method.parameters
        if key.startswith(_PREFIX) and key.removeprefix(_PREFIX) in SeparationSettings.model_fields
    }
    return SeparationSettings.model_validate({"method": method.separation, **known})


def polarity_of(method: Method) -> str | None:
    """The polarity of a recorded method; None where its segmenter has none."""
    value = dict(method.parameters).get(PARTICLES)
    return None if value is None else str(value)
