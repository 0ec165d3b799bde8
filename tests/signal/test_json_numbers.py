"""`take_json_numbers`: what is taken is what a JSON parser reads, and what is left is the rest."""

import json
import math

import numpy as np
import pytest
from ecg_processor_py import BACKEND, take_json_numbers

LONG = list(range(20))
needs_rust = pytest.mark.skipif(BACKEND != "rust", reason="Python takes nothing")


def put_back(rest: bytes, values: np.ndarray, counts: list[int]) -> bytes:
    """The whole text again, where nothing else in it is null."""
    for row in np.split(values, np.cumsum(counts)[:-1]) if counts else ():
        rest = rest.replace(b"null", json.dumps(row.tolist()).encode(), 1)
    return rest


@needs_rust
@pytest.mark.parametrize("indent", [None, 1])
def test_every_number_is_the_nearest_float64(indent):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 64, 4000, np.uint64).view(np.float64)
    rows = [bits[np.isfinite(bits)].tolist(), rng.normal(size=4000).tolist(), [-0.0, 5e-324] * 8]
    text = json.dumps({"rows": rows, "name": "a"}, indent=indent).encode()
    rest, values, counts = take_json_numbers(text)
    assert json.loads(rest) == {"rows": [None] * 3, "name": "a"}
    assert counts == [len(row) for row in rows]
    assert values.tobytes() == np.concatenate(rows).tobytes()


@needs_rust
def test_digits_beyond_float64_are_rounded_as_python_rounds_them():
    rng = np.random.default_rng(1)
    texts = [
        f"{rng.integers(10)}.{''.join(map(str, rng.integers(0, 10, rng.integers(1, 60))))}"
        f"e{rng.integers(-330, 300)}"
        for _ in range(3000)
    ]
    _, values, _ = take_json_numbers(f"[{','.join(texts)}]".encode())
    assert values.tolist() == [float(text) for text in texts]


NO_JSON = (
    *("+1", ".5", "1.", "1.e5", "01", "-01", "-", "--1", "1e", "1e+", "0x10", "1_0", "", "1 2"),
    *("nan", "NaN", "inf", "Infinity", "-Infinity", "1e400", "1" * 400, "\x0c1", "\uff11", "1,"),
)


@needs_rust
@pytest.mark.parametrize("odd", [*NO_JSON, "null", "true", '"1"', "[1]", "{}", "[]"])
@pytest.mark.parametrize("place", [0, 10, 20])
def test_an_array_with_anything_else_stays(odd, place):
    elements = [str(number) for number in LONG]
    elements.insert(place, odd)
    text = f'{{"a": [{", ".join(elements)}]}}'.encode()
    rest, values, counts = take_json_numbers(text)
    assert (rest, values.size, counts) == (text, 0, [])


@needs_rust
def test_short_arrays_and_strings_stay():
    inside = json.dumps(LONG)
    told = {"short": [1, 2], "text": inside, inside: '\\"' + inside, "long": LONG, "end": "\\"}
    rest, values, counts = take_json_numbers(json.dumps(told).encode())
    assert json.loads(rest) == told | {"long": None}
    assert values.tolist() == LONG
    assert counts == [20]
    assert take_json_numbers(b"[1, 2, 3]", 4)[2] == []
    assert take_json_numbers(b"[1, 2, 3]", 3)[0] == b"null"


@pytest.mark.parametrize("text", [b"", b"[", b'"', b'"\\', b"[1", b"[1,", b"[-", b"\xff[\x00]"])
def test_cut_short(text):
    rest, values, counts = take_json_numbers(text, 1)
    assert (rest, values.size, counts) == (text, 0, [])


def test_python_takes_nothing():
    text = json.dumps(LONG).encode()
    rest, values, counts = take_json_numbers(text, use_ffi=False)
    assert (rest, values.size, counts) == (text, 0, [])


@needs_rust
def test_mutated_texts_mean_what_they_meant():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(3, 20)).round(3).tolist()
    text = json.dumps({"a": rows, "b": {"c": [1], "d": rows[0]}}).encode()
    taken = 0
    for _ in range(4000):
        mutant = bytearray(text)
        for place in rng.integers(0, len(text), rng.integers(1, 3)):
            mutant[place] = rng.choice(list(b'0123456789.,-+eE[]{}":\\ nul'))
        rest, values, counts = take_json_numbers(bytes(mutant))
        whole = put_back(rest, values, counts)
        taken += bool(counts)
        assert meaning(whole) == meaning(bytes(mutant)), bytes(mutant)
    assert taken > 2000


def meaning(text: bytes) -> object:
    """What Python's parser makes of it; None where it is no JSON, all numbers as floats."""
    try:
        return json.loads(text, parse_int=float, parse_constant=lambda _: math.inf)
    except ValueError:
        return None
