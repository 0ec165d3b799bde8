"""Damaged recordings over HTTP: a problem with a hint, never a server error."""

import os
from pathlib import Path

import pytest

from tests.fuzzing.campaign import damaged_input
from tests.fuzzing.seeds import all_seeds

_INPUTS = 400


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/predict?missing_leads=zero"])
def test_damaged_recordings_of_every_format(client, data_dir, path, recwarn):
    seeds = all_seeds(data_dir)
    answered = 0
    for number in range(_INPUTS):
        name, upload = damaged_input(seeds, number)
        if len(upload.files) > 1:
            response = client.post(path, files=[("file", file) for file in upload.files])
        else:
            response = client.post(path, content=upload.files[0][1])
        assert response.status_code < 500, (name, number, response.text)
        told = response.json()
        if response.status_code == 200:
            answered += 1
            assert told["recording"]["sha256"]
        else:
            assert told["code"], (name, number)
            assert told["hint"], (name, number)
            assert str(Path(os.sep)) + "tmp" not in response.text
    assert answered > _INPUTS / 50
