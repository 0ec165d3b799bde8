# What people and CI run. Needs Python >= 3.11 with venv, a Rust toolchain (cargo) and a C compiler.
#
#   make serve    serve the demo model on http://127.0.0.1:8000
#   make test     every test but the long ones
#   make test-slow  the long ones: wheels for every Python there is, leaks, instruction counts
#   make check    lint, types, formatting
#   make coverage lines of Python that the tests of `make test` run
#   make bench    every benchmark
#   make fuzz     100,000 damaged recordings through decoding and analysis
#
# TORCH_INDEX=URL takes torch from that index, such as PyTorch's CPU-only one (200 MB, not 2.8 GB).

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUST_SOURCES := $(shell find rust_native -path rust_native/target -prune -o -type f \
	\( -name '*.rs' -o -name '*.toml' -o -name 'Cargo.lock' -o -name '*.py' -o -name '*.pyi' \) -print)

.PHONY: serve test test-slow coverage check format bench fuzz lock clean

serve: $(READY)
	$(BIN)/ecg-serve up

test: $(READY)
	cargo test --quiet --manifest-path rust_native/Cargo.toml
	$(BIN)/pytest -m "not slow"

test-slow: $(READY)
	$(BIN)/pytest -m slow

coverage: $(READY)
	$(BIN)/pytest -m "not slow and not benchmark" --cov --cov-report=term:skip-covered

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest ecg_processor_py._native
	cargo fmt --manifest-path rust_native/Cargo.toml --all -- --check
	cargo clippy --quiet --all-targets --manifest-path rust_native/Cargo.toml -- -D warnings

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --manifest-path rust_native/Cargo.toml --all

bench: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks

fuzz: $(READY)
	$(BIN)/python -m tests.fuzzing --inputs 100000

# Run on a fresh environment after a change of pyproject.toml: the exact versions of a known-good set.
lock: $(READY)
	$(BIN)/pip freeze --exclude-editable --exclude ecg-processor-py > constraints.txt

clean:
	rm -rf $(VENV) rust_native/target build *.egg-info

$(READY): pyproject.toml constraints.txt $(RUST_SOURCES)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --constraint constraints.txt --index-url $(TORCH_INDEX) torch)
	$(BIN)/pip install --quiet --constraint constraints.txt ./rust_native --editable '.[dev]'
	touch $@
