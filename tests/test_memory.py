"""What memory there is, what a picture needs, and large pictures piece by piece."""

import pickle
import resource
from dataclasses import fields, replace
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

import sparse_files
from ledger_cases import START, arrival, result
from temwatch import memory, operating_system
from temwatch.analysis import segmentation
from temwatch.analysis.segmentation import pieces
from temwatch.config import Config, SegmentationSettings
from temwatch.domain import PixelSizeSource, Segmentation, Segmenter
from temwatch.engine import orders, spooled_image, tasks
from temwatch.engine.job import Job, MemoryShare
from temwatch.engine.orders import ReadOrder
from temwatch.errors import Refused, Unreadable
from temwatch.formats import Source
from temwatch.ledger import open_ledger, queue, recording
from temwatch.notes import Note


def group(folder, name, text):
    """A file of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "place", "name"),
    [
        ("0::/system.slice/temwatch.service\n", "system.slice/temwatch.service", "memory.max"),
        ("0::/system.slice/temwatch.service\n", "system.slice", "memory.high"),
        ("4:memory:/docker/abc\n0::/\n", "memory/docker/abc", "memory.limit_in_bytes"),
        ("5:cpu,memory:/elsewhere/abc\n", "memory", "memory.limit_in_bytes"),
    ],
)
def test_the_smallest_control_group_decides(tmp_path, monkeypatch, membership, place, name):
    """Of both versions; that of a parent, too; in a container the path need not exist."""
    (tmp_path / "cgroup").write_text(membership)
    monkeypatch.setattr(memory, "_MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "sys")
    machine = memory.limit_bytes()
    group(tmp_path / "sys" / place, name, "3000000000\n")
    group(tmp_path / "sys" / place / "deeper", name, "1\n")
    assert 3_000_000_000 == memory.limit_bytes() < machine
    group(tmp_path / "sys" / place, name, "max\n")
    assert machine == memory.limit_bytes()


@pytest.mark.parametrize(("limit", "place"), [(resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)])
def test_a_limit_of_the_process_counts(monkeypatch, limit, place):
    """As `ulimit -v` and `ulimit -d` set it."""
    free = memory.budget_bytes(workers=2)
    most = operating_system._used_bytes(place) + 2**30
    none = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda asked: (most, most) if asked == limit else (none, none))
    assert memory.budget_bytes(workers=2) < min(free, 2**30)


def test_what_a_picture_needs_grows_with_it_and_less_so_in_pieces():
    """A usual micrograph fits a small machine, a mosaic of 16k a usual one, and 14k never 3 GB."""
    assert 2 * 10**9 > memory.needed_bytes((4096, 4096))
    assert 6 * 10**9 > memory.needed_bytes((16384, 16384)) > memory.needed_bytes((14000, 14000)) > 3 * 10**9
    by_threshold, by_network = (
        memory.needed_bytes((16384, 16384), by_network=by_network) for by_network in (False, True)
    )
    assert 8 * 10**9 > by_network > by_threshold + 22 * 16384**2 - 12 * 16384**2


@pytest.mark.parametrize(("method", "by_network"), [("threshold", False), ("deeplab", True)])
def test_what_the_network_needs_is_known_before_the_picture_is_read(tmp_path, method, by_network):
    """Whether it is read for the first time or once more; a header that fits the threshold may not fit it."""
    config = Config.model_validate(
        {
            "watch": {"folder": tmp_path},
            "output": {"folder": tmp_path / "out"},
            "segmentation": {"method": method},
        }
    )
    with open_ledger(tmp_path / "state") as ledger:
        queue.add(ledger, arrival("a.dm3"))
        (file,) = queue.claim(ledger, 1, START)
        micrograph = recording.record(ledger, file.id, [result("a", 1)]).micrograph_ids[0]
        with ledger.reader() as reader:
            row = reader.micrograph(micrograph)
    job = Job.begin(file, tmp_path, 0)
    share = MemoryShare(2**60, 2**60)
    for order in (orders.read_order(job, config), orders.read_again_order(file, row, config, share)):
        assert by_network == order.by_network
        needed = memory.needed_bytes((14000, 14000))
        order = replace(order, memory=MemoryShare(needed, needed))
        if by_network:
            with pytest.raises(Unreadable, match="14000 x 14000 px"):
                tasks._check_memory(source((14000, 14000)), order)
        else:
            assert tasks._check_memory(source((14000, 14000)), order) is None


def source(shape, frames=None):
    """A file whose header was read; its pixels must not be."""
    return Source(
        path=None,
        shape=shape,
        frames=frames,
        pixel_size_nm=1.0,
        stated_pixel_size_nm=None,
        acquired_at=None,
        metadata=None,
        interval_s=None,
        load=lambda _: pytest.fail("was read"),
    )


def with_share(share):
    """Of an order, what decides how much memory there is."""
    return SimpleNamespace(memory=share, by_network=False)


def test_memory_is_checked_by_the_header_alone():
    """What never fits is set aside with its reason; what does not fit now waits."""
    needed = memory.needed_bytes((14000, 14000))
    assert tasks._check_memory(source((14000, 14000)), with_share(MemoryShare(needed, needed))) is None
    assert needed == tasks._check_memory(source((14000, 14000)), with_share(MemoryShare(needed - 1, needed)))
    with pytest.raises(Unreadable, match="14000 x 14000 px") as failure:
        tasks._check_memory(source((14000, 14000)), with_share(MemoryShare(1, needed - 1)))
    assert "out_of_memory" == failure.value.code
    with pytest.raises(Unreadable):  # two frames are in hand at once
        tasks._check_memory(source((14000, 14000), frames=9), with_share(MemoryShare(1, needed)))


def read_order(path, **more):
    """A file that was found as it is now, to be read for the first time."""
    return ReadOrder(
        source=path,
        spooled=path.with_name("spooled"),
        copy=False,
        size_bytes=path.stat().st_size,
        pixel_size_nm=1.0,
        pixel_size_source=PixelSizeSource.CONFIG,
        sequence=None,
        frame=None,
        **more,
    )


@pytest.mark.parametrize("kind", sparse_files.KINDS)
def test_the_header_of_a_huge_file_is_read_before_it_is_hashed(tmp_path, monkeypatch, kind):
    """A hundred gigabytes of nothing would hold a worker for minutes."""
    path = sparse_files.KINDS[kind](tmp_path)
    monkeypatch.setattr(tasks.spool, "fetch", lambda *_: pytest.fail("was hashed"))
    assert 100 * 2**30 <= path.stat().st_size
    with pytest.raises((Refused, Unreadable)) as refused:
        tasks.read(read_order(path))
    assert refused.value.code in ("not_a_micrograph", "zero_filled", "out_of_memory")
    with pytest.raises((Refused, Unreadable)):
        tasks.read_content(read_order(path))


def test_a_large_file_that_has_to_wait_is_not_hashed_twice(tmp_path, monkeypatch):
    """Its header says what it needs; it is hashed once there is room."""
    path, shape = tmp_path / "large.tif", (6000, 6000)
    tifffile.imwrite(path, np.ones(shape, np.int16))
    fetched = []
    monkeypatch.setattr(tasks.spool, "fetch", lambda *_: fetched.append(1) or "0" * 64)
    needed = memory.needed_bytes(shape)
    waits = tasks.read(read_order(path, memory=MemoryShare(needed - 1, needed)))
    assert (needed, "", []) == (waits.needs_bytes, waits.sha256, fetched)
    with pytest.raises(Refused, match="no contrast"):
        tasks.read(read_order(path, memory=MemoryShare(needed, needed)))
    assert [1] == fetched


def test_a_large_image_is_sent_by_name(tmp_path):
    """A part of it is sent as pixels, and a name that is gone hurts nobody."""
    image = np.arange(300 * 5, dtype=np.float32).reshape(300, 5)
    spooled = spooled_image.put(image, tmp_path / "1_0.pixels")
    sent = ForkingPickler.dumps(spooled)
    assert len(sent) < 1000
    np.testing.assert_array_equal(image, pickle.loads(sent))
    np.testing.assert_array_equal(image[7:9], pickle.loads(ForkingPickler.dumps(spooled[7:9])))
    (tmp_path / "1_0.pixels").unlink()
    np.testing.assert_array_equal(image, spooled)
    assert 0 == pickle.loads(sent).size


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 256 px, so that the test is cheap."""
    monkeypatch.setattr(memory, "LARGEST_WHOLE_PX", 300**2)
    monkeypatch.setattr(pieces, "PIECE_PX", 256)
    monkeypatch.setattr(pieces, "OVERLAP_PX", 64)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("shape", [(600, 700), (200, 1500), (301, 300)])
def test_a_mosaic_in_pieces_is_the_same_as_whole(shape):
    """Every pixel is decided once; particles on a seam are whole, and nothing said of a pixel is lost."""
    random = np.random.default_rng(1)
    y, x = np.indices(shape)
    image = random.normal(1000, 10, shape).astype(np.float32)
    for row, column in random.uniform((0, 0), shape, (40, 2)):
        image[(y - row) ** 2 + (x - column) ** 2 < 10**2] -= 200
    sizes = []

    def said(each):
        grey = np.clip(each / 5, 0, 255).astype(np.uint8)
        bits = {"mask": each < 900, "contacts": each < 850, "recorded": each > 800}
        return bits | {"level": 255 - grey, "probability": grey // 8}

    def dark(images):
        sizes.extend(each.size for each in images)
        return [Segmentation(**said(each)) for each in images]

    (found,) = pieces.in_pieces(Segmenter(name="dark", segment=dark)).segment([image])
    for name, plane in said(image).items():
        np.testing.assert_array_equal(plane, getattr(found, name))
    of_the_whole = {"picture", "sample_prior"}
    assert of_the_whole == {one.name for one in fields(found)} - {*said(image), "notes", "domain_distance"}
    assert max(sizes) <= 256**2
    whole, in_pieces = (
        build.segment([image])[0].mask
        for build in (
            segmentation.SEGMENTERS["threshold"](SegmentationSettings(method="threshold")),
            segmentation.build(SegmentationSettings(method="threshold")),
        )
    )
    assert np.count_nonzero(whole != in_pieces) < 0.05 * np.count_nonzero(whole)


@pytest.mark.usefixtures("small_pieces")
def test_a_mosaic_is_blank_only_where_all_of_it_is():
    """Other notes of a piece are notes of the whole."""
    notes = iter([(Note.BLANK_FIELD,), (Note.TWO_KINDS,)] * 50)

    def segment(images):
        return [Segmentation(mask=np.zeros(each.shape, bool), notes=next(notes)) for each in images]

    blank = np.zeros((400, 400), np.float32)
    (found,) = pieces.in_pieces(Segmenter(name="x", segment=segment)).segment([blank])
    assert (Note.TWO_KINDS,) == found.notes
