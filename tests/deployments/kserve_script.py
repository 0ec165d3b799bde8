"""What the kserve clients get; runs in an environment that has kserve and not this project."""

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

SERVER, GRPC_ADDRESS, RECORDING = sys.argv[1:]


def request(**how):
    content = Path(RECORDING).read_bytes()
    entry = InferInput("recording", [1], "BYTES")
    entry.set_data_from_numpy(np.array([content], dtype=object), **how)
    return InferRequest("demo", [entry])


def samples(parameters):
    """Ten seconds of beats, as numbers in JSON."""
    seconds = np.arange(2500) / 500
    beat = np.exp(-0.5 * (((seconds % 0.8) - 0.4) / 0.012) ** 2)
    signal = np.linspace(0.4, 1.5, 12)[:, None] * beat
    entry = InferInput("signal", [12, 2500], "FP32", parameters=parameters)
    entry.set_data_from_numpy(signal.astype(np.float32), binary_data=False)
    return InferRequest("demo", [entry])


def probabilities(answer):
    (output,) = [each for each in answer.outputs if each.name == "probabilities"]
    return output.as_numpy().reshape(-1).tolist()


async def main():
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    told = {"http_binary": probabilities(await rest.infer(SERVER, request(), "demo"))}
    numbers = probabilities(await rest.infer(SERVER, samples({"fs_hz": 500}), "demo"))
    assert len(numbers) == 17
    try:
        await rest.infer(SERVER, samples(None), "demo")
    except Exception as error:
        told["error"] = str(error)
    async with InferenceGRPCClient(GRPC_ADDRESS) as grpc:
        told["grpc"] = probabilities(await grpc.infer(request()))
        told["live"] = [await rest.is_server_live(SERVER), await grpc.is_server_live()]
        told["ready"] = [await rest.is_server_ready(SERVER), await grpc.is_server_ready()]
        told["model_ready"] = [
            await rest.is_model_ready(SERVER, "demo"),
            await grpc.is_model_ready("demo"),
        ]
    told["other_model_ready"] = await rest.is_model_ready(SERVER, "other")
    await rest.close()
    sys.stdout.write(json.dumps(told) + "\n")


asyncio.run(main())
