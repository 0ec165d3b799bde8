#!/usr/bin/env bash
# Build, install and test the Rust-backed library.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
usage: scripts/build_ffi.sh OPTION...

Options may be combined; they run in this order, whatever theirs on the command line:
  --install         install what a build needs: Rust and a C compiler (Debian, as root), maturin and the
                    test tools (PyPI); without an active environment into .venv, which is made
  --build           build a wheel into dist/
  --install-wheel   install the wheel of dist/
  --test            run the tests of the Rust core and those of the installed library
  --all             all of these
  --toolchain NAME  build with this toolchain of rustup (such as 1.89 or nightly), or `ferrocene`:
                    the compiler in FERROCENE_HOME
  --help            show this

Environment:
  BUILD_MODE        release (default) or debug
  PYTHON            the interpreter; default: the active environment's, then .venv's, then python3
  RUSTC, CARGO      the compiler and the build tool to use instead of those in PATH
  FERROCENE_HOME    an installed Ferrocene, with bin/rustc and, if it has one, bin/cargo.
                    No Ferrocene compiler was available to test with: the switch is tested with a stand-in.
TEXT
}

refuse() {
    echo "build_ffi.sh: $1" >&2
    usage >&2
    exit 2
}

fail() {
    echo "build_ffi.sh: $1" >&2
    exit 1
}

missing() { ! command -v "$1" >/dev/null 2>&1; }

choose_python() {
    if [[ -z ${PYTHON:-} ]]; then
        PYTHON=python3
        [[ ! -x .venv/bin/python ]] || PYTHON=$PWD/.venv/bin/python
        [[ -z ${VIRTUAL_ENV:-} ]] || PYTHON=$VIRTUAL_ENV/bin/python
    fi
    ! missing "$PYTHON" || fail "no Python at $PYTHON"
}

choose_toolchain() {
    if [[ -z $toolchain ]]; then
        return
    elif [[ $toolchain != ferrocene ]]; then
        export RUSTUP_TOOLCHAIN=$toolchain
        return
    fi
    [[ -n ${FERROCENE_HOME:-} ]] || fail "set FERROCENE_HOME to the folder of the Ferrocene toolchain"
    [[ -x $FERROCENE_HOME/bin/rustc ]] || fail "there is no bin/rustc in FERROCENE_HOME ($FERROCENE_HOME)"
    export RUSTC=$FERROCENE_HOME/bin/rustc
    [[ ! -x $FERROCENE_HOME/bin/cargo ]] || export CARGO=$FERROCENE_HOME/bin/cargo
}

install_packages() {
    if missing apt-get || [[ $(id -u) != 0 ]]; then
        fail "install a C compiler and Rust 1.89 or newer (https://rustup.rs), then come back"
    fi
    apt-get update -qq
    apt-get install -y -qq build-essential python3-venv
    if missing "${CARGO:-cargo}"; then
        apt-get install -y -qq rustup || apt-get install -y -qq cargo
        missing rustup || rustup default stable
    fi
}

install_dependencies() {
    if missing cc || missing "${CARGO:-cargo}"; then
        install_packages
    fi
    if [[ $PYTHON == python3 ]]; then
        python3 -m venv .venv
        PYTHON=$PWD/.venv/bin/python
    fi
    "$PYTHON" -m pip install --quiet 'maturin>=1.7,<2' 'numpy>=1.24' pytest
}

build() {
    local mode=()
    [[ $BUILD_MODE == debug ]] || mode=(--release)
    ! missing "${CARGO:-cargo}" || fail "no cargo: run scripts/build_ffi.sh --install first"
    "$PYTHON" -m maturin --version >/dev/null || fail "no maturin: run scripts/build_ffi.sh --install first"
    rm -f dist/ecg_processor_py-*.whl
    "$PYTHON" -m maturin build "${mode[@]}" --locked --interpreter "$PYTHON" --out dist
}

install_wheel() {
    local wheels=(dist/ecg_processor_py-*.whl)
    [[ -f ${wheels[0]} ]] || fail "no wheel in dist/: run scripts/build_ffi.sh --build first"
    # Once for the dependencies, once to replace an older build of the same version.
    "$PYTHON" -m pip install --quiet "${wheels[0]}"
    "$PYTHON" -m pip install --quiet --no-deps --force-reinstall "${wheels[0]}"
}

run_tests() {
    local mode=()
    [[ $BUILD_MODE == debug ]] || mode=(--release)
    "${CARGO:-cargo}" test --quiet --locked -p ecg-core "${mode[@]}"
    "$PYTHON" -m pytest --quiet -c tests/pytest.ini tests
}

[[ $# -gt 0 ]] || refuse "nothing to do"
toolchain='' do_install='' do_build='' do_wheel='' do_test=''
while [[ $# -gt 0 ]]; do
    case $1 in
    --install) do_install=1 ;;
    --build) do_build=1 ;;
    --install-wheel) do_wheel=1 ;;
    --test) do_test=1 ;;
    --all) do_install=1 do_build=1 do_wheel=1 do_test=1 ;;
    --toolchain)
        [[ -n ${2:-} && $2 != --* ]] || refuse "--toolchain needs a name"
        toolchain=$2
        shift
        ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) refuse "unknown option $1" ;;
    esac
    shift
done
[[ -n $do_install$do_build$do_wheel$do_test ]] || refuse "nothing to do"
BUILD_MODE=${BUILD_MODE:-release}
[[ $BUILD_MODE == release || $BUILD_MODE == debug ]] || refuse "BUILD_MODE must be release or debug, not $BUILD_MODE"

choose_python
choose_toolchain
[[ -z $do_install ]] || install_dependencies
[[ -z $do_build ]] || build
[[ -z $do_wheel ]] || install_wheel
[[ -z $do_test ]] || run_tests
