"""The Open Inference Protocol, one client: JSON, binary tensors and gRPC; CPU and latency.

The model is one of next to no work, so that what is left is the serving.
"""

import json
import tempfile
import time
from collections.abc import Callable
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
from serve_app.decoding import Limits
from serve_app.engine.loading import load_engine
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.configuration_ecg_fm import EcgFmConfig
from serve_app.model.conversion import write_model
from serve_app.model.demo import seeded_model
from serve_app.settings import load_settings

WARM, A_ROUND, ROUNDS, IDLE_S = 30, 40, 7, 1.5
INFER = "/v2/models/tiny/infer"
HOP = "GET /livez (the hop alone)"
WITH_BODY = "POST of binary 12x5000, refused"
# In `graph` the ingress asks the model's replica for it; about a KB of pickled metadata comes back.
BOTH_HOPS = "GET /v2/models/tiny (the hops alone)"
MODEL = "the model alone, 2 segments"
OUTPUTS = [{"name": "probabilities"}]
# CPU above the hops and the model.
BINARY_LIMIT_MS = 1.5

Ask = Callable[[], np.ndarray]


def signal(recordings: int) -> np.ndarray:
    """(12, 5000), or as many of them, float32 millivolts."""
    npy = body()
    one = np.frombuffer(npy[-12 * 5000 * 4 :], "<f4").reshape(12, 5000)
    return one if recordings == 1 else np.stack([one] * recordings)


def as_json(array: np.ndarray) -> bytes:
    # The shortest digits that give the same float32, as most clients write them.
    values = [float(str(value)) for value in array.ravel()]
    entry = described(array) | {"data": values}
    return json.dumps({"inputs": [entry], "outputs": OUTPUTS}).encode()


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
    """What is timed; each gives probabilities, but for the hop."""
    found: dict[str, Ask] = {
        HOP: lambda: client.get("/livez"),
        BOTH_HOPS: lambda: client.get("/v2/models/tiny"),
        WITH_BODY: refused_ask(client),
    }
    npy = body()
    found["POST /v1/predict, npy (peer)"] = lambda: of_predict(client, npy)
    for recordings in (1, 2):
        array, size = signal(recordings), "12x5000" if recordings == 1 else "2x12x5000"
        found[f"binary {size}"] = binary_ask(client, *as_binary(array))
        found[f"JSON {size}"] = json_ask(client, as_json(array))
        found[f"gRPC {size}"] = grpc_ask(grpc_client, array)
    return found


def refused_ask(client: httpx2.Client) -> Ask:
    """The whole body is read, and then nothing done with it."""
    sent, headers = as_binary(signal(1))
    sent = sent.replace(b'"probabilities"', b'"improbability"')

    def ask() -> np.ndarray:
        assert client.post(INFER, content=sent, headers=headers).status_code == 400
        return np.empty(0)

    return ask


def of_predict(client: httpx2.Client, npy: bytes) -> np.ndarray:
    query = {"fs_hz": 500, "analysis": False}
    answer = client.post("/v1/predict", params=query, content=npy, headers=HEADERS).json()
    return np.array([[each["probability"] for each in answer["predictions"]]])


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
        return sum(sum(each.cpu_times()[:2]) for each in processes)

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


class ModelAlone:
    """The model in this process, on one recording."""

    def __init__(self, path: str) -> None:
        self._engine = load_engine(load_settings(model=path))
        self._segments = prepare_ecg_fm(signal(1), 500, STANDARD_LEADS)

    def cpu_ms(self) -> float:
        """CPU milliseconds of one call, over a round."""
        started_s = time.process_time()
        for _ in range(A_ROUND):
            self._engine.predict(self._segments)
        return (time.process_time() - started_s) / A_ROUND * 1e3


def parsing_alone() -> None:
    """The protocol's own share, in this process: a request read, an answer written."""
    array, answer = signal(1), [Tensor.of_array("probabilities", np.zeros((1, 17)))]
    for name, sent, length in (
        ("binary", *as_binary(array)),
        ("JSON", as_json(array), {}),
    ):
        times_ms = []
        for _ in range(A_ROUND):
            started_s = time.process_time()
            message = parse_message(sent, length.get(HEADER_LENGTH), "tiny", "", Limits())
            write_message(message, "tiny", "0", answer)
            times_ms.append((time.process_time() - started_s) * 1e3)
        print(row(f"{name} 12x5000 read and answer written, CPU", times_ms))


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
        used = f"   CPU {np.median(cpu_ms[name]):6.2f} ms"
        print(row(f"{profile}: {name}", times_ms[name]) + used)
    print(f"{profile}: {MODEL}: CPU {np.median(cpu_ms[MODEL]):.2f} ms")
    return {name: np.array(values) for name, values in cpu_ms.items()}


def check_and_warm(found: dict[str, Ask]) -> None:
    wanted = found["binary 12x5000"]()
    for name, ask in found.items():
        for _ in range(WARM):
            answer = ask()
        if name not in (HOP, BOTH_HOPS, WITH_BODY):
            np.testing.assert_allclose(answer, np.repeat(wanted, len(answer), 0), atol=1e-5)


def main() -> None:
    print_header("Open Inference Protocol, one client, a tiny model", ["tritonclient"])
    parsing_alone()
    above: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiny(Path(folder))
        for profile in ("mono", "graph"):
            cpu_ms = measure(profile, path)
            hops_ms = cpu_ms[WITH_BODY] + cpu_ms[BOTH_HOPS] - cpu_ms[HOP]
            above[profile] = np.median(cpu_ms["binary 12x5000"] - cpu_ms[MODEL] - hops_ms)
            json_ms = np.median(cpu_ms["JSON 12x5000"] - cpu_ms[MODEL])
            print(
                f"{profile}: without the model binary 12x5000 is {above[profile]:.2f} CPU-ms above "
                f"its hops, JSON 12x5000 {json_ms:.2f} CPU-ms in all"
            )
    assert above["mono"] <= BINARY_LIMIT_MS, f"over {BINARY_LIMIT_MS} CPU-ms"


if __name__ == "__main__":
    main()
