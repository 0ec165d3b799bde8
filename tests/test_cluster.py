"""What the cluster folder says fits Ray's schema, our settings and the flags of `ecg-serve up`."""

import shlex
from pathlib import Path

import yaml
from ray.serve.schema import ServeDeploySchema

from deployments.app import BuildArgs, build
from deployments.local import FLAGS

CLUSTER = Path(__file__).resolve().parents[1] / "cluster"


def test_the_flags_are_those_of_ecg_serve_up():
    words = shlex.split((CLUSTER / "ray.env").read_text(), comments=True)
    assert dict(word.split("=", 1) for word in words) == dict(FLAGS)


def test_the_serve_config_builds():
    config = ServeDeploySchema(**yaml.safe_load((CLUSTER / "serve.yaml").read_text()))
    (application,) = config.applications
    assert application.name == "ecg"
    args = BuildArgs(**application.args)
    assert args.model_max_replicas > args.model_min_replicas
    assert build(args)
    assert config.http_options.host == BuildArgs().host
