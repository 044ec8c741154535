"""Words for units as microscopes and people write them, and what kind of quantity each is."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from typing import Literal

Kind = Literal["reciprocal", "energy", "time", "other quantity"]

# symbols after `plain`; case decides
_LENGTH_NM = {
    "m": 1e9,
    "cm": 1e7,
    "mm": 1e6,
    "μm": 1e3,
    "um": 1e3,
    "UM": 1e3,
    "μ": 1e3,
    "nm": 1.0,
    "NM": 1.0,
    "Nm": 1.0,
    "Å": 0.1,
    "A": 0.1,
    "pm": 1e-3,
    "PM": 1e-3,
    "in": 2.54e7,
    '"': 2.54e7,
}
_TIME_S = {"s": 1.0, "ms": 1e-3, "μs": 1e-6, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "fs": 1e-15, "h": 3600.0}

# words in lower case without accents: English, German, French, Spanish, Italian
_PREFIX = {
    "": 1.0,
    "centi": 1e-2,
    "zenti": 1e-2,
    "milli": 1e-3,
    "mili": 1e-3,
    "micro": 1e-6,
    "mikro": 1e-6,
    "nano": 1e-9,
    "pico": 1e-12,
    "piko": 1e-12,
    "femto": 1e-15,
}
_PREFIXED = "|".join(filter(None, _PREFIX))
_METRES = re.compile(rf"({_PREFIXED})?[\s-]?(?:met(?:er|re|ro|ri)|m)s?")
_OTHER_LENGTHS_NM = (
    (re.compile(r"mi[ck]ron(?:en|es|i|s)?|mi[ck]ra"), 1e3),
    (re.compile(r"ang(?:strom|stroem)(?:s|i)?|ang"), 0.1),
    (re.compile(r"inch(?:es)?|zoll|pouces?|pulgadas?"), 2.54e7),
)
_SECONDS = re.compile(rf"({_PREFIXED})?[\s-]?(?:se[ck]s?|se[ckg][ou]nd[aeo]?[ns]?)")
_OTHER_TIMES_S = (
    (re.compile(r"min(?:s|ute[ns]?|utos?)?"), 60.0),
    (re.compile(r"hrs?|hours?|stunden?|heures?|horas?"), 3600.0),
)

_RECIPROCAL = re.compile(r"^(?:\d+|\w+(?: \w+)?)?\s*/|[-−]\s*1$|^(?:reciprocal|inverse|inv)\b", re.I)
_ANGLE = re.compile(
    r"^(?:m|μ|u|milli|micro)?rad(?:ian)?s?$|^deg(?:rees?)?$|^grad$|^°$|^arc\s?(?:sec|min)\w*$", re.I
)
_ENERGY = re.compile(r"^[mkg]?e-?v\b|^electron[\s-]?volts?$|^[mk]?j(?:oules?)?$", re.I)
_OTHER_QUANTITY = re.compile(
    r"^[mk]?v(?:olts?)?$|^[kmg]?hz$|^hertz$|^k(?:elvins?)?$|^°\s?[cf]$|^celsius$", re.I
)


def plain(unit: str) -> str:
    """A unit without escapes, brackets and "per pixel", its micro and angstrom signs in one form."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), unit)  # as ImageJ writes µ
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")  # UTF-8 that somebody read as Latin-1
    # NFKC folds the micro sign into mu, the angstrom sign into Å, and raised figures into figures
    text = unicodedata.normalize("NFKC", text).strip(" \0\t\r\n.,;:")
    text = re.sub(r"^[(\[<](.*)[)\]>]$", r"\1", text).strip()
    text = re.sub(r"(?<=[^\W\d])\s*(?:/|\bper\b)\s*pi?x(?:els?)?$", "", text)
    return re.sub(r"\s+", " ", text)


def _word(text: str) -> str:
    """Lower case without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def nm_per(unit: str) -> float | None:
    """The unit of length in nm; None where it is no length."""
    text = plain(unit)
    if text in _LENGTH_NM:
        return _LENGTH_NM[text]
    word = _word(text)
    if len(word) > 2 and (match := _METRES.fullmatch(word)):
        return _PREFIX[match[1] or ""] * 1e9
    return next((nm for words, nm in _OTHER_LENGTHS_NM if words.fullmatch(word)), None)


def seconds_per(unit: str) -> float | None:
    """The unit of time in s; None where it is no time."""
    text = plain(unit)
    if text in _TIME_S:
        return _TIME_S[text]
    word = _word(text)
    if match := _SECONDS.fullmatch(word):
        return _PREFIX[match[1] or ""]
    return next((s for words, s in _OTHER_TIMES_S if words.fullmatch(word)), None)


def kind(unit: str) -> Kind | None:
    """What an axis in this unit is where it is surely no length; None for lengths and unknown words."""
    text = plain(unit)
    if nm_per(unit) is not None:
        return None
    if _ENERGY.search(text):
        return "energy"
    if _RECIPROCAL.search(text) or _ANGLE.search(text):
        return "reciprocal"
    if seconds_per(unit) is not None:
        return "time"
    return "other quantity" if _OTHER_QUANTITY.search(text) else None
