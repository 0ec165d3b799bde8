"""Damaged headers of real binary recordings: an EcgServeError or a recording, at once."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serve_app.decoding import Limits, Upload, decode
from serve_app.errors import EcgServeError

SMALL = Limits(max_unpacked_bytes=1 << 22, max_samples=1 << 20)
LONGEST_S = 1.0
Seed = tuple[str, bytes, int]


def _ishne(data_dir: Path) -> bytes:
    """Two hundred samples a lead, without the checksum, which would notice every change."""
    body = (data_dir / "formats/ishne/ECG_P28.01.ecg").read_bytes()[: 522 + 200 * 24]
    return body[:8] + bytes(6) + (200).to_bytes(4, "little") + body[18:]


def _derived(name: str) -> Callable[[Path], bytes]:
    return lambda data_dir: (data_dir / "derived" / name).read_bytes()


# Media type, content, length of the header.
SEEDS: dict[str, tuple[str, Callable[[Path], bytes], int]] = {
    "edf": ("application/edf", _derived("edf/mitdb201_plus.edf"), 1792),
    "bdf": ("application/bdf", _derived("bdf/mitdb119.bdf"), 1792),
    "mfer": ("application/x-mfer", _derived("mfer/ptbxl98.mwf"), 170),
    "ishne": ("application/x-ishne", _ishne, 522),
}


@pytest.fixture(params=SEEDS)
def seed(request: pytest.FixtureRequest, data_dir: Path) -> Seed:
    kind, read, header_bytes = SEEDS[request.param]
    return kind, read(data_dir), header_bytes


def test_the_seeds_decode(seed: Seed) -> None:
    kind, body, _ = seed
    assert decode(Upload((("", body),), kind), limits=SMALL).signal_mv.size > 1000


def test_changed_bytes(seed: Seed) -> None:
    _, body, header_bytes = seed
    draw = np.random.default_rng(1)
    for _ in range(1000):
        changed = bytearray(body)
        for place in draw.integers(0, header_bytes, draw.integers(1, 4)):
            changed[place] = draw.choice(
                [0, 0x20, 0x2D, 0x39, 0x7F, 0x80, 0xFF, draw.integers(256)]
            )
        _survive(seed, bytes(changed))


def test_removed_and_inserted_bytes(seed: Seed) -> None:
    _, body, header_bytes = seed
    draw = np.random.default_rng(2)
    for _ in range(300):
        place, cut, more = draw.integers(0, [header_bytes, 9, 9])
        _survive(seed, body[:place] + draw.bytes(more) + body[place + cut :])


def test_cut_at_every_byte_of_the_header(seed: Seed) -> None:
    _, body, header_bytes = seed
    for length in range(1, header_bytes):
        assert _survive(seed, body[:length]) is not None, length


def _survive(seed: Seed, body: bytes) -> EcgServeError | None:
    start = time.perf_counter()
    error = _error(seed[0], body)
    assert time.perf_counter() - start < LONGEST_S
    if error is not None:
        assert error.__cause__ is None
        assert not any(word in f"{error}{error.hint}" for word in ("Traceback", "/tmp", "X X X"))
    return error


def _error(kind: str, body: bytes) -> EcgServeError | None:
    try:
        decoded = decode(Upload((("", body),), kind), limits=SMALL)
    except EcgServeError as error:
        return error
    assert decoded.signal_mv.dtype == np.float32
    return None
