"""Philips: equal to the reference reader, in volts as the file itself measured, and bounded."""

import base64
import re
import time
import warnings
from pathlib import Path

import ecg_processor_py as core
import numpy as np
import pytest
from lxml import etree
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Limits, decode, decode_path
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat, PayloadTooLarge
from serve_app.preprocessing import prepare
from serve_app.recording import STANDARD_LEADS

FILES = ["sierra_1_03_129DYPRG", "sierra_1_04_01", "sierra_1_04_3191723"]
UV_PER_BIT = 5


@pytest.fixture(scope="session")
def philips(data_dir: Path) -> Path:
    return data_dir / "formats" / "philips"


@pytest.fixture(scope="session")
def text(philips: Path) -> str:
    """A real file of version 1.04.01, without the encoding that its declaration names."""
    whole = (philips / "sierra_1_04_01.xml").read_text("utf-16")
    return whole.partition("?>")[2]


def content(text: str) -> bytes:
    return base64.b64decode(re.search("<parsedwaveforms[^>]*>([^<]*)<", text)[1])


def with_content(text: str, data: bytes) -> str:
    encoded = base64.b64encode(data).decode()
    return re.sub("(<parsedwaveforms[^>]*>)[^<]*<", lambda m: f"{m[1]}{encoded}<", text)


def chunks(data: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "little")
        found.append(data[place:end])
        place = end
    return found


@pytest.mark.parametrize("name", FILES)
def test_equal_to_the_reference_reader(philips: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sierraecg

        reference = sierraecg.read_file(str(philips / f"{name}.xml"))
    decoded = decode_path(philips / f"{name}.xml")
    stored = np.stack([lead.samples for lead in reference.leads])
    assert_array_equal(decoded.signal_mv, (stored * UV_PER_BIT / 1000).astype(np.float32))
    assert decoded.leads == tuple(lead.label for lead in reference.leads) == STANDARD_LEADS
    assert (decoded.fs_hz, decoded.format, decoded.units_assumed) == (500, "philips", False)
    assert len(prepare(decoded).segments) == 2


@pytest.mark.parametrize("name", FILES)
def test_volts_are_those_the_device_measured(philips: Path, name: str) -> None:
    """R and S amplitudes, in microvolts, stand beside the samples: the resolution is right."""
    body = (philips / f"{name}.xml").read_bytes()
    decoded = decode(body)
    mv = dict(zip(decoded.leads, decoded.signal_mv, strict=True))
    peaks = core.detect_r_peaks(mv["II"].astype(np.float64), 500)
    ratios = []
    for lead in etree.fromstring(body).iter("{*}leadmeasurement"):
        if lead.get("leadname") in mv:
            r, s, q = (float(lead.findtext("{*}" + a) or 0) for a in ("ramp", "samp", "qamp"))
            beats = [mv[lead.get("leadname")][max(p - 40, 0) : p + 50] for p in peaks]
            ratios.append(np.median([np.ptp(b) for b in beats]) * 1000 / (r + max(abs(s), abs(q))))
    assert len(ratios) >= 12
    assert 0.97 < np.median(ratios) < 1.05


def test_another_version_is_refused_by_name(philips: Path) -> None:
    with pytest.raises(InvalidFormat, match=r"version 1\.05 is not read") as caught:
        decode_path(philips / "invalid-doc-version.xml")
    assert "1.04" in caught.value.hint


def test_fifteen_leads(text: str) -> None:
    """A device that records V3R, V4R and V7 writes them after the twelve."""
    data = content(text)
    more = with_content(text, b"".join([*chunks(data)[:12], *chunks(data)[6:9]]))
    more = more.replace('numberofleads="12"', 'numberofleads="15"')
    more = more.replace("V5 V6", "V5 V6 V3R V4R V7")
    decoded, twelve = decode(more.encode()), decode(text.encode())
    assert decoded.leads == (*STANDARD_LEADS, "V3R", "V4R", "V7")
    assert_array_equal(decoded.signal_mv[:12], twelve.signal_mv)
    assert_array_equal(decoded.signal_mv[12:], twelve.signal_mv[6:9])


def test_channels_after_the_named_ones_are_left_out(text: str) -> None:
    """Sixteen are written by what can analyse sixteen."""
    data = content(text)
    assert len(chunks(data)) == 16
    fewer = with_content(text, b"".join(chunks(data)[:12]))
    assert_array_equal(decode(fewer.encode()).signal_mv, decode(text.encode()).signal_mv)


@pytest.mark.parametrize("encoding", ["Base64", "Plain"])
def test_uncompressed(text: str, encoding: str) -> None:
    decoded = decode(text.encode())
    stored = np.rint(decoded.signal_mv * 1000 / UV_PER_BIT).astype("<i2")
    plain = text.replace('compression="XLI"', 'compression="Uncompressed"')
    if encoding == "Base64":
        plain = with_content(plain, stored.tobytes())
    else:
        numbers = " ".join(map(str, stored.reshape(-1).tolist()))
        plain = with_content(plain, b"").replace('"Base64" compr', '"Plain" compr')
        plain = re.sub("(<parsedwaveforms[^>]*>)<", rf"\g<1>{numbers}<", plain)
    assert_allclose(decode(plain.encode()).signal_mv, decoded.signal_mv, atol=1e-6)
    for shorter in (plain.replace("11000", "11002"), plain.replace("11000", "10998")):
        with pytest.raises(CorruptedData):
            decode(shorter.encode())


WRONG = [
    (
        'durationperchannel="11000"',
        "durationperchannel",
        ["11002", "10998", "0", "-1", "x", "1e300"],
    ),
    ("<resolution>5<", "resolution", ["<resolution>0<", "<resolution>-5<", "<resolution>x<"]),
    ("<samplingrate>500<", "rate", ["<samplingrate>0<", "<samplingrate>250<", "<samplingrate>-1<"]),
    ('numberofleads="12"', "numberofleads", ["13", "0", "-1", "999999999", "5"]),
    ("<bitspersample>16<", "bits", ["<bitspersample>12<", "<bitspersample>x<"]),
    ('compression="XLI"', "compression", ["LZMA", "Uncompressed"]),
    ('dataencoding="Base64"', "dataencoding", ["Base85", "Plain", ""]),
    ("I II III aVR", "labels", ["II I III aVR", "I II aVR III"]),
    ("documentversion>1.04.01<", "version", ["documentversion>2<", "documentversion>Doe<"]),
    ("documenttype>PhilipsECG<", "type", ["documenttype>Other<"]),
]


@pytest.mark.parametrize(("said", "field", "values"), WRONG, ids=[wrong[1] for wrong in WRONG])
def test_a_wrong_field(text: str, said: str, field: str, values: list[str]) -> None:
    assert said in text
    for value in values:
        wrong = f'{field}="{value}"' if said.startswith(f'{field}="') else value
        with pytest.raises((InvalidFormat, CorruptedData, PayloadTooLarge)) as caught:
            decode(text.replace(said, wrong).encode())
        assert "Doe" not in str(caught.value)


@pytest.mark.parametrize("element", ["documentinfo", "signalcharacteristics", "parsedwaveforms"])
def test_a_missing_element(text: str, element: str) -> None:
    with pytest.raises(InvalidFormat):
        decode(text.replace(f"<{element}", "<x").replace(f"</{element}", "</x").encode())


def test_cut_anywhere(text: str) -> None:
    body = text.encode()
    for length in range(0, len(body) - 20, 1499):
        with pytest.raises(EcgServeError):
            decode(body[:length])


def test_samples_cut_anywhere(text: str) -> None:
    data = b"".join(chunks(content(text))[:12])
    for length in [*range(40), *range(40, len(data) - 1, 3203), len(data) - 40]:
        with pytest.raises(CorruptedData):
            decode(with_content(text, data[:length]).encode())


def packed(codes: list[int]) -> bytes:
    bits = "".join(f"{code:010b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))


def lead_chunk(codes: list[int], size: int | None = None) -> bytes:
    data = packed(codes)
    stated = len(data) if size is None else size
    return stated.to_bytes(4, "little", signed=True) + b"\1\0\0\0" + data


@pytest.mark.parametrize(
    "chunk",
    [
        lead_chunk([64, *range(256, 1023), *[1022] * 20_000]),  # 25 kB that unpack to 15 MB
        lead_chunk([300, 301]),
        lead_chunk([1023] * 9000),
        lead_chunk([1], size=0),
        lead_chunk([1], size=-1),
        lead_chunk([1], size=(1 << 31) - 1),
        b"\0" * 9,
    ],
)
def test_hostile_compression(text: str, chunk: bytes) -> None:
    body = with_content(text, chunk * 12).encode()
    started = time.process_time()
    with pytest.raises(CorruptedData):
        decode(body)
    assert time.process_time() - started < 2


def test_a_long_recording_is_refused_before_it_is_unpacked(text: str) -> None:
    chunk = lead_chunk([64, *range(256, 1023), *[1022] * 20_000])
    body = with_content(text, chunk * 12).replace('"11000"', '"99999999"').encode()
    started = time.process_time()
    with pytest.raises(PayloadTooLarge):
        decode(body)
    assert time.process_time() - started < 1
    with pytest.raises(PayloadTooLarge):
        decode(text.encode(), limits=Limits(max_samples=60_000))
