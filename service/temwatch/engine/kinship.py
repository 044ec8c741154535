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
    with ledger.reader() as reader, reader.snapshot():
        ids, maps = exposures.coarse_maps(reader, file.sample, without_file=file.id)
        if not ids:
            return None

        def load(place: int) -> Fingerprint:
            return unpack(exposures.fingerprint(reader, ids[place]))

        coarse = np.frombuffer(maps, np.int8).reshape(len(ids), *COARSE_SHAPE)
        copy, repeat = find_kin(unpack(results[0].fingerprint.whole), coarse, load)
    if copy is not None and settings.count_copies:
        copy, repeat = None, copy
    return Kin(copy=None if copy is None else ids[copy], repeat=None if repeat is None else ids[repeat])
