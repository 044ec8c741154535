"""Which earlier micrographs of its sample a new one belongs to, before it is recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from temwatch.analysis.exposures.fingerprint import COARSE_SHAPE, Fingerprint, find_kin, unpack
from temwatch.config import SampleSettings
from temwatch.domain import Kin
from temwatch.ledger import File, Ledger, PackedAnalysis, exposures


def find(
    ledger: Ledger, file: File, results: Sequence[PackedAnalysis], settings: SampleSettings
) -> Kin | None:
    """The kin of a micrograph that has a fingerprint; None for all else.

    The ledger has one writer, and this is its thread: nothing is recorded between this and the record.
    """
    if len(results) != 1 or results[0].fingerprint is None:
        return None
    return _search(ledger, file.id, file.sample, results[0].fingerprint.whole, settings)


def find_again(ledger: Ledger, file_id: int, sample: str, settings: SampleSettings) -> Kin | None:
    """The kin of a recorded micrograph among those of another sample; None where it has no fingerprint."""
    with ledger.reader() as reader:
        whole = exposures.fingerprint_of_file(reader, file_id)
    return None if whole is None else _search(ledger, file_id, sample, whole, settings)


def _search(ledger: Ledger, file_id: int, sample: str, whole: bytes, settings: SampleSettings) -> Kin | None:
    with ledger.reader() as reader, reader.snapshot():
        ids, maps = exposures.coarse_maps(reader, sample, without_file=file_id)
        if not ids:
            return None

        def load(place: int) -> Fingerprint:
            return unpack(exposures.fingerprint(reader, ids[place]))

        coarse = np.frombuffer(maps, np.int8).reshape(len(ids), *COARSE_SHAPE)
        copy, repeat = find_kin(unpack(whole), coarse, load)
    if copy is not None and settings.count_copies:
        copy, repeat = None, copy
    return Kin(copy=None if copy is None else ids[copy], repeat=None if repeat is None else ids[repeat])
