"""Confidence of particles, and a pale and doubtful kind that is rejected."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from ledger_cases import METHOD, START, arrival, result
from temwatch.analysis import pipeline, segmentation
from temwatch.analysis.appearance.confidence import STEPS, confidences
from temwatch.analysis.appearance.domain import domain_distance, notes_of
from temwatch.analysis.appearance.kinds import is_residue
from temwatch.analysis.appearance.min_confidence import min_confidence_of, with_min_confidence
from temwatch.analysis.appearance.picture import keeping_pictures
from temwatch.config import Config, SegmentationSettings, SeparationSettings
from temwatch.domain import Reason, Region, Segmentation, Segmenter
from temwatch.engine import decisions, requests
from temwatch.engine.measuring_again import measuring_again
from temwatch.ledger import Result, analyses, open_ledger, queue, recording
from temwatch.ledger.packing import pack_level
from temwatch.notes import Note
from temwatch.outputs import tables

CLEAR, PALE = 6, 12


def kept_probability(probability):
    """As a network's probabilities are kept."""
    return np.asarray(np.rint(probability * STEPS), np.uint8)


def field(pale_contrast=0.1, pale_probability=0.7, clear_contrast=0.6):
    """Six clear discs in a row and twelve pale ones below: image, mask and what a network says of them."""
    row, column = np.indices((220, 260))
    image = np.full(row.shape, 1000.0, np.float32)
    mask = np.zeros(row.shape, bool)
    probability = np.zeros(row.shape, np.float32)
    for number in range(CLEAR + PALE):
        is_clear = number < CLEAR
        at = (30 + 45 * (number // 6), 25 + 42 * (number % 6))
        inside = np.hypot(row - at[0], column - at[1]) <= (14 if is_clear else 9)
        mask |= inside
        image[inside] *= 1 - (clear_contrast if is_clear else pale_contrast)
        probability[inside] = 1.0 if is_clear else pale_probability
    return image, mask, probability


def segmenter_of(mask, probability):
    """A segmenter that finds this."""
    found = Segmentation(mask=mask, probability=kept_probability(probability))
    return keeping_pictures(Segmenter(name="deeplab", segment=lambda images: [found for _ in images]))


def found(*arguments, min_confidence=None):
    """An analysis of the field, as the service makes it."""
    image, mask, probability = field(*arguments)
    (one,) = segmenter_of(mask, probability).segment([image])
    return pipeline.resolve_segmentation(
        one, pixel_size_nm=0.1, settings=SeparationSettings(), min_confidence=min_confidence
    )


def doubted(analysis):
    return sum(rejection.reason is Reason.LOW_CONFIDENCE for rejection in analysis.rejections)


def disc(radius=8):
    row, column = np.indices((2 * radius + 1, 2 * radius + 1))
    return Region(origin_px=(3, 4), mask=np.hypot(row - radius, column - radius) <= radius)


def confidence_of(probability, *, contrast=(0.5,), visible=1.0):
    """Of one disc in which each pixel has this probability."""
    codes = np.full((40, 40), kept_probability(np.float32(probability)), np.uint8)
    region = replace(disc(), visible_fraction=visible)
    return confidences([region] * len(contrast), codes, np.array(contrast, float)).tolist()


def test_it_grows_with_what_the_network_is_sure_of():
    """A probability of one half, above which a pixel is particle, is no particle yet."""
    values = [confidence_of(share)[0] for share in (0.5, 0.7, 0.9, 0.97, 1.0)]
    assert values == sorted(values)
    assert values[0] < 0.1
    assert values[-1] > 0.95


def test_what_is_pale_beside_others_or_hidden_is_less_certain():
    alone, pale = confidence_of(0.9), confidence_of(0.9, contrast=(0.05, 0.6, 0.6))
    assert pale[0] < pale[1] == pytest.approx(alone[0])
    assert confidence_of(0.9, visible=0.4)[0] < alone[0]
    assert confidence_of(0.9, contrast=(np.nan,)) == alone


def test_both_halves_of_a_region_count():
    """The surer half of one pixel is that pixel; doubt of the outline counts less than that of the middle."""
    codes = np.full((40, 40), STEPS, np.uint8)
    single = Region(origin_px=(0, 0), mask=np.ones((1, 1), bool))
    assert 1 == len(confidences([single], codes, np.array([0.5])))
    whole = Region(origin_px=(0, 0), mask=np.ones((10, 10), bool))
    sure = confidences([whole], codes, np.array([0.5]))[0]
    codes[:5] = STEPS // 2
    outline = confidences([whole], codes, np.array([0.5]))[0]
    codes[:6] = STEPS // 2
    middle = confidences([whole], codes, np.array([0.5]))[0]
    assert middle < outline < sure


def test_a_pale_and_doubtful_kind_is_rejected_with_its_reason():
    """And counted, and drawn; nothing of the clear kind is."""
    analysis = found()
    assert (CLEAR, PALE) == (len(analysis.particles), doubted(analysis))
    assert all(particle.confidence > 0.9 for particle in analysis.particles)


@pytest.mark.parametrize(
    "arguments",
    [
        (0.1, 1.0, 0.6),  # pale, and the network is sure: small or thin particles beside large ones
        (0.5, 0.7, 0.6),  # doubtful, and as dark as the others
        (0.1, 0.7, 0.1),  # all of them pale
    ],
)
def test_particles_that_differ_in_one_way_alone_stay(arguments):
    analysis = found(*arguments)
    assert (CLEAR + PALE, 0) == (len(analysis.particles), doubted(analysis))


def test_one_kind_is_never_divided():
    """Whatever its spread, and however doubtful all of it is."""
    random = np.random.default_rng(3)
    for spread in (0.05, 0.3, 0.8):
        contrast = np.clip(0.3 * np.exp(random.normal(0, spread, 400)), 0, 1)
        assert not is_residue(contrast, np.full(400, 0.95)).any()
        assert not is_residue(contrast, np.full(400, 0.2)).any()
    assert not is_residue(np.full(50, 0.4), np.full(50, 0.2)).any()
    assert not is_residue(np.array([]), np.array([])).any()
    assert not is_residue(np.full(50, np.nan), np.full(50, np.nan)).any()


def test_few_are_no_kind():
    contrast = np.array([0.6] * 10 + [0.1] * 4)
    confidence = np.array([0.98] * 10 + [0.05] * 4)
    assert not is_residue(contrast, confidence).any()
    assert 5 == is_residue(np.append(contrast, 0.1), np.append(confidence, 0.05)).sum()


def test_the_least_confidence_can_be_set():
    """0 keeps all; another value rejects whatever is below it."""
    assert (CLEAR + PALE, 0) == (len(found(min_confidence=0.0).particles), doubted(found(min_confidence=0.0)))
    for contrast in (0.1, 0.5):
        analysis = found(contrast, min_confidence=0.9)
        assert (CLEAR, PALE) == (len(analysis.particles), doubted(analysis))


def test_without_probabilities_nothing_is_doubted():
    """Of the method threshold: contrast, and no confidence."""
    image, mask, _ = field()
    (one,) = keeping_pictures(
        Segmenter(name="threshold", segment=lambda images: [Segmentation(mask=mask) for _ in images])
    ).segment([image])
    for least in (None, 0.9):
        analysis = pipeline.resolve_segmentation(
            one, pixel_size_nm=0.1, settings=SeparationSettings(), min_confidence=least
        )
        table = analysis.table()
        assert CLEAR + PALE == len(table)
        assert table["confidence"].isna().all()
        assert table["contrast"].notna().all()


def test_the_method_says_what_was_set():
    """Rows that were found with another value have another digest; without one it is as it was."""
    plain = Segmenter(name="threshold", segment=list, parameters=(("particles", "dark"),))
    both = with_min_confidence(replace(plain, opposite=plain), 0.25)
    for one in (both, both.opposite):
        assert 0.25 == min_confidence_of(pipeline.describe(one, SeparationSettings()))
    again = with_min_confidence(both, None)
    assert plain.parameters == again.parameters == again.opposite.parameters
    assert min_confidence_of(pipeline.describe(again, SeparationSettings())) is None
    assert min_confidence_of(METHOD) is None


@pytest.fixture
def config(tmp_path):
    return Config.model_validate(
        {
            "watch": {"folder": str(tmp_path)},
            "output": {"folder": str(tmp_path / "results"), "pictures": False},
            "segmentation": {"method": "threshold"},
        }
    )


@pytest.fixture
def ledger(config):
    with open_ledger(config.output.state) as ledger:
        yield ledger


def record(ledger):
    """The field in the ledger; gives the id of its row."""
    image, mask, probability = field()
    segmenter = segmenter_of(mask, probability)
    (one,) = segmenter.segment([image])
    analysis = pipeline.resolve_segmentation(one, pixel_size_nm=0.1, settings=SeparationSettings())
    file_id = queue.add(ledger, arrival("Au/1.dm3", sample="Au"))
    queue.claim(ledger, 1, START)
    result = Result(
        sha256="0" * 64,
        segmentation=one,
        analysis=replace(analysis, method=pipeline.describe(segmenter, SeparationSettings())),
        analysed_at=START,
        seconds=0.1,
    )
    return recording.record(ledger, file_id, [result]).micrograph_ids[0]


def state(ledger, micrograph):
    """Confidences of the row's particles, and how many regions it says were doubted."""
    with ledger.reader() as reader:
        values = [one.confidence for one in analyses.particles(reader, micrograph)]
        return values, reader.micrograph(micrograph).rejected[Reason.LOW_CONFIDENCE]


def test_a_setting_of_the_sample_puts_them_back_and_takes_them_out_again(ledger, config):
    """From the ledger, without the original; rows are then what they were."""
    micrograph = record(ledger)
    before = state(ledger, micrograph)
    assert (CLEAR, PALE) == (len(before[0]), before[1])
    with ledger.reader() as reader:
        (counted,) = reader.connection.execute(
            "SELECT value FROM counters WHERE name = 'particles_rejected' AND label = 'low_confidence'"
        ).fetchone()
    assert PALE == counted

    def put(value):
        asked = {"sample": "Au", "values": {"segmentation.min_confidence": value}, "by": "anna"}
        decisions.decide(ledger, "settings", {**asked, "source": "command", "reason": ""})
        requests.complete(measuring_again(ledger, config, requests.workers_here(config), lambda _: None))
        return state(ledger, micrograph)

    after = put(0)
    assert (CLEAR + PALE, 0) == (len(after[0]), after[1])
    assert before == put(None)


def test_probabilities_take_few_bytes():
    """Inside and outside of particles they are 0 or 1."""
    image, mask, probability = field()
    (one,) = segmenter_of(mask, probability).segment([image])
    assert len(pack_level(one.probability)) < 0.05 * image.size


def test_the_configuration_sets_it():
    """As every segmenter that is built says."""
    settings = SegmentationSettings(method="threshold", min_confidence=0.3)
    for build in (segmentation.build, segmentation.build_lazily):
        assert 0.3 == min_confidence_of(pipeline.describe(build(settings), SeparationSettings()))


def test_what_the_network_doubts_is_far_from_what_it_knows():
    """Noise makes every network doubt: in a noisy micrograph as much doubt is less far away."""
    mask = np.ones((20, 20), bool)
    distances = [
        domain_distance(np.full(mask.shape, step, np.uint8), mask, 0.01) for step in (STEPS, 30, 22, 16)
    ]
    assert 0.0 == distances[0]
    assert distances == sorted(distances)
    doubtful = np.full(mask.shape, 22, np.uint8)
    assert domain_distance(doubtful, mask, 0.5) < distances[2]
    assert domain_distance(doubtful, ~mask, 0.01) is None
    assert () == notes_of(None) == notes_of(distances[1])
    assert (Note.OUT_OF_DOMAIN,) == notes_of(distances[3])


def test_the_distance_is_in_the_table_of_micrographs(ledger):
    """Empty where it is not known; resolving again leaves it alone."""
    numbers = [
        recording.record(ledger, queue.add(ledger, arrival(f"{content}.dm3")), [result(content)])
        for content in range(6)
    ]
    with ledger.reader() as reader:
        rows = [reader.micrograph(one.micrograph_ids[0]) for one in numbers]
        text = list(csv.DictReader("".join(tables.csv_text(tables.MICROGRAPHS, reader, "Au")).splitlines()))
    given = [result(content).segmentation.domain_distance for content in range(6)]
    assert given == [row.domain_distance for row in rows]
    assert {True, False} == {distance is None for distance in given}
    assert [distance is None for distance in given] == [row["domain_distance"] == "" for row in text]
