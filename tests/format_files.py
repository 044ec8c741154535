"""Files as microscopes write them, made from their published layouts."""

import json
import struct

import h5py
import numpy as np

SER_TYPES = {"u1": 1, "u2": 2, "u4": 3, "i1": 4, "i2": 5, "i4": 6, "f4": 7, "f8": 8, "c8": 9}


def write_ser(path, pictures, step_m=2.5e-10, *, version=0x220, kind=0x4122, dimensions=None, **options):
    """A series of TIA; `dimensions` are (length, step, unit) of the axes along which the pictures lie."""
    form = "q" if version == 0x220 else "i"
    steps = options.get("steps", [(step_m, step_m)] * len(pictures))
    dimensions = [(len(pictures), 1.0, "")] if dimensions is None else dimensions
    head = struct.pack("<2sHHiiii", b"II", 0x197, version, kind, 0x4152, len(pictures), len(pictures))
    axes = b""
    for length, step, unit in dimensions:
        axes += struct.pack("<iddii", length, 0.0, step, 0, 6) + b"Number"
        axes += struct.pack("<i", len(unit)) + unit.encode("latin-1")
    arrays = len(head) + struct.calcsize(f"<{form}") + 4 + len(axes)
    content = head + struct.pack(f"<{form}i", arrays, len(dimensions)) + axes
    place = arrays + 2 * len(pictures) * struct.calcsize(f"<{form}")
    elements, offsets = b"", []
    for picture, (x, y) in zip(pictures, steps, strict=True):
        offsets.append(place + len(elements))
        kind_of = SER_TYPES[picture.dtype.newbyteorder("<").str[1:]]
        height, width = picture.shape
        elements += struct.pack("<ddiddihii", 0, x, 0, 0, y, 0, kind_of, width, height)
        elements += np.ascontiguousarray(picture[::-1]).tobytes()  # the first row is the lowest
    tags = place + len(elements)
    content += struct.pack(f"<{len(pictures)}{form}", *offsets)
    content += struct.pack(f"<{len(pictures)}{form}", *(tags + 8 * n for n in range(len(pictures))))
    content += elements + b"".join(
        struct.pack("<HHi", 0x4152, 0, 1_700_000_000 + n) for n in range(len(pictures))
    )
    path.write_bytes(content)
    return path


def write_mrc(path, pixels, step_A=2.5, *, order="<", mode=None, stamp=True, extended=b"", **words):
    """MRC2014; `words` are numbers by their place: `w28=20150` is the version."""
    sections, height, width = pixels.shape if pixels.ndim == 3 else (1, *pixels.shape)
    modes = {"i1": 0, "i2": 1, "f4": 2, "c8": 4, "u2": 6, "f2": 12, "u1": 0}
    header = bytearray(1024)

    def put(word, form, *values):
        struct.pack_into(order + form, header, 4 * (word - 1), *values)

    put(1, "4i", width, height, sections, modes[pixels.dtype.str[1:]] if mode is None else mode)
    put(8, "3i", width, height, 1)
    put(11, "3f", step_A * width, step_A * height, step_A)
    put(14, "3f", 90, 90, 90)
    put(17, "3i", 1, 2, 3)
    put(20, "2f", float(pixels.real.min()), float(pixels.real.max()))
    put(24, "i", len(extended))
    put(28, "i", 20140)
    if stamp:
        header[208:212] = b"MAP "
    header[212:214] = b"\x44\x44" if order == "<" else b"\x11\x11"
    if extended:
        header[104:108] = b"FEI1"
    for word, value in words.items():
        put(int(word[1:]), "f" if isinstance(value, float) else "i", value)
    path.write_bytes(bytes(header) + extended + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes())
    return path


def fei_record(pixel_m=2.5e-10, *, voltage_V=300e3, tilt=0.0, mode=1, projection=2):
    """A record of Thermo Fisher's extended header of MRC, FEI1."""
    record = bytearray(768)
    struct.pack_into("<ii", record, 0, 768, 0)
    record[20:25] = b"TITAN"
    for place, value in (
        (84, voltage_V),
        (100, tilt),
        (156, pixel_m),
        (164, pixel_m),
        (289, 5e4),
        (419, 0.5),
    ):
        struct.pack_into("<d", record, place, value)
    struct.pack_into("<ii", record, 244, mode, projection)
    return bytes(record)


def velox_metadata(size_m=2.5e-10, unit="m", detector="BM-Ceta", frame_time=None):
    """The JSON of a frame, as Velox writes it: numbers are texts."""
    said = {
        "BinaryResult": {
            "PixelSize": {"width": repr(size_m), "height": repr(size_m)},
            "PixelUnitX": unit,
            "PixelUnitY": unit,
            "Offset": {"x": "0", "y": "0"},
            "DetectorIndex": "0",
            "Detector": detector,
        },
        "Detectors": {"Detector-0": {"DetectorName": detector, "ExposureTime": "0.5"}},
        "Optics": {"AccelerationVoltage": "200000", "NominalMagnification": "80000"},
        "Instrument": {"Manufacturer": "FEI Company", "InstrumentModel": "Talos F200X"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}, "SourceType": "XFEG"},
        "Core": {"MetadataDefinitionVersion": "7.9", "guid": "00000000000000000000000000000000"},
        "Stage": {"AlphaTilt": "0"},
        "Scan": {} if frame_time is None else {"FrameTime": repr(frame_time)},
        "CustomProperties": {},
    }
    return json.dumps(said).encode()


def write_velox(path, pictures, *, version="11", program="Velox", spectra=False, **options):
    """An EMD of Velox; `pictures` are pixels, shape (y, x, frames), and metadata of each frame, by name."""
    with h5py.File(path, "w") as file:
        said = json.dumps({"format": program, "version": version})
        file.create_dataset("Version", data=[said], dtype=h5py.string_dtype())
        for name, (pixels, frames) in pictures.items():
            group = file.create_group(f"Data/Image/{name}")
            group.create_dataset("Data", data=pixels, **options)
            length = max(map(len, frames)) + 8
            texts = np.zeros((length, len(frames)), np.uint8)
            for column, text in enumerate(frames):
                texts[: len(text), column] = np.frombuffer(text, np.uint8)
            group.create_dataset("Metadata", data=texts)
        if spectra:
            file.create_dataset("Data/SpectrumStream/abc/Data", data=np.zeros(100, np.uint16))
    return path
