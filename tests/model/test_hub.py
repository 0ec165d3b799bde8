"""Models of the Hub: fetched once, pinned, used without it, and every way in which that fails."""

import hashlib
import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from torch import Tensor

from serve_app.engine.loading import load_engine, refuse_missing_model
from serve_app.errors import CheckpointError
from serve_app.model.checkpoints import load_any, load_backbone, load_model
from serve_app.model.hub import HubName
from serve_app.model.modeling_ecg_fm import EcgFmForSequenceClassification, EcgFmModel
from serve_app.model.network import EcgFmClassifier
from serve_app.settings import load_settings
from tests.model.hub_stand_in import Files, HubStandIn

ROOT = Path(__file__).resolve().parents[2]
NAME = "hf:someone/ecg-fm"
LOAD = "import sys; from serve_app.model.checkpoints import load_model; load_model(sys.argv[1])"


@pytest.fixture
def commit(hub: HubStandIn, our_files: Files) -> str:
    """The repository someone/ecg-fm is there, in our layout."""
    return hub.push("someone/ecg-fm", our_files)


def refused(hub: HubStandIn, load: Callable[[], object], reason: str) -> CheckpointError:
    """The error, which tells of no path, no address and nothing of the libraries."""
    with pytest.raises(CheckpointError, match=reason) as caught:
        load()
    said = f"{caught.value.detail} {caught.value.hint}"
    for secret in (constants.HF_HUB_CACHE, hub.url, "http", "Traceback", "blobs"):
        assert secret not in said
    assert caught.value.hint != CheckpointError.default_hint
    return caught.value


def cached(weights: str = "model.safetensors") -> Path:
    (found,) = Path(constants.HF_HUB_CACHE).glob(f"*/snapshots/*/{weights}")
    return found


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("hf:wanglab/ecg-fm", "wanglab/ecg-fm", None),
        ("hf:wanglab/ecg-fm@main", "wanglab/ecg-fm", "main"),
        ("hf:a/b@refs/pr/1", "a/b", "refs/pr/1"),
        ("hf:a_b/c.d-e@v1.0+x", "a_b/c.d-e", "v1.0+x"),
    ],
)
def test_names(text: str, repository: str, revision: str | None) -> None:
    name = HubName.parse(text)
    assert (name.repository, name.revision, str(name)) == (repository, revision, text)


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:ecg-fm", "hf:a/b/c", "hf:/b", "hf:a/", "hf:a/b@", "hf:a/b@../../x", "hf:../b",
     "hf:a/b@/x", "hf:a/b@x/", "hf:a/b@x//y", "hf:a/b@-x", "hf:a/b c", "hf:a/b--c", "hf:a/b.git",
     "hf:a/b@x\ny", "hf:a/" + "b" * 97, "hf:a/b@" + "x" * 300, "hf:a/b@x@y", "hf:ä/b"],
)  # fmt: skip
def test_other_names_are_refused(text: str) -> None:
    for check in (load_model, load_backbone, EcgFmModel.from_pretrained, HubName.parse):
        with pytest.raises(CheckpointError, match="no name of a model") as caught:
            check(text)
        assert "hf:OWNER/NAME" in caught.value.hint
    with pytest.raises(CheckpointError, match="no name of a model"):
        refuse_missing_model(load_settings(model=text))


def test_our_layout_is_fetched_once(
    hub: HubStandIn, commit: str, our_files: Files, small_model: EcgFmClassifier
) -> None:
    loaded = load_model(NAME)
    sha256 = hashlib.sha256(our_files["model.safetensors"]).hexdigest()
    assert (loaded.name, loaded.source, loaded.commit) == ("ecg-fm", "hub", commit)
    assert (loaded.sha256, loaded.revision) == (sha256, sha256[:12])
    for name, tensor in small_model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)
    assert not any("README" in path for path in hub.fetched())
    hub.requests.clear()
    assert load_model(NAME).commit == commit
    assert hub.requests == [("GET", "/api/models/someone/ecg-fm")]
    hub.requests.clear()
    assert load_model(f"{NAME}@{commit}").commit == commit
    assert load_model(NAME, revision=commit).commit == commit
    assert hub.requests == []


def test_published_checkpoint(
    hub: HubStandIn, published_files: Files, small_model: EcgFmClassifier, segments: Tensor
) -> None:
    hub.push("someone/ecg-fm", published_files)
    loaded = load_model(NAME)
    torch.testing.assert_close(loaded.model(segments), small_model(segments), atol=0, rtol=0)
    assert len(hub.fetched()) == 1
    assert cached("*.pt").name == "b_finetuned.pt"


def test_pretrained_checkpoint_is_for_features_only(
    hub: HubStandIn, published_files: Files, small_model: EcgFmClassifier, segments: Tensor
) -> None:
    hub.push("someone/ecg-fm", {"a_pretrained.pt": published_files["a_pretrained.pt"]})
    refused(hub, lambda: load_model(NAME), "must hold one checkpoint; it holds none")
    assert hub.fetched() == []
    pooled = load_backbone(NAME).model(segments).pooled
    torch.testing.assert_close(pooled, small_model(segments)[1], atol=0, rtol=0)
    assert load_any(NAME).source == "hub"


def test_shared_checkpoint_from_the_hub(hub: HubStandIn, ecgfm_dir: Path) -> None:
    data = (ecgfm_dir / "tiny_finetuned.pt").read_bytes()
    hub.push("someone/ecg-fm", {"tiny_finetuned.pt": data})
    here, there = load_model(ecgfm_dir / "tiny_finetuned.pt"), load_model(NAME)
    assert there.sha256 == here.sha256
    assert there.config.label_pos_weights == here.config.label_pos_weights


def test_transformers_classes(
    hub: HubStandIn, commit: str, small_model: EcgFmClassifier, segments: Tensor
) -> None:
    classifier = EcgFmForSequenceClassification.from_pretrained(f"{NAME}@main")
    features = EcgFmModel.from_pretrained(NAME)
    logits, pooled = small_model(segments)
    torch.testing.assert_close(classifier(segments).logits, logits, atol=0, rtol=0)
    torch.testing.assert_close(features(segments).pooler_output, pooled, atol=0, rtol=0)


def test_branch_that_moves_upstream(
    hub: HubStandIn, commit: str, our_files: Files, published_files: Files
) -> None:
    assert load_model(NAME).commit == commit
    moved = hub.push("someone/ecg-fm", {"b_finetuned.pt": published_files["b_finetuned.pt"]})
    assert load_model(NAME).commit == moved
    assert load_model(f"{NAME}@{commit}").commit == commit
    refused(hub, lambda: load_model(NAME, revision=commit[:12]), "revision is .* not")
    tagged = hub.push("someone/ecg-fm", our_files | {"NOTE": b"1"}, reference="refs/pr/1")
    assert load_model(f"{NAME}@refs/pr/1").commit == tagged


def test_revision_is_the_commit_or_the_sha256(hub: HubStandIn, commit: str) -> None:
    sha256 = load_model(NAME).sha256
    for revision in (commit, commit[:7], commit[:7].upper(), sha256, sha256[:12]):
        assert load_model(NAME, revision=revision).sha256 == sha256
    refused(hub, lambda: load_model(NAME, revision="0" * 12), "not 000000000000")
    refused(hub, lambda: load_model(NAME, revision="0" * 40), "no revision 0{40}")


def test_engine_of_settings(hub: HubStandIn, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_MODEL", NAME)
    monkeypatch.setenv("ECG_MODEL_REVISION", commit[:12])
    info = load_engine(load_settings()).info
    assert (info.name, info.source, info.sha256[:12]) == ("ecg-fm", "hub", info.revision)
    monkeypatch.setenv("ECG_MODEL_REVISION", "0" * 12)
    refused(hub, lambda: load_engine(load_settings()), "revision is")


def test_offline(hub: HubStandIn, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert load_model(NAME).commit == commit
    assert load_model(f"{NAME}@{commit}").commit == commit
    error = refused(hub, lambda: load_model(f"{NAME}@v2"), "HF_HUB_OFFLINE")
    assert "model pull hf:someone/ecg-fm@v2" in error.hint
    refused(hub, lambda: load_model(f"{NAME}@{'0' * 40}"), "HF_HUB_OFFLINE")
    assert hub.requests == []


def test_cache_laid_out_by_others(
    hub: HubStandIn, our_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, repository = "5" * 40, Path(constants.HF_HUB_CACHE) / "models--someone--ecg-fm"
    for folder in ("blobs", "refs", f"snapshots/{commit}"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    for name, data in our_files.items():
        (repository / "blobs" / hashlib.sha256(data).hexdigest()).write_bytes(data)
        target = Path("../../blobs") / hashlib.sha256(data).hexdigest()
        (repository / "snapshots" / commit / name).symlink_to(target)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model(NAME).commit == commit
    (repository / "refs/main").write_text("../../elsewhere")
    refused(hub, lambda: load_model(NAME), "HF_HUB_OFFLINE")


def test_connection_refused(hub: HubStandIn, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(hub, lambda: load_model(NAME), "cannot be reached")


def test_hub_that_is_gone_after_the_first_time(
    hub: HubStandIn, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_model(NAME)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert load_model(NAME).commit == commit
    refused(hub, lambda: load_model(f"{NAME}@v2"), "cannot be reached")


def test_slow_hub(hub: HubStandIn, commit: str) -> None:
    hub.delay_s = 2.0
    refused(hub, lambda: load_model(NAME, timeout_s=0.2), "cannot be reached")
    hub.delay_s = 0.0
    load_model(NAME)
    hub.delay_s = 2.0
    assert load_model(NAME, timeout_s=0.2).commit == commit


REFUSALS = [
    ((401, {"X-Error-Message": "Invalid username or password."}, b""), "shows no repository"),
    ((401, {"X-Error-Message": "Invalid credentials in Authorization header"}, b""), "no repos"),
    ((403, {"X-Error-Code": "GatedRepo"}, b""), "refuses access"),
    ((403, {"X-Error-Message": "no"}, b""), "refuses access"),
    ((404, {"X-Error-Code": "RepoNotFound"}, b""), "shows no repository"),
    ((404, {"X-Error-Code": "RevisionNotFound"}, b""), "no revision main"),
    ((404, {}, b""), "shows no repository"),
    ((400, {}, b'{"error": "/secret"}'), "refuses"),
]
OUTAGES = [
    ((500, {}, b"trace"), "cannot answer now"),
    ((503, {}, b""), "cannot answer now"),
    ((429, {"Retry-After": "1"}, b""), "cannot answer now"),
    ((200, {"Content-Type": "text/html"}, b"<html>Log in to the hotel</html>"), "be reached"),
    ((200, {"Content-Type": "application/json"}, b"{}"), "be reached"),
    ((200, {}, b'{"id": "x", "sha": "../../etc"}'), "be reached"),
]


@pytest.mark.parametrize(("answer", "reason"), REFUSALS)
def test_refusals_count_whatever_is_cached(
    hub: HubStandIn, commit: str, answer: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    load_model(NAME)
    hub.refusal = answer
    refused(hub, lambda: load_model(NAME), reason)


@pytest.mark.parametrize(("answer", "reason"), OUTAGES)
def test_outages_leave_what_is_cached(
    hub: HubStandIn, commit: str, answer: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    hub.refusal = answer
    refused(hub, lambda: load_model(NAME), reason)
    hub.refusal = None
    load_model(NAME)
    hub.refusal = answer
    assert load_model(NAME).commit == commit


def test_no_such_repository_or_revision(hub: HubStandIn, commit: str) -> None:
    refused(hub, lambda: load_model("hf:someone/other"), "shows no repository someone/other")
    refused(hub, lambda: load_model(f"{NAME}@v2"), "no revision v2")
    refused(hub, lambda: load_model(f"{NAME}@{'0' * 40}"), "no revision 0{40}")
    hub.lost = {"model.safetensors"}
    refused(hub, lambda: load_model(NAME), "lacks a file")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"README.md": b"#"}, "holds none"),
        ({"model.safetensors": b"x"}, "no config.json"),
        ({"model.safetensors": b"x", "config.json": b'{"model_type": "bert"}'}, "of an ECG-FM"),
        ({"model.safetensors": b"x", "config.json": b"{"}, "another model"),
        ({"a_finetuned.pt": b"x", "b_finetuned.pt": b"y"}, "a_finetuned.pt, b_finetuned.pt"),
        ({"sub/a_finetuned.pt": b"x", "../b_finetuned.pt": b"y"}, "holds none"),
    ],
)
def test_repositories_of_something_else(hub: HubStandIn, files: Files, reason: str) -> None:
    hub.push("someone/ecg-fm", files)
    with pytest.raises(CheckpointError, match=reason):
        load_model(NAME)
    assert not any(path.startswith("/cdn") for path in hub.fetched())


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(100)])
def test_published_file_that_is_none(hub: HubStandIn, data: bytes) -> None:
    hub.push("someone/ecg-fm", {"x_finetuned.pt": data})
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(NAME)


def test_download_that_breaks_off(hub: HubStandIn, commit: str) -> None:
    hub.cut = True
    refused(hub, lambda: load_model(NAME), "cut short")
    assert not list(Path(constants.HF_HUB_CACHE).glob("*/refs/main"))
    assert not list(Path(constants.HF_HUB_CACHE).glob("*/blobs/*.incomplete"))
    hub.cut = False
    assert load_model(NAME).commit == commit


def test_download_that_is_damaged_on_the_way(hub: HubStandIn, commit: str) -> None:
    hub.damage = True
    for load in (load_model, load_backbone, EcgFmModel.from_pretrained):
        error = refused(hub, lambda load=load: load(NAME), "downloaded weights are damaged")
        assert "--force" in error.hint


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_cache_that_is_damaged(hub: HubStandIn, commit: str, file: str) -> None:
    load_model(NAME)
    blob = cached(file).resolve()
    content = bytearray(blob.read_bytes())
    content[-3] ^= 1
    blob.write_bytes(content)
    for name in (NAME, f"{NAME}@{commit}"):
        refused(hub, lambda name=name: load_model(name), "downloaded .* damaged")


def test_blob_that_is_gone_is_fetched_again(hub: HubStandIn, commit: str) -> None:
    load_model(NAME)
    cached().resolve().unlink()
    assert load_model(f"{NAME}@{commit}").commit == commit


def run(environment: dict[str, str], code: str, *arguments: str, **options: object):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env=os.environ | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_two_processes_at_once_fetch_once_and_a_third_needs_no_hub(
    hub: HubStandIn, commit: str, hub_environment: dict[str, str]
) -> None:
    asked = ("HEAD", f"/someone/ecg-fm/resolve/{commit}/model.safetensors")
    hub.released = lambda: hub.requests.count(asked) == 2  # both are there, neither has it
    both = [run(hub_environment, LOAD, NAME) for _ in range(2)]
    for process in both:
        _, told = process.communicate(timeout=120)
        assert (process.returncode, told) == (0, "")  # no progress bar where there is no terminal
    assert len([path for path in hub.fetched() if path.startswith("/cdn")]) == 1
    hub.requests.clear()
    offline = run(hub_environment | {"HF_HUB_OFFLINE": "1"}, LOAD, NAME)
    _, told = offline.communicate(timeout=120)
    assert (offline.returncode, told, hub.requests) == (0, "", [])


def test_full_disk(hub: HubStandIn, commit: str, hub_environment: dict[str, str]) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    code = (
        "import sys; from serve_app.model.checkpoints import load_model\n"
        "from serve_app.errors import CheckpointError\n"
        "try: load_model(sys.argv[1])\n"
        "except CheckpointError as error: print(error.detail, error.hint)"
    )
    process = run(hub_environment, code, NAME, preexec_fn=limit)
    told, trouble = process.communicate(timeout=120)
    assert "no room on the disk" in told, trouble
    assert "HF_HOME" in told


def test_cache_that_cannot_be_written_to(
    hub: HubStandIn, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    assert "HF_HOME" in refused(hub, lambda: load_model(NAME), "cannot be written to").hint


def test_hostile_checkpoint_of_the_hub_is_not_run(hub: HubStandIn, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "trap",)

    file = io.BytesIO()
    torch.save({"model": Hostile(), "cfg": {"model": {}}}, file)
    hub.push("someone/ecg-fm", {"x_finetuned.pt": file.getvalue()})
    for load in (load_model, load_backbone, load_any, EcgFmModel.from_pretrained):
        with pytest.raises(CheckpointError, match="nothing was run"):
            load(NAME)
    assert not (tmp_path / "trap").exists()
