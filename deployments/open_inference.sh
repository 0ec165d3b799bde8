#!/usr/bin/env bash
# Makes open_inference_pb2.py and its types of open_inference.proto. The compiler must not be newer
# than the protobuf and grpcio that are installed, and is no part of the project's environment.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet 'grpcio-tools==1.75.1'
"$folder/bin/python" -m grpc_tools.protoc -I . --python_out=. --pyi_out=. deployments/open_inference.proto
head='# fmt: off\n# mypy: ignore-errors\n# Made by open_inference.sh of open_inference.proto, which says whose protocol it is.'
sed -i "1i # ruff: noqa: E501, I001\n$head" deployments/open_inference_pb2.py
sed -i "1i # ruff: noqa: A002, E501, I001, RUF023, UP007, UP045\n$head" deployments/open_inference_pb2.pyi
