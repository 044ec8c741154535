"""Compiled code of these tests, for a copy of the package at another place.

numba names the folder of a function by the path of its source, so that the same code is compiled anew at
another path, which takes minutes. Here the folders are copied under the names that they have there; one
function is left out, so that a test still sees where a process compiles and writes.
"""

import hashlib
import os
import shutil
from pathlib import Path

import temwatch

_PACKAGE = Path(temwatch.__file__).parent
LEFT_OUT = "connected_components.small_holes"


def copy_for(package, cache):
    """Fill the folder `cache` of a process that has the package at `package`, as that process sees the path.

    Returns the folder in it that numba reads.
    """
    compiled = Path(os.environ["NUMBA_CACHE_DIR"])
    copied = cache / "numba" / compiled.name
    for room in (_PACKAGE / "analysis", *filter(Path.is_dir, (_PACKAGE / "analysis").rglob("*"))):
        there = Path(package) / room.relative_to(_PACKAGE)
        if (source := compiled / _folder(room)).is_dir():
            ignored = shutil.ignore_patterns(f"{LEFT_OUT}-*")
            shutil.copytree(source, copied / _folder(there), ignore=ignored)
    return copied


def written(cache):
    """Files below a folder of the function that `copy_for` left out."""
    return list(cache.rglob(f"{LEFT_OUT}-*.nbi"))


def _folder(source):
    """As numba names the folder of all functions whose sources lie in this folder."""
    return f"{source.name}_{hashlib.sha1(str(source).encode()).hexdigest()}"
