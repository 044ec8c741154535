"""`temwatch deploy-files`: what a machine needs to run the service, out of the installed package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from temwatch.errors import TemwatchError, UsageError
from temwatch.outputs.files import replacing

_PACKAGE = Path(__file__).parents[1]
_EXAMPLE = "config.example.toml"


def run(arguments: argparse.Namespace) -> int:
    """Write every file with one line each; 1 where a file was changed by hand and is left alone."""
    refused = 0
    for name, source in deploy_files():
        target = arguments.folder / name
        try:
            state = _write(target, source.read_bytes(), force=arguments.force)
        except OSError as error:
            raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None
        if state == "differs":
            print(f"temwatch: {target}: has been changed; --force replaces it", file=sys.stderr)  # noqa: T201
            refused = 1
        else:
            print(f"{state:<9} {target}")  # noqa: T201
    return refused


def deploy_files(package: Path = _PACKAGE) -> Iterator[tuple[str, Path]]:
    """Path below the folder and place of every file: in the installed package, or in the source tree.

    Raises
    ------
    TemwatchError
        This installation has none of them.
    """
    for root in (package, package.parents[1]):  # service/temwatch in the source tree
        folder = root / "deploy"
        if (folder / "temwatch.service").is_file():
            break
    else:
        raise TemwatchError("this installation of temwatch has no deploy files; install the wheel again")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path.relative_to(folder).as_posix(), path
    yield _EXAMPLE, root / _EXAMPLE


def _write(target: Path, content: bytes, *, force: bool) -> str:
    """What became of a file: written, replaced or unchanged; differs where it is left as it is."""
    present = target.read_bytes() if target.exists() else None
    if present == content:
        return "unchanged"
    if present is not None and not force:
        return "differs"
    with replacing(target) as stream:
        stream.write(content)
    return "written" if present is None else "replaced"
