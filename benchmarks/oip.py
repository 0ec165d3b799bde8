"""The Open Inference Protocol, one client: JSON against binary tensors and gRPC, CPU and latency."""

import json
import time
from collections.abc import Callable

import httpx2
import numpy as np
import psutil
import tritonclient.grpc as triton

from benchmarks.http_latency import HEADERS, body
from benchmarks.reporting import print_header, row
from benchmarks.server import free_port, running_server
from serve_app.api.oip_messages import HEADER_LENGTH, parse_message, write_message
from serve_app.api.oip_tensors import Tensor
from serve_app.decoding import Limits

WARM, TIMES, IDLE_S = 50, 300, 3.0
INFER = "/v2/models/demo/infer"
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
    found: dict[str, Ask] = {"GET /livez (the hop alone)": lambda: client.get("/livez")}
    npy = body()
    found["POST /v1/predict?analysis=false, npy (peer)"] = lambda: of_predict(client, npy)
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


def model_ms(client: httpx2.Client) -> tuple[int, float]:
    """Requests and milliseconds that the model itself worked for them, from its statistics."""
    (stats,) = client.get("/v2/models/demo/stats").json()["model_stats"]
    inference = stats["inference_stats"]["compute_infer"]
    return inference["count"], inference["ns"] / 1e6


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


def measure(profile: str) -> dict[str, float]:
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
            if "livez" not in name:
                np.testing.assert_allclose(ask(), np.repeat(wanted, len(ask()), 0), atol=1e-5)
            before, before_ms = model_ms(client)
            times_ms, cpu_ms = server.timed(ask)
            after, after_ms = model_ms(client)
            own_ms = (after_ms - before_ms) / max(1, after - before)
            beside[name] = cpu_ms - own_ms
            print(
                row(f"{profile}: {name}", times_ms), f"  CPU {cpu_ms:6.2f} ms, model {own_ms:5.2f}"
            )
        client.close()
        grpc_client.close()
    return beside


def main() -> None:
    print_header("Open Inference Protocol, one client, demo model", ["tritonclient"])
    parsing_alone()
    for profile in ("mono", "graph"):
        beside = measure(profile)
        hop = beside["GET /livez (the hop alone)"]
        for name, cpu_ms in beside.items():
            print(f"{profile}: {name}: {cpu_ms:.2f} CPU-ms beside the model, hop {hop:.2f}")
        if profile == "mono":
            above_ms = beside["binary 12x5000"] - hop
            assert above_ms <= BINARY_LIMIT_MS, f"binary is {above_ms:.2f} ms above the hop"
            assert beside["JSON 12x5000"] <= JSON_LIMIT_MS, "JSON is over its limit"


if __name__ == "__main__":
    main()
