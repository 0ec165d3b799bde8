"""The Open Inference Protocol, one client: JSON, binary tensors and gRPC; CPU and latency."""

import json
import time
from collections.abc import Callable

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
from serve_app.settings import load_settings

WARM, TIMES, IDLE_S = 50, 300, 3.0
INFER = "/v2/models/demo/infer"
HOP = "GET /livez (the hop alone)"
# In `graph` the ingress asks the model's replica for it; about a KB of pickled metadata comes back.
BOTH_HOPS = "GET /v2/models/demo (the hops alone)"
OUTPUTS = [{"name": "probabilities"}]
# CPU beside the model's own work: of binary above the empty hop, of JSON with the hop.
BINARY_LIMIT_MS, JSON_LIMIT_MS = 1.5, 5.0

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
        BOTH_HOPS: lambda: client.get("/v2/models/demo"),
    }
    npy = body()
    found["POST /v1/predict, npy (peer)"] = lambda: of_predict(client, npy)
    for recordings in (1, 2):
        array, size = signal(recordings), "12x5000" if recordings == 1 else "2x12x5000"
        found[f"binary {size}"] = binary_ask(client, *as_binary(array))
        found[f"JSON {size}"] = json_ask(client, as_json(array))
        found[f"gRPC {size}"] = grpc_ask(grpc_client, array)
    return found


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
        answer = client.infer("demo", [entry], outputs=wanted, parameters={"fs_hz": 500})
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
        started_s, used_s = time.perf_counter(), self.cpu_s()
        time.sleep(IDLE_S)
        self._idle = (self.cpu_s() - used_s) / (time.perf_counter() - started_s)

    def cpu_s(self) -> float:
        """CPU seconds so far, of all its processes."""
        processes = [self._up, *self._up.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in processes)

    def timed(self, ask: Ask) -> tuple[list[float], float]:
        """Milliseconds of each request, and CPU milliseconds of one, idle work taken off."""
        for _ in range(WARM):
            ask()
        times_ms = []
        began_s, used_s = time.perf_counter(), self.cpu_s()
        for _ in range(TIMES):
            started_s = time.perf_counter()
            ask()
            times_ms.append((time.perf_counter() - started_s) * 1e3)
        idle_s = self._idle * (time.perf_counter() - began_s)
        return times_ms, (self.cpu_s() - used_s - idle_s) / TIMES * 1e3


def model_alone() -> dict[int, float]:
    """CPU milliseconds of the model for one and for two recordings, in this process."""
    engine = load_engine(load_settings())
    segments = prepare_ecg_fm(signal(1), 500, STANDARD_LEADS)
    medians_ms = {}
    for recordings in (1, 2):
        batch, times_ms = np.concatenate([segments] * recordings), []
        for _ in range(TIMES):
            started_s = time.process_time()
            engine.predict(batch)
            times_ms.append((time.process_time() - started_s) * 1e3)
        medians_ms[recordings] = float(np.median(times_ms[WARM:]))
        print(row(f"the model alone, {len(batch)} segments, CPU", times_ms[WARM:]))
    return medians_ms


def parsing_alone() -> None:
    """The protocol's own share, in this process: a request read, an answer written."""
    array, answer = signal(1), [Tensor.of_array("probabilities", np.zeros((1, 17)))]
    for name, sent, length in (
        ("binary", *as_binary(array)),
        ("JSON", as_json(array), {}),
    ):
        times_ms = []
        for _ in range(TIMES):
            started_s = time.process_time()
            message = parse_message(sent, length.get(HEADER_LENGTH), "demo", "", Limits())
            write_message(message, "demo", "0", answer)
            times_ms.append((time.process_time() - started_s) * 1e3)
        print(row(f"{name} 12x5000 read and answer written, CPU", times_ms))


def measure(profile: str, model_ms: dict[int, float]) -> dict[str, float]:
    """CPU beside the model's work, by name."""
    grpc_port = free_port()
    beside: dict[str, float] = {}
    with running_server("--profile", profile, "--grpc-port", str(grpc_port)) as (url, _, _):
        client = httpx2.Client(base_url=url, timeout=60)
        server = Server(int(url.rpartition(":")[2]))
        grpc_client = triton.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        found = asks(client, grpc_client)
        wanted = found["binary 12x5000"]()
        for name, ask in found.items():
            recordings = 0
            if name not in (HOP, BOTH_HOPS):
                recordings = len(ask())
                np.testing.assert_allclose(ask(), np.repeat(wanted, recordings, 0), atol=1e-5)
            times_ms, cpu_ms = server.timed(ask)
            beside[name] = cpu_ms - model_ms.get(recordings, 0.0)
            used = f"   CPU {cpu_ms:6.2f} ms, {beside[name]:5.2f} beside the model"
            print(row(f"{profile}: {name}", times_ms) + used)
        client.close()
        grpc_client.close()
    return beside


def main() -> None:
    print_header("Open Inference Protocol, one client, demo model", ["tritonclient"])
    parsing_alone()
    model_ms = model_alone()
    for profile in ("mono", "graph"):
        beside = measure(profile, model_ms)
        above_ms = beside["binary 12x5000"] - beside[HOP if profile == "mono" else BOTH_HOPS]
        print(f"{profile}: binary 12x5000 is {above_ms:.2f} CPU-ms above the hops and the model")
        assert above_ms <= BINARY_LIMIT_MS, f"binary is over {BINARY_LIMIT_MS} CPU-ms"
        if profile == "mono":
            assert beside["JSON 12x5000"] <= JSON_LIMIT_MS, f"JSON is over {JSON_LIMIT_MS} CPU-ms"


if __name__ == "__main__":
    main()
