"""The validated configuration: one frozen model a section, every key with its default, unit and meaning.

config.example.toml is generated from these models and a test holds the two together.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from temwatch.errors import ConfigError

SegmentationMethod = Literal["threshold", "deeplab"]
SeparationMethod = Literal["uecs", "watershed", "contour", "none"]
TableFormat = Literal["csv", "xlsx", "parquet"]
Device = Literal["auto", "cpu", "cuda"]


def _expand(value: object) -> object:
    return (Path(value).expanduser() if value else None) if isinstance(value, str) else value


Folder = Annotated[Path, BeforeValidator(_expand)]


class Section(BaseModel):
    """A section of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WatchSettings(Section):
    """Where micrographs arrive and when they are taken to be complete."""

    folder: Folder = Field(description="acquisition folder, watched with everything below it")
    patterns: tuple[str, ...] = Field(
        ("*.dm3", "*.dm4", "*.tif", "*.tiff"),
        min_length=1,
        description="names to analyse; case does not matter",
    )
    settle_seconds: float = Field(
        2.0, ge=0, description="s without change of size and time before a file counts as complete"
    )
    scan_interval_seconds: float = Field(
        10.0, gt=0, description="s between full scans; they find what file system events missed"
    )
    spool_limit_bytes: int = Field(
        4 * 1024**3, ge=0, description="bytes; larger files are read in place instead of copied to the spool"
    )


class SampleSettings(Section):
    """How a micrograph finds its sample."""

    pattern: str = Field(
        "",
        description="regular expression with a group (?P<sample>...) on the path below the watched folder; "
        "empty: the first folder, else the name without a trailing counter",
    )
    pixel_size_nm: float | None = Field(
        None, gt=0, description="nm per pixel for files that do not state it; empty: such files are refused"
    )

    @field_validator("pattern")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if value and "sample" not in groups:
            raise ValueError("needs a group named sample, for example (?P<sample>[^/]+)/")
        return value


class TrackingSettings(Section):
    """How particles are followed from frame to frame."""

    memory_frames: int = Field(
        3, ge=0, le=1000, description="frames a particle may be missing from and still be the same"
    )
    largest_step_spacings: float = Field(
        0.5,
        gt=0,
        le=2,
        description="distances between neighbours that a particle may move from frame to frame, drift apart",
    )


class SequenceSettings(TrackingSettings):
    """Which folders of numbered files are sequences; stacks and Gatan's in situ tree are by themselves."""

    folders: tuple[str, ...] = Field(
        (), description="patterns of folders below the watched one whose numbered files are frames"
    )
    frame_interval_s: float | None = Field(
        None, gt=0, description="s between frames where neither file nor folder names tell; empty: not known"
    )
    gap_seconds: float = Field(
        30.0,
        gt=0,
        description="s to wait for a missing frame before it counts as a gap; it may still come later",
    )
    picture_every_frames: int = Field(100, ge=1, description="frames between two that get pictures")


class OutputSettings(Section):
    """Where results go and in which forms."""

    folder: Folder = Field(description="results, one folder a sample")
    formats: tuple[TableFormat, ...] = Field(
        ("csv",), description="tables to keep up to date: csv (always), xlsx, parquet"
    )
    pictures: bool = Field(True, description="write micrograph, mask and overlay as png")
    state_folder: Folder | None = Field(
        None, description="ledger, lock, spool and caches; empty: .temwatch in the output folder"
    )

    @property
    def state(self) -> Path:
        """Folder of ledger, lock, spool and caches."""
        return self.state_folder or self.folder / ".temwatch"


class SegmentationSettings(Section):
    """How particles are told from the background."""

    method: SegmentationMethod = Field(
        "deeplab", description="deeplab (trained network) or threshold (classical)"
    )
    weights: Folder | None = Field(
        None, description="safetensors file; empty: the weights that come with temwatch"
    )
    device: Device = Field("auto", description="auto, cpu or cuda; auto takes a GPU where there is one")
    particles: Literal["dark", "bright"] = Field("dark", description="dark (bright field) or bright (HAADF)")


class SeparationSettings(Section):
    """How clumps are parted and what counts as a particle (UECS: Park et al., IEEE TPAMI 2013)."""

    method: SeparationMethod = Field(
        "uecs", description="uecs, watershed, contour or none (clumps are measured whole)"
    )
    convexity_threshold: float = Field(
        0.95, gt=0, le=1, description="a region below it is non-convex: overlapping particles"
    )
    min_diameter_nm: float = Field(
        0.5, ge=0, description="nm; smaller particles and holes are removed (equivalent diameter)"
    )
    min_marker_px: int = Field(
        30, ge=0, description="px; a smaller marker is dropped where vanishing_markers = drop"
    )
    vanishing_markers: Literal["keep", "drop"] = Field(
        "keep", description="keep or drop markers that vanish before they are convex"
    )
    min_convexity: float = Field(
        0.0, ge=0, le=1, description="clumps below it are excluded whole; 0 keeps all (ANTEMA: 0.5)"
    )
    max_holes: int | None = Field(
        None, ge=0, description="clumps with more holes are excluded whole; empty keeps all (ANTEMA: 10)"
    )


class HttpSettings(Section):
    """The live page, the JSON API, health and metrics, all on one port."""

    listen: str = Field("127.0.0.1:8750", description="address:port; port 0 takes a free one")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="further host names a browser may use; * allows any"
    )
    token_file: Folder | None = Field(
        None, description="file with the token that allows changes; empty: read-only"
    )

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be address:port, for example 127.0.0.1:8750")
        return value

    @property
    def host(self) -> str:
        """Address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port to bind; 0 takes a free one."""
        return int(self.listen.rpartition(":")[2])


class LoggingSettings(Section):
    """What the service writes to standard error, where journald finds it."""

    format: Literal["json", "console"] = Field("json", description="json (one object a line) or console")
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )


class EngineSettings(Section):
    """How the work is spread."""

    workers: int = Field(0, ge=0, description="processes that read, separate and measure; 0: one a core")
    dask: str = Field(
        "", description="address of a Dask scheduler, such as tcp://head:8786; empty: this machine alone"
    )


class Config(Section):
    """The whole configuration."""

    watch: WatchSettings
    samples: SampleSettings = SampleSettings()
    sequences: SequenceSettings = SequenceSettings()
    output: OutputSettings
    segmentation: SegmentationSettings = SegmentationSettings()
    separation: SeparationSettings = SeparationSettings()
    http: HttpSettings = HttpSettings()
    logging: LoggingSettings = LoggingSettings()
    engine: EngineSettings = EngineSettings()


def load(path: Path) -> Config:
    """Read and validate a configuration; relative paths are taken from the file's own folder.

    Raises
    ------
    ConfigError
        One line that names the file, the line and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {detail}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(path, text, problem) for problem in error.errors())) from None
    return _anchored(config, path.absolute().parent)


def _anchored(config: Config, base: Path) -> Config:
    """Make every relative path absolute from `base`."""

    def anchor(section: Section) -> Section:
        paths = {
            name: base / value
            for name, value in section
            if isinstance(value, Path) and not value.is_absolute()
        }
        return section.model_copy(update=paths)

    return config.model_copy(update={name: anchor(section) for name, section in config})


def _explain(path: Path, text: str, problem: Any) -> str:
    keys = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    place = f"{path}:{_line(text, keys)}" if _line(text, keys) else str(path)
    name = f"[{keys[0]}]" + (f" {keys[1]}" if len(keys) > 1 else "")
    match problem["type"]:
        case "extra_forbidden":
            return f"{place}: {name} is not a key of temwatch"
        case "missing":
            return f"{place}: {name} is missing"
        case _:
            message = problem["msg"].removeprefix("Value error, ")
            return f"{place}: {name}: {message[0].lower()}{message[1:]} (found {problem['input']!r})"


def _line(text: str, keys: list[str]) -> int:
    """Line of a key, of its section where the key is not there, or 0; good enough for a message."""
    section, header = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[+\s*([\w-]+)", line):
            section = match[1]
            header = number if section == keys[0] else header
            continue
        key = keys[1] if len(keys) > 1 and section == keys[0] else keys[0] if not section else None
        if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return header


def example() -> str:
    """Text of config.example.toml: every key with its default, unit and meaning."""
    paths = {"watch": "/data/acquisition", "output": "/data/temwatch"}
    lines = [
        "# Configuration of temwatch: every key with its default.",
        "# Lines that begin with # show keys without a value; an unknown key is an error.",
        "# Relative paths are taken from the folder of this file.",
    ]
    for section, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, Section)
        lines += ["", f"[{section}]  # {(model.__doc__ or '').split(chr(10))[0]}"]
        for key, value in model.model_fields.items():
            default = paths[section] if value.is_required() else value.default
            lines.append(f"# {value.description}")
            lines.append(f'# {key} = ""' if default is None else f"{key} = {_toml(default)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case str():
            return f'"{value}"'
        case _:
            return str(value)
