"""A sample of each format, and how the library that people use for it reads the same bytes."""

import base64
import io
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pydicom
import scipy.io
import sierraecg
from edfio import read_bdf, read_edf
from lxml import etree
from pyarrow import parquet

from benchmarks.databases import DATA
from serve_app.decoding import Hints, Limits, Upload, decode
from serve_app.decoding.paths import read_path
from serve_app.recording import STANDARD_LEADS, Recording

with warnings.catch_warnings():  # pandas tells of what it will drop
    warnings.simplefilter("ignore")
    import wfdb

FS_HZ = 500.0
UV_A_MV = 1000.0
Read = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A file, and its peer.

    Attributes:
        name: Of the format.
        upload: As a client sends it.
        hints: What the format does not say.
        peer_name: The library that reads it for comparison; empty where there is none.
        peer: Gives ``(leads, samples)`` millivolts, in any order of leads.
        atol_mv: How far the two may be apart.
    """

    name: str
    upload: Upload
    hints: Hints
    peer_name: str
    peer: Read | None
    atol_mv: float = 1e-5

    def decode(self) -> Recording:
        return decode(self.upload, self.hints)

    def farthest_mv(self) -> float:
        """The largest difference of a lead of the peer's from the lead of ours nearest to it."""
        assert self.peer is not None
        ours = self.decode().signal_mv
        return max(
            min(float(np.nanmax(np.abs(lead - row))) for row in ours if len(row) == len(lead))
            for lead in self.peer()
        )


def cases() -> list[Case]:
    """Those whose files are here; what is made of a recording always is."""
    found = [*_wfdb(), *_clinical(), *_xml_and_binary(), *_arrays()]
    return [case for case in found if case is not None] + _made()


def _case(
    name: str, file: str, peer_name: str = "", peer: Read | None = None, **rest: object
) -> Case | None:
    path = DATA / file
    if not path.exists():
        return None
    hints = rest.pop("hints", Hints())
    upload = Upload(tuple((os.fspath(n), c) for n, c in read_path(path, Limits())))
    return Case(name, upload, hints, peer_name, peer, **rest)


def _wfdb() -> list[Case | None]:
    files = {
        "WFDB 16": "twelve_lead/ptbxl/records500/00000/00098_hr.hea",
        "WFDB 24": "derived/wfdb/00021hr_fmt24.hea",
        "WFDB 212, 2 leads of 30 min": "beats/mitdb/100.hea",
        "WFDB FLAC": "derived/wfdb/00021hr_fmt516.hea",
        "WFDB .mat": "twelve_lead/cinc2021/A0003.hea",
    }
    return [
        _case(name, file, "wfdb", partial(_read_wfdb, DATA / file)) for name, file in files.items()
    ]


def _read_wfdb(header: Path) -> np.ndarray:
    return wfdb.rdrecord(os.fspath(header.with_suffix(""))).p_signal.T


def _clinical() -> list[Case | None]:
    dicom, edf = "formats/dicom/Example.dcm", "formats/edf/contec_0000050.edf"
    bdf, philips = "derived/bdf/mitdb119.bdf", "formats/philips/sierra_1_04_01.xml"
    return [
        _case("DICOM", dicom, "pydicom", _bytes(dicom, _read_dicom)),
        _case("EDF", edf, "edfio", _bytes(edf, partial(_read_edf, read_edf)), atol_mv=1e-3),
        _case("BDF", bdf, "edfio", _bytes(bdf, partial(_read_edf, read_bdf)), atol_mv=1e-3),
        _case("Philips Sierra XML", philips, "sierraecg", partial(_read_philips, DATA / philips)),
    ]


def _bytes(file: str, read: Callable[[bytes], np.ndarray]) -> Read | None:
    path = DATA / file
    return partial(read, path.read_bytes()) if path.exists() else None


def _read_dicom(content: bytes) -> np.ndarray:
    data_set = pydicom.dcmread(io.BytesIO(content))
    units = data_set.WaveformSequence[0].ChannelDefinitionSequence[0]
    scale = {"uV": UV_A_MV, "mV": 1.0}
    unit = units.ChannelSensitivityUnitsSequence[0].CodeValue
    return data_set.waveform_array(0).T / scale[unit]


def _read_edf(read: Callable[[bytes], object], content: bytes) -> np.ndarray:
    signals = read(content).signals
    scale = {"uV": UV_A_MV, "mV": 1.0}
    return np.stack([signal.data / scale[signal.physical_dimension] for signal in signals])


def _read_philips(path: Path) -> np.ndarray:
    step_uv = 5.0
    return np.stack([lead.samples for lead in sierraecg.read_file(os.fspath(path)).leads]) * (
        step_uv / UV_A_MV
    )


def _xml_and_binary() -> list[Case | None]:
    # One recording in three formats: read as DICOM, it is the peer of the other two.
    dicom = _bytes("formats/dicom/Example.dcm", _read_dicom)
    muse, fhir = "formats/muse/braveheart_example1.xml", "derived/fhir/ptbxl14.json"
    mfer_source = DATA / "twelve_lead/ptbxl/records500/00000/00098_hr.hea"
    mfer = partial(_read_wfdb, mfer_source) if mfer_source.exists() else None
    return [
        _case("SCP-ECG", "formats/scp/Example.scp", "pydicom, the same as DICOM", dicom),
        _case("HL7 aECG", "formats/aecg/Example.xml", "pydicom, the same as DICOM", dicom),
        _case("GE MUSE XML", muse, "lxml and base64", _bytes(muse, _read_muse), atol_mv=1e-4),
        _case("FHIR Observation", fhir, "json and split", _bytes(fhir, _read_fhir)),
        _case("MFER", "derived/mfer/ptbxl98.mwf", "wfdb, the same as WFDB", mfer),
        _case("ISHNE, 3 leads of 19 min", "formats/ishne/ECG_P28.01.ecg"),
    ]


def _read_muse(content: bytes) -> np.ndarray:
    rhythm = next(
        waveform
        for waveform in etree.fromstring(content).iter("Waveform")
        if waveform.findtext("WaveformType") == "Rhythm"
    )
    return np.stack(
        [
            np.frombuffer(base64.b64decode(lead.findtext("WaveFormData")), "<i2")
            * (float(lead.findtext("LeadAmplitudeUnitsPerBit")) / UV_A_MV)
            for lead in rhythm.iter("LeadData")
        ]
    )


def _read_fhir(content: bytes) -> np.ndarray:
    parts = [part["valueSampledData"] for part in json.loads(content)["component"]]
    return np.stack(
        [
            (np.array(part["data"].split(), float) * part["factor"] + part["origin"]["value"])
            / UV_A_MV
            for part in parts
        ]
    )


def _arrays() -> list[Case | None]:
    v4, v5 = "twelve_lead/cinc2021/A0003.mat", "twelve_lead/code15/code_15_1594286.mat"
    v7, sph = "twelve_lead/cpsc2018/A1983.mat", "twelve_lead/sph/SPH00001.h5"
    watch = "derived/applewatch/ecg_native_header_en.csv"
    microvolts = Hints(FS_HZ, "uV")
    return [
        _alone("MATLAB v4", v4, "scipy.io", _read_val, microvolts),
        _alone("MATLAB v5", v5, "scipy.io", _read_feats),
        _alone("MATLAB v7, deflated", v7, "scipy.io", _read_struct),
        _alone("HDF5, gzip", sph, "h5py", _read_hdf5),
        _alone("Apple Health CSV", watch, "pandas", _read_watch),
    ]


def _alone(
    name: str,
    file: str,
    peer_name: str,
    read: Callable[[bytes], np.ndarray],
    hints: Hints | None = None,
) -> Case | None:
    """A file without the header that may lie beside it."""
    path = DATA / file
    if not path.exists():
        return None
    content = path.read_bytes()
    upload = Upload(((path.name, content),))
    return Case(name, upload, hints or Hints(), peer_name, partial(read, content))


def _read_val(content: bytes) -> np.ndarray:
    return scipy.io.loadmat(io.BytesIO(content))["val"] / UV_A_MV


def _read_feats(content: bytes) -> np.ndarray:
    return scipy.io.loadmat(io.BytesIO(content))["feats"]


def _read_struct(content: bytes) -> np.ndarray:
    return scipy.io.loadmat(io.BytesIO(content))["ECG"]["data"][0, 0]


def _read_hdf5(content: bytes) -> np.ndarray:
    with h5py.File(io.BytesIO(content)) as file:
        return file["ecg"][()].astype(np.float32)


def _read_watch(content: bytes) -> np.ndarray:
    table = pd.read_csv(io.BytesIO(content), skiprows=14, header=None)
    return table.to_numpy().T / UV_A_MV


def _made() -> list[Case]:
    """Twelve leads of ten seconds in the formats that a program writes."""
    signal = _ten_seconds()
    exact = signal.astype(np.float64)  # whose rounded values are written with few digits
    rounded = np.round(exact, 3)
    fs = Hints(FS_HZ)
    csv, stored = _csv(rounded), _npy(signal)
    archive, table = _npz(signal), _parquet(signal)
    made = [
        ("CSV", csv, fs, "pandas", partial(_read_csv, csv)),
        ("npy", stored, fs, "numpy", lambda: np.load(io.BytesIO(stored))),
        ("npz, deflated", archive, fs, "numpy", lambda: np.load(io.BytesIO(archive))["signal"]),
        ("Parquet", table, fs, "pyarrow", partial(_read_parquet, table)),
    ]
    for name, values in (
        ("JSON, 3 decimals", rounded),
        ("JSON, 5 decimals", np.round(exact, 5)),
        ("JSON, all of float64", exact + np.pi * 1e-9),
        ("JSON, whole uV", np.rint(exact * UV_A_MV).astype(int)),
    ):
        units = "uV" if values.dtype.kind == "i" else "mV"
        body = _json(values, units)
        scale = UV_A_MV if units == "uV" else 1.0
        made.append((name, body, Hints(), "json and numpy", partial(_read_json, body, scale)))
    return [
        Case(name, Upload((("", content),)), hints, peer_name, peer)
        for name, content, hints, peer_name, peer in made
    ]


def _ten_seconds() -> np.ndarray:
    """(12, 5000) float32 mV: beats and noise."""
    seconds = np.arange(5000) / FS_HZ
    beat = np.exp(-0.5 * (((seconds % 0.8) - 0.4) / 0.012) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.01, (12, 5000))
    return (np.linspace(0.4, 1.5, 12)[:, None] * beat + noise).astype(np.float32)


def _json(signal: np.ndarray, units: str) -> bytes:
    leads = dict(zip(STANDARD_LEADS, signal.tolist(), strict=True))
    return json.dumps({"fs_hz": FS_HZ, "units": units, "leads": leads}).encode()


def _read_json(content: bytes, scale: float) -> np.ndarray:
    return np.array(list(json.loads(content)["leads"].values())) / scale


def _csv(signal: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savetxt(stream, signal.T, "%.3f", ",", header=",".join(STANDARD_LEADS), comments="")
    return stream.getvalue()


def _read_csv(content: bytes) -> np.ndarray:
    return pd.read_csv(io.BytesIO(content)).to_numpy().T


def _npy(signal: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, signal)
    return stream.getvalue()


def _npz(signal: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, signal=signal)
    return stream.getvalue()


def _parquet(signal: np.ndarray) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table(dict(zip(STANDARD_LEADS, signal, strict=True))), stream)
    return stream.getvalue()


def _read_parquet(content: bytes) -> np.ndarray:
    table = parquet.read_table(pa.BufferReader(content), use_threads=False)
    return np.stack([column.to_numpy() for column in table.columns])
