"""Every exception of the project, with the exit code or the status it leads to.

Every error that a user can cause is one of these and is shown as one line; any other is an internal error.
"""

from __future__ import annotations

from temwatch.names import as_text


class TemwatchError(Exception):
    """Base class of all; its text is one line for the user."""

    exit_code = 1


class UsageError(TemwatchError):
    """A command was called with wrong arguments."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration cannot be used; the text names file, line and key."""


class StartError(TemwatchError):
    """The service cannot start: weights, port, or a ledger that another service holds."""

    exit_code = 3


class LedgerMissing(StartError):
    """There is no ledger in the state folder yet."""


class LedgerError(StartError):
    """The ledger can no longer be written: its disk is full, or another program has locked it."""


class WeightsError(StartError):
    """A weights file is missing, damaged or of another network."""


class MissingExtra(UsageError):
    """An optional package is not installed; the text names the extra that brings it."""

    def __init__(self, module: str) -> None:
        package, extra = EXTRAS[module]
        super().__init__(f"{package} is not installed; install it with: pip install 'temwatch[{extra}]'")


EXTRAS = {
    "apprise": ("Apprise", "notify"),
    "distributed": ("distributed (Dask)", "cluster"),
    "imageio_ffmpeg": ("imageio-ffmpeg", "film"),
    "openvino": ("OpenVINO", "openvino"),
    "roifile": ("roifile", "imagej"),
    "skimage": ("scikit-image", "train"),
    "torchvision": ("torchvision", "train"),
}
"""Modules that only an extra of temwatch brings: the package's name, and the extra."""


class Interrupted(TemwatchError):
    """The user stopped a long run; its results so far are kept, and the text says how to continue."""

    exit_code = 130


class InputError(TemwatchError):
    """One file cannot become a micrograph: `code` is a metric label, the text is for the user."""

    status = "failed"

    def __init__(self, code: str, text: str) -> None:
        super().__init__(as_text(" ".join(text.split())))
        self.code = code

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        # the default pickles the text only, and worker processes return these to the engine
        return type(self), (self.code, str(self))


class Refused(InputError):
    """The file was read and is not a micrograph that can be measured; trying again changes nothing."""

    status = "refused"


class Unreadable(InputError):
    """The file could not be read (permission, input/output error, it vanished); trying again may help."""


class Unwritable(OSError):
    """Spool or results cannot be written, which is no fault of the micrograph in hand."""


REFUSAL_CODES = {
    "empty": "no bytes at all",
    "truncated": "shorter than its header declares",
    "zero_filled": "the data end in zeros: reserved by the writer, never written",
    "not_a_micrograph": "not in the format that its name says",
    "a_folder": "a folder with the name of a micrograph",
    "no_pixel_size": "real-space image without a calibration",
    "anisotropic": "pixel sizes of the two axes differ by more than 1 %",
    "not_real_space": "diffraction pattern or Fourier transform",
    "not_a_sequence": "a stack of channels, of slices in depth or of different pixel sizes",
    "spectroscopy": "spectrum, spectrum image or spectroscopic map",
    "not_grey": "colour, complex or packed data",
    "too_small": "too few pixels to hold a particle",
    "no_contrast": "every pixel has the same value, or none is finite",
}
"""Why an input is refused: code (label of a metric) and meaning."""

FAILURE_CODES = {
    "permission_denied": "the service may not read the file",
    "vanished": "the file went away before it was read",
    "changed": "the file changed while it was read",
    "input_output": "the file system reported an error",
    "crashed": "the worker process died on it, repeatedly",
    "rosettasciio": "RosettaSciIO, which reads it, is not there, crashed or took too long",
    "out_of_memory": "not enough memory",
    "no_space": "the disk for spool or results is full",
    "internal": "an internal error of temwatch; the log has the details",
}
"""Why an input failed: code (label of a metric) and meaning."""

SKIP_CODES = {
    "link_loop": "symbolic links that lead to each other",
    "dangling_link": "a symbolic link to nothing",
    "link_outside": "a symbolic link that leads out of the watched folder",
    "path_too_long": "a path with more bytes than the system allows",
    "permission_denied": "the service may not examine it, or may not list the folder",
    "input_output": "the file system reported an error",
    "other_format": "pictures of a format that is not read; one line for each folder and format",
    "internal": "an internal error of temwatch; the log has the details",
}
"""Why the intake skips an entry of the watched folder: code (label of a metric) and meaning."""
