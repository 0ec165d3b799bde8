"""What a recording of 12x5000 costs: /v1 and the Open Inference Protocol, one client, CPU of all.

The model is one of next to no work, so that what is left is the serving.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import httpx2
import numpy as np
import psutil
import tritonclient.grpc as triton
from ecg_processor_py import prepare_ecg_fm
from ecg_processor_py.checks import STANDARD_LEADS

from benchmarks.http_latency import HEADERS, body
from benchmarks.reporting import print_header, row
from benchmarks.server import free_port, running_server
from serve_app.api.oip_messages import HEADER_LENGTH, parse_message, write_message
from serve_app.api.oip_tensors import Tensor
from serve_app.decoding import Hints, Limits, decode
from serve_app.engine.loading import load_engine
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.conversion import write_model
from serve_app.model.demo import seeded_model
from serve_app.settings import load_settings

WARM, A_ROUND, ROUNDS, IDLE_S, PAUSE_S = 30, 40, 7, 1.5, 0.002
INFER = "/v2/models/tiny/infer"
HOP = "GET /livez (the hop alone)"
# In `graph` the ingress asks the model's replica for it; about a KB of pickled metadata comes back.
BOTH_HOPS = "GET /v2/models/tiny (the hops alone)"
# The whole body is read, and then nothing done with it.
BINARY_HOP = "/v2 binary, refused (the hop with a body)"
NPY_HOP = "/v1/predict npy, refused"
V1_JSON, V1_NPY = "/v1/predict JSON", "/v1/predict npy"
V2_JSON, V2_BINARY, V2_GRPC = "/v2 infer JSON", "/v2 infer binary", "gRPC ModelInfer"
A_JSON, A_NPY = "/v1/analyze JSON", "/v1/analyze npy"
MODEL = "the model alone, 2 segments"
OUTPUTS = [{"name": "probabilities"}]
# In all, and above the hops with a body; the model's own time in neither.
JSON_LIMIT_MS, BINARY_LIMIT_MS = 5.0, 1.5

Ask = Callable[[], np.ndarray | None]


def signal() -> np.ndarray:
    """(12, 5000) float32 millivolts."""
    return np.frombuffer(body()[-12 * 5000 * 4 :], "<f4").reshape(12, 5000)


def shortest_digits(array: np.ndarray) -> list[float]:
    """What gives the same float32 in the fewest digits, as most clients write it."""
    return [float(str(value)) for value in array.ravel()]


def as_json(array: np.ndarray) -> bytes:
    entry = described(array) | {"data": shortest_digits(array)}
    return json.dumps({"inputs": [entry], "outputs": OUTPUTS}).encode()


def as_leads(array: np.ndarray) -> bytes:
    """The JSON form of /v1."""
    leads = {name: shortest_digits(row) for name, row in zip(STANDARD_LEADS, array, strict=True)}
    return json.dumps({"fs_hz": 500, "units": "mV", "leads": leads}).encode()


def as_binary(array: np.ndarray) -> tuple[bytes, dict[str, str]]:
    data = array.tobytes()
    entry = described(array)
    entry["parameters"]["binary_data_size"] = len(data)
    head = json.dumps(
        {"inputs": [entry], "outputs": OUTPUTS, "parameters": {"binary_data_output": True}}
    ).encode()
    return head + data, {HEADER_LENGTH: str(len(head))}


def described(array: np.ndarray) -> dict:
    return {
        "name": "signal",
        "shape": list(array.shape),
        "datatype": "FP32",
        "parameters": {"fs_hz": 500},
    }


def asks(client: httpx2.Client, grpc_client: triton.InferenceServerClient) -> dict[str, Ask]:
    """What is timed; each that asks the model gives its probabilities."""
    array, npy = signal(), body()
    leads, (binary, headers) = as_leads(array), as_binary(array)
    unknown = binary.replace(b'"probabilities"', b'"improbability"')
    as_npy = {"headers": HEADERS, "content": npy}
    in_leads = {"headers": {"Content-Type": "application/json"}, "content": leads}
    return {
        HOP: lambda: expect(client.get("/livez"), 200),
        BOTH_HOPS: lambda: expect(client.get("/v2/models/tiny"), 200),
        BINARY_HOP: lambda: expect(client.post(INFER, content=unknown, headers=headers), 400),
        NPY_HOP: lambda: expect(client.post("/v1/predict", **as_npy), 400),
        A_NPY: lambda: expect(client.post("/v1/analyze?fs_hz=500", **as_npy), 200),
        A_JSON: lambda: expect(client.post("/v1/analyze", **in_leads), 200),
        V1_NPY: lambda: of_result(client.post("/v1/predict?fs_hz=500", **as_npy)),
        V1_JSON: lambda: of_result(client.post("/v1/predict", **in_leads)),
        V2_BINARY: binary_ask(client, binary, headers),
        V2_JSON: json_ask(client, as_json(array)),
        V2_GRPC: grpc_ask(grpc_client, array),
    }


def expect(response: httpx2.Response, status: int) -> None:
    assert response.status_code == status, response.text


def of_result(response: httpx2.Response) -> np.ndarray:
    expect(response, 200)
    return np.array([[each["probability"] for each in response.json()["predictions"]]])


def binary_ask(client: httpx2.Client, sent: bytes, headers: dict[str, str]) -> Ask:
    def ask() -> np.ndarray:
        response = client.post(INFER, content=sent, headers=headers)
        assert response.status_code == 200, response.text
        data = response.content[int(response.headers[HEADER_LENGTH]) :]
        return np.frombuffer(data, "<f4").reshape(-1, 17)

    return ask


def json_ask(client: httpx2.Client, sent: bytes) -> Ask:
    def ask() -> np.ndarray:
        (output,) = client.post(INFER, content=sent).json()["outputs"]
        return np.array(output["data"]).reshape(output["shape"])

    return ask


def grpc_ask(client: triton.InferenceServerClient, array: np.ndarray) -> Ask:
    entry = triton.InferInput("signal", list(array.shape), "FP32")
    entry.set_data_from_numpy(array)
    wanted = [triton.InferRequestedOutput("probabilities")]

    def ask() -> np.ndarray:
        answer = client.infer("tiny", [entry], outputs=wanted, parameters={"fs_hz": 500})
        return answer.as_numpy("probabilities")

    return ask


class Server:
    """The processes of a running `ecg-serve up`, and what they use."""

    def __init__(self, port: int) -> None:
        wanted = f" up --port {port}"
        self._up = next(
            each
            for each in psutil.process_iter(["cmdline"])
            if wanted in " ".join(each.info["cmdline"] or [])
        )

    def cpu_s(self) -> float:
        """CPU seconds so far, of all its processes."""
        processes = [self._up, *self._up.children(recursive=True)]
        return sum(processor_s(each.pid) for each in processes)

    def idle(self) -> float:
        """CPU seconds a second of what it does unasked."""
        began_s, used_s = time.perf_counter(), self.cpu_s()
        time.sleep(IDLE_S)
        return (self.cpu_s() - used_s) / (time.perf_counter() - began_s)

    def timed(self, ask: Ask, idle: float) -> tuple[list[float], float]:
        """Milliseconds of each request of a round, and CPU milliseconds of one."""
        times_ms = []
        began_s, used_s = time.perf_counter(), self.cpu_s()
        for _ in range(A_ROUND):
            started_s = time.perf_counter()
            ask()
            times_ms.append((time.perf_counter() - started_s) * 1e3)
        idle_s = idle * (time.perf_counter() - began_s)
        return times_ms, (self.cpu_s() - used_s - idle_s) / A_ROUND * 1e3


def processor_s(pid: int) -> float:
    """CPU seconds of a process by its clock in Linux, in nanoseconds; psutil's has 10 ms."""
    with suppress(OSError):  # it has ended
        return time.clock_gettime(~pid << 3 | 2)
    return 0.0


class ModelAlone:
    """The model in this process, on one recording."""

    def __init__(self, path: str) -> None:
        self._engine = load_engine(load_settings(model=path))
        self._segments = prepare_ecg_fm(signal(), 500, STANDARD_LEADS)
        self._other_work = as_leads(signal())

    def cpu_ms(self) -> float:
        """CPU milliseconds of one call, over a round; between other work and waiting, as it comes.

        In a loop of its own it takes half of that: its code and weights stay in the caches.
        """
        used_s = 0.0
        for _ in range(A_ROUND):
            decode(self._other_work)
            time.sleep(PAUSE_S)
            started_s = time.process_time()
            self._engine.predict(self._segments)
            used_s += time.process_time() - started_s
        return used_s / A_ROUND * 1e3


def parsing_alone() -> None:
    """Bytes to samples, in this process: hash and checks included, and for /v2 the answer."""
    array, answer = signal(), [Tensor.of_array("probabilities", np.zeros((1, 17)))]
    sent, headers = as_binary(array)
    length, in_v2, leads, npy = headers[HEADER_LENGTH], as_json(array), as_leads(array), body()

    def of_v2(text: bytes, length: str | None) -> None:
        message = parse_message(text, length, "tiny", "", Limits())
        write_message(message, "tiny", "0", answer)

    for name, read in {
        V1_NPY: lambda: decode(npy, Hints(fs_hz=500)),
        V1_JSON: lambda: decode(leads),
        V2_BINARY: lambda: of_v2(sent, length),
        V2_JSON: lambda: of_v2(in_v2, None),
    }.items():
        times_ms = []
        for _ in range(A_ROUND):
            started_s = time.process_time()
            read()
            times_ms.append((time.process_time() - started_s) * 1e3)
        print(row(f"{name}, read alone, CPU", times_ms))


def write_tiny(folder: Path) -> str:
    """A model of ten tokens a segment and one layer; its path."""
    config = EcgFmConfig(
        conv_feature_layers=[[16, 50, 50], [16, 5, 5]],
        encoder_layers=1,
        encoder_embed_dim=32,
        encoder_ffn_embed_dim=64,
        encoder_attention_heads=4,
        conv_pos=4,
        conv_pos_groups=4,
    )
    path = folder / "tiny"
    write_model(LoadedModel("", "", "", "local", False, seeded_model(config, 0)), path)
    return str(path)


def measure(profile: str, path: str) -> dict[str, np.ndarray]:
    """CPU of each request in each round; rounds go in turn, since the machine is not ours alone."""
    model, grpc_port = ModelAlone(path), free_port()
    options = ("--profile", profile, "--model", path, "--grpc-port", str(grpc_port))
    with running_server(*options) as (url, _, _):
        client = httpx2.Client(base_url=url, timeout=60)
        server = Server(int(url.rpartition(":")[2]))
        grpc_client = triton.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        found = asks(client, grpc_client)
        check_and_warm(found)
        times_ms: dict[str, list[float]] = {name: [] for name in found}
        cpu_ms: dict[str, list[float]] = {name: [] for name in (*found, MODEL)}
        for _ in range(ROUNDS):
            idle = server.idle()
            cpu_ms[MODEL].append(model.cpu_ms())
            for name, ask in found.items():
                taken_ms, used_ms = server.timed(ask, idle)
                times_ms[name] += taken_ms
                cpu_ms[name].append(used_ms)
        client.close()
        grpc_client.close()
    for name in found:
        print(row(f"{profile}: {name}", times_ms[name]) + "   " + cpu(cpu_ms[name]))
    print(f"{profile}: {MODEL}: {cpu(cpu_ms[MODEL])}")
    return {name: np.array(values) for name, values in cpu_ms.items()}


def cpu(used_ms: Sequence[float]) -> str:
    """Over the rounds."""
    return f"CPU {np.median(used_ms):5.2f} ms ({min(used_ms):.2f} to {max(used_ms):.2f})"


def check_and_warm(found: dict[str, Ask]) -> None:
    wanted = found[V2_BINARY]()
    for ask in found.values():
        for _ in range(WARM):
            answer = ask()
        if answer is not None:
            np.testing.assert_allclose(answer, wanted, atol=1e-5)


def shares(profile: str, cpu_ms: dict[str, np.ndarray]) -> dict[str, float]:
    """The figures that are bounded: medians over the rounds, without the model's own time."""
    between = cpu_ms[BOTH_HOPS] - cpu_ms[HOP]
    above = {
        V1_NPY: cpu_ms[V1_NPY] - cpu_ms[MODEL] - cpu_ms[NPY_HOP] - between,
        V2_BINARY: cpu_ms[V2_BINARY] - cpu_ms[MODEL] - cpu_ms[BINARY_HOP] - between,
        A_NPY: cpu_ms[A_NPY] - cpu_ms[NPY_HOP],
    }
    whole = {
        V1_JSON: cpu_ms[V1_JSON] - cpu_ms[MODEL],
        V2_JSON: cpu_ms[V2_JSON] - cpu_ms[MODEL],
        A_JSON: cpu_ms[A_JSON],
    }
    for figures, what in ((above, "above its hops"), (whole, "in all")):
        for name, each in figures.items():
            print(f"{profile}: {name}, without the model, {what}: {cpu(each)}")
    return {name: float(np.median(each)) for name, each in (above | whole).items()}


def main() -> None:
    print_header("One recording of 12x5000, one client, a tiny model", ["tritonclient"])
    print(f"load average of the last minute: {os.getloadavg()[0]:.1f}")
    parsing_alone()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiny(Path(folder))
        for profile in ("mono", "graph"):
            found[profile] = shares(profile, measure(profile, path))
    mono = found["mono"]
    assert mono[V2_JSON] <= JSON_LIMIT_MS, f"over {JSON_LIMIT_MS} CPU-ms"
    assert mono[V2_BINARY] <= BINARY_LIMIT_MS, f"over {BINARY_LIMIT_MS} CPU-ms"
    print(f"load average of the last minute: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
