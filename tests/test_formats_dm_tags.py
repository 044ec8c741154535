"""The tag tree of dm files: whatever tree is written comes back, and damage is bounded."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temwatch.errors import Refused
from temwatch.formats import dm_tags
from temwatch.formats.dm_tags import Array

CODES = {"h": 2, "i": 3, "H": 4, "I": 5, "f": 6, "d": 7, "B": 8, "b": 9, "q": 11, "Q": 12}
LIMITS = {"h": 16, "i": 32, "q": 64, "b": 8}
UNSIGNED = {"H": 16, "I": 32, "B": 8, "Q": 64}


def number(form: str) -> st.SearchStrategy:
    if form in "fd":
        return st.floats(width=32 if form == "f" else 64, allow_nan=False)
    if form in UNSIGNED:
        return st.integers(0, 2 ** UNSIGNED[form] - 1)
    return st.integers(-(2 ** (LIMITS[form] - 1)), 2 ** (LIMITS[form] - 1) - 1)


def numbers(size: int | None = None) -> st.SearchStrategy:
    """Pairs of a format and as many values, or up to five of one format."""
    if size is None:
        one = st.sampled_from(sorted(CODES))
        return one.flatmap(lambda form: st.tuples(st.just(form), st.lists(number(form), max_size=5)))
    return st.lists(st.sampled_from(sorted(CODES)), min_size=size, max_size=size).flatmap(
        lambda forms: st.tuples(st.just("".join(forms)), st.tuples(*map(number, forms)))
    )


LEAF = st.one_of(
    st.tuples(st.just("number"), numbers(1)),
    st.tuples(st.just("record"), st.integers(1, 4).flatmap(numbers)),
    st.tuples(st.just("array"), numbers()),
    st.tuples(st.just("text"), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
    st.tuples(st.just("string"), st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]))),
)
NAME = st.text(st.characters(max_codepoint=0xFF, exclude_characters="."), max_size=12)
TREE = st.recursive(
    LEAF,
    lambda children: st.tuples(st.just("group"), st.lists(st.tuples(NAME, children), max_size=5)),
    max_leaves=20,
).filter(lambda node: node[0] == "group")


def encoded(node, word: str) -> bytes:
    """The bytes of a group or of a value with its type; `word` is ">I" (dm3) or ">Q" (dm4)."""

    def words(*values: int) -> bytes:
        return b"".join(struct.pack(word, value) for value in values)

    kind, content = node
    if kind == "group":
        entries = b""
        for name, child in content:
            body, raw = encoded(child, word), name.encode("latin-1")
            entries += bytes([20 if child[0] == "group" else 21]) + struct.pack(">H", len(raw)) + raw
            entries += (struct.pack(">Q", len(body)) if word == ">Q" else b"") + body
        return b"\1\0" + words(len(content)) + entries
    if kind in ("text", "string"):
        raw = content.encode("utf-16-le")
        types = (20, 4, len(raw) // 2) if kind == "text" else (18, len(raw))
    else:
        form, values = content
        raw = struct.pack(f"<{len(values)}{form}" if kind == "array" else f"<{form}", *values)
        types = {
            "number": (CODES[form[:1]],),
            "record": (15, 0, len(form), *(part for code in form for part in (0, CODES[code]))),
            "array": (20, CODES[form[:1]], len(values)),
        }[kind]
    return b"%%%%" + words(len(types), *types) + raw


def whole(node, word: str = ">I") -> bytes:
    """A file; its declared length is not what is tested here."""
    return (
        struct.pack(">I", 3 if word == ">I" else 4) + struct.pack(word, 0) + b"\0\0\0\1" + encoded(node, word)
    )


def parsed(content: bytes) -> dm_tags.Tags:
    return dm_tags.parse(io.BufferedReader(io.BytesIO(content)), len(content))


def expected_entries(content):
    """What the parser has to make of a group: empty groups are left out, nameless entries are numbered."""
    entries = {}
    for place, (name, (kind, value)) in enumerate(content, 1):
        key = name or str(place)
        if kind != "group":
            entries[key] = (kind, value)
        elif below := expected_entries(value):
            present = entries.get(key)
            entries[key] = {**present, **below} if isinstance(present, dict) else below
    return entries


def check(expected, actual, content: bytes) -> None:
    assert expected.keys() == actual.keys()
    for name, want in expected.items():
        found = actual[name]
        if isinstance(want, dict):
            check(want, found, content)
            continue
        kind, value = want
        match kind:
            case "number":
                assert value[1][0] == found
            case "record":
                assert value[1] == found
            case "string":
                assert value == found
            case "text":
                assert (value, len(value.encode("utf-16-le")) // 2) == (found.text, found.count)
            case "array":
                assert isinstance(found, Array)
                read = np.frombuffer(content, found.dtype, found.count, found.offset)
                assert value[1] == read.tolist()


def merges(content) -> bool:
    """Two groups of one name: their members are counted together, which is no concern of this test."""
    names = [name or str(place) for place, (name, _) in enumerate(content, 1)]
    return len(set(names)) < len(names) or any(
        merges(value) for _, (kind, value) in content if kind == "group"
    )


@settings(deadline=None, max_examples=150)
@given(tree=TREE.filter(lambda tree: not merges(tree[1])), word=st.sampled_from([">I", ">Q"]))
def test_any_tree_comes_back(tree, word):
    """Every type of value at every depth; arrays are told by place, type and length."""
    content = whole(tree, word)
    stream = io.BufferedReader(io.BytesIO(content + bytes(8)))
    tags = dm_tags.parse(stream, len(content) + 8)
    check(expected_entries(tree[1]), tags.entries, content)
    assert len(content) == stream.tell()


@settings(deadline=None, max_examples=150)
@given(tree=TREE, word=st.sampled_from([">I", ">Q"]), cut=st.floats(0, 1, exclude_max=True))
def test_any_tree_that_is_cut_is_refused(tree, word, cut):
    """Nothing but a Refused comes out."""
    content = whole(tree, word)
    with pytest.raises(Refused) as refusal:
        parsed(content[: int(cut * len(content))])
    assert "not_a_micrograph" == refusal.value.code


@settings(deadline=None, max_examples=250)
@given(tree=TREE, word=st.sampled_from([">I", ">Q"]), data=st.data())
def test_any_tree_that_is_damaged_is_read_or_refused(tree, word, data):
    """Bytes changed anywhere behind the version."""
    content = bytearray(whole(tree, word))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        tags = parsed(bytes(content))
    except Refused:
        return
    for name in ("a", "1", "a.1"):
        tags.text(name), tags.number(name), tags.count(name), tags.array(name), list(tags.groups(name))


def nested(depth: int):
    node = ("number", ("h", (1,)))
    for _ in range(depth):
        node = ("group", [("a", node)])
    return node


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (nested(70), "deep"),
        (("group", [("a" * 1025, ("text", "b"))]), "make no sense"),
        (("group", [("", ("record", ("h" * 130, (1,) * 130)))]), "type of 263 words"),
    ],
)
def test_what_no_real_file_has_is_refused(node, reason):
    """Deep groups, long names, long types."""
    with pytest.raises(Refused, match=reason):
        parsed(whole(node))


def test_the_number_of_tags_is_bounded():
    """A group that claims 300 000 entries, and has them."""
    entry = b"\x14\0\0" + b"\0\0" + struct.pack(">I", 0)
    content = struct.pack(">III", 3, 0, 1) + b"\0\0" + struct.pack(">I", 300_000) + entry * 300_000
    with pytest.raises(Refused, match="more than 250000 tags"):
        parsed(content)


@pytest.mark.parametrize(
    "types", [(), (0,), (13,), (20,), (20, 4), (20, 20, 4, 1), (15, 0, 9, 0, 2), (15,), (18,)]
)
def test_an_unknown_or_incomplete_type_is_refused(types):
    """Its length is not known, so nothing behind it would make sense."""
    body = b"%%%%" + struct.pack(f">I{len(types)}I", len(types), *types) + bytes(64)
    content = struct.pack(">III", 3, 0, 1) + b"\0\0" + struct.pack(">I", 1) + b"\x15\0\1a" + body
    with pytest.raises(Refused, match="unknown type"):
        parsed(content)


def test_long_arrays_of_characters_are_not_loaded():
    """Pixels of 16 bit have the type of text."""
    long = parsed(whole(("group", [("Data", ("text", "x" * 40_000)), ("Name", ("text", " a\u2028b "))])))
    assert (None, 40_000, 80_000) == (
        long.array("Data").text,
        long.array("Data").count,
        long.array("Data").nbytes,
    )
    assert "a b" == long.text("Data", "Name")


def test_long_strings_are_not_loaded():
    """The other type of text has the same bound: a damaged length may claim the pixels of a whole stack."""
    long = parsed(whole(("group", [("Data", ("string", "x" * 40_000)), ("Name", ("string", " a\u2028b "))])))
    assert long.has("Data")
    assert "a b" == long.text("Data", "Name")


@pytest.mark.parametrize("kind", ["text", "string"])
def test_all_texts_together_are_bounded(kind):
    """As many as 16 MB are loaded, the rest is passed over; what follows is read."""
    texts = [(f"t{number}", (kind, "x" * 30_000)) for number in range(300)]
    tags = parsed(whole(("group", [*texts, ("n", ("number", ("i", (7,))))])))
    found = [tags.entries[name] for name, _ in texts]
    assert 16 * 1024**2 // 60_000 == sum(bool(one.text if kind == "text" else one) for one in found)
    assert 7 == tags.count("n")


def test_what_is_asked_for_by_the_wrong_type_is_none():
    """And so is what is not there."""
    tags = parsed(whole(("group", [("a", ("text", "b")), ("n", ("number", ("f", (float("inf"),))))])))
    assert [None] * 6 == [
        tags.number("a"),
        tags.count("a"),
        tags.number("n"),
        tags.count("n"),
        tags.array("n"),
        tags.text("a.b", "none"),
    ]


@pytest.mark.data
def test_the_tags_are_those_that_ncempy_reads(data_folder):
    """An independent reading of every file: names, numbers, texts, places and lengths of arrays."""
    from ncempy.io import dm

    def flat(group, prefix=""):
        for name, value in group.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}.{name}")
            else:
                yield f"{prefix}.{name}", value

    compared = 0
    for path in sorted((data_folder / "digital_micrograph").iterdir()):
        expected = dm.fileDM(str(path), on_memory=False).allTags
        with path.open("rb") as stream:
            actual = dict(flat(dm_tags.parse(stream, path.stat().st_size).entries))
        arrays = {f"{name}.{part}" for name in actual for part in ("arraySize", "arrayOffset", "arrayType")}
        assert actual.keys() == expected.keys() - arrays
        for name, value in actual.items():
            want = expected[name]
            if isinstance(value, Array) and f"{name}.arrayOffset" in expected:
                place = (int(expected[f"{name}.arrayOffset"]), int(expected[f"{name}.arraySize"]))
                assert place == (value.offset, value.nbytes), (path.name, name)
            elif isinstance(value, Array):
                assert value.dtype.itemsize == 1 or want == value.text, (path.name, name)
            elif isinstance(value, tuple):
                # ncempy reads the 64-bit numbers of a record as unsigned
                assert all(one in (other, other % 2**64) for one, other in zip(want, value, strict=True)), (
                    name
                )
            else:
                assert want == (pytest.approx(value) if isinstance(value, float) else value), (
                    path.name,
                    name,
                )
            compared += 1
    assert compared > 10_000
