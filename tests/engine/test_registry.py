"""Several models in one process: lazy, warm, few, replaceable, and what happens when one fails."""

import asyncio
import shutil
import threading
import time
from types import SimpleNamespace

import pytest

from serve_app.engine.entries import RegistryCounts
from serve_app.engine.identity import Identity, ModelSource, identify, served_name
from serve_app.engine.protocol import EngineInfo
from serve_app.engine.registry import ModelRegistry, registry_of
from serve_app.errors import CheckpointError, ModelNotFound, ModelUnavailable
from serve_app.settings import load_settings


@pytest.fixture
def folders(tmp_path, write_tiny):
    """Two revisions of a model called `ecg`, and one called `other`."""
    paths = [tmp_path / "one" / "ecg", tmp_path / "two" / "ecg", tmp_path / "other"]
    return [write_tiny(path, seed) for seed, path in enumerate(paths)]


@pytest.fixture
def registry(folders):
    """`demo` is the default, two models fit beside it."""
    return registry_of(load_settings(models=folders, max_loaded_models=3))


def ask(registry, *names):
    async def asked():
        return [(await registry.engine(name)).info for name in names]

    return asyncio.run(asked())


def listed(registry):
    return asyncio.run(registry.models())


def loaded(registry):
    return {(each.name, each.revision) for each in listed(registry) if isinstance(each, EngineInfo)}


def test_nothing_is_loaded_before_it_is_asked_for(registry):
    assert registry.counts == RegistryCounts()
    assert all(isinstance(each, Identity) for each in listed(registry))
    (other,) = ask(registry, "other")
    assert other.name == "other"
    assert registry.counts == RegistryCounts(loaded=1, loads=1)
    assert ask(registry, "other", "other")[0] is other
    assert registry.counts.loads == 1


def test_what_is_listed_before_loading_is_what_loading_shows(registry):
    before = {each.sha256 for each in listed(registry) if each.source == "local"}
    names = [f"ecg@{each.revision}" for each in listed(registry) if each.name == "ecg"]
    after = {each.sha256 for each in ask(registry, *names, "other")}
    assert before == after
    assert [each.name for each in listed(registry)] == ["demo", "ecg", "ecg", "other"]


def test_two_revisions_of_one_name_stand_side_by_side(registry, folders):
    one, two = (identify(folder).sha256 for folder in folders[:2])
    assert one != two
    assert [each.sha256 for each in ask(registry, f"ecg@{one[:7]}", f"ecg@{two}")] == [one, two]
    assert ask(registry, "ecg")[0].sha256 == one
    assert ask(registry, None)[0].name == "demo"


@pytest.mark.parametrize(
    "asked", ["nobody", "ecg@fffffff", "ecg@", "ecg@abc", "demo@0000000", "/etc/passwd", "hf:a/b"]
)
def test_what_is_not_configured_cannot_be_asked_for(registry, asked):
    with pytest.raises(ModelNotFound):
        ask(registry, asked)
    assert not any(each.source == "hub" for each in listed(registry))


def test_a_path_is_no_name(registry, folders):
    with pytest.raises(ModelNotFound):
        ask(registry, folders[0])


def test_who_was_not_asked_longest_goes_first_and_the_default_never(registry, folders):
    one, two = (identify(folder).revision for folder in folders[:2])
    ask(registry, None, f"ecg@{one}", f"ecg@{two}", f"ecg@{one}", "other")
    assert {name for name, _ in loaded(registry)} == {"demo", "ecg", "other"}
    assert ("ecg", two) not in loaded(registry)
    assert registry.counts == RegistryCounts(loaded=3, loads=4, evictions=1)
    # It can still be asked for.
    assert ask(registry, f"ecg@{two}")[0].revision == two
    assert registry.default.name == "demo"


class HeldEngine:
    """Loads when released; remembers whether it was warmed before it answered."""

    def __init__(self, source, released=None):
        if released is not None:
            assert released.wait(10)
        self.info = SimpleNamespace(name=source.source, sha256=source.source, commit=None)
        self.warmed = False

    def warm(self):
        self.warmed = True


def test_many_who_ask_at_once_wait_for_one_load_and_a_warm_model():
    released, loads = threading.Event(), []

    def load(source):
        loads.append(source)
        return HeldEngine(source, released)

    async def many():
        registry = ModelRegistry([ModelSource("demo")], load)
        waiting = [asyncio.create_task(registry.engine()) for _ in range(20)]
        await asyncio.sleep(0.05)
        released.set()
        return await asyncio.gather(*waiting)

    engines = asyncio.run(many())
    assert len(loads) == 1
    assert len({id(each) for each in engines}) == 1
    assert engines[0].warmed


def test_who_waits_may_leave_and_the_load_goes_on():
    released = threading.Event()
    registry = ModelRegistry([ModelSource("demo")], lambda source: HeldEngine(source, released))

    async def leave_and_come_back():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await registry.engine()
        assert registry.counts.loads == 0
        released.set()
        return await registry.engine()

    assert asyncio.run(leave_and_come_back()).warmed
    assert registry.counts == RegistryCounts(loaded=1, loads=1)


def test_one_model_s_load_keeps_no_other_model_waiting():
    released = threading.Event()

    def load(source):
        return HeldEngine(source, released if source.source == "slow.pt" else None)

    async def ask_meanwhile():
        registry = ModelRegistry([ModelSource("demo"), ModelSource("slow.pt")], load)
        slow = asyncio.create_task(registry.engine("slow"))
        await asyncio.sleep(0.05)
        fast = await registry.engine()
        assert not slow.done()
        released.set()
        return fast, await slow

    fast, slow = asyncio.run(ask_meanwhile())
    assert (fast.info.name, slow.info.name) == ("demo", "slow.pt")


def test_a_model_that_fails_says_why_and_is_not_read_again_at_once(registry, folders, tmp_path):
    shutil.rmtree(folders[2])
    with pytest.raises(ModelUnavailable, match="'other' cannot be loaded") as refused:
        ask(registry, "other")
    assert str(tmp_path) not in f"{refused.value}{refused.value.hint}"
    for _ in range(5):
        with pytest.raises(ModelUnavailable):
            ask(registry, "other")
    assert registry.counts == RegistryCounts(failures=1)
    assert ask(registry, None)[0].name == "demo"


def test_a_model_that_is_back_heals_by_itself(folders, tmp_path, write_tiny):
    weights = tmp_path / "other" / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:1000])
    registry = registry_of(load_settings(model=folders[2]))
    with pytest.raises(CheckpointError, match="damaged"):
        registry.load_default()
    registry.tend()
    assert registry.default is None
    weights.write_bytes(kept)
    deadline_s = time.monotonic() + 10
    while registry.default is None:
        assert time.monotonic() < deadline_s
        registry.tend()
        time.sleep(0.05)
    assert ask(registry, None)[0].name == "other"


def test_the_default_is_replaced_by_what_was_prepared(registry, folders):
    two = ModelSource(folders[1])
    before = ask(registry, None)[0]
    prepared = asyncio.run(registry.prepare(two))
    assert registry.default is before
    used = registry.use(ModelSource(folders[1], prepared.sha256))
    assert used.sha256 == prepared.sha256 == identify(folders[1]).sha256
    assert ask(registry, None, "ecg")[0] is ask(registry, "ecg")[0]
    # The one before can be asked for, and be made the default again.
    assert ask(registry, "demo")[0].sha256 == before.sha256
    back = asyncio.run(registry.prepare(ModelSource("demo")))
    assert registry.use(ModelSource("demo", back.sha256)).sha256 == before.sha256


def test_new_weights_under_the_same_name(folders, write_tiny, tmp_path):
    registry = registry_of(load_settings(model=folders[2]))
    (old,) = ask(registry, None)
    shutil.rmtree(folders[2])
    write_tiny(tmp_path / "other", 77)
    assert ask(registry, None, "other") == [old, old]  # nobody said so yet
    new = asyncio.run(registry.prepare(ModelSource(folders[2])))
    registry.use(ModelSource(folders[2], new.sha256))
    assert ask(registry, "other", f"other@{old.revision}") == [new, old]
    assert [each.revision for each in listed(registry)] == [new.revision, old.revision]


def test_a_model_that_cannot_be_prepared_changes_nothing(registry, tmp_path):
    before = ask(registry, None)
    for source in (str(tmp_path / "nowhere"), "hf:not a name"):
        with pytest.raises(ModelUnavailable):
            asyncio.run(registry.prepare(ModelSource(source)))
    with pytest.raises(ModelUnavailable):
        asyncio.run(registry.prepare(ModelSource("demo", "f" * 12)))
    with pytest.raises(ModelUnavailable):
        registry.use(ModelSource("demo", "f" * 64))
    assert ask(registry, None) == before
    assert len(listed(registry)) == 4


def test_what_was_prepared_can_be_dropped_again(registry, folders, tmp_path, write_tiny):
    source = ModelSource(write_tiny(tmp_path / "new", 5))
    asyncio.run(registry.prepare(source))
    assert ask(registry, "new")
    registry.forget(source)
    with pytest.raises(ModelNotFound):
        ask(registry, "new")
    # What settings name stays, and so does the default.
    for each in (ModelSource(folders[2]), ModelSource("demo")):
        registry.forget(each)
    assert len(ask(registry, None, "other")) == 2


def test_preparing_what_is_there_keeps_one_copy(registry):
    ask(registry, None)
    for _ in range(3):
        info = asyncio.run(registry.prepare(ModelSource("demo")))
        registry.use(ModelSource("demo", info.sha256))
    assert registry.counts.loaded == 1
    assert [each.name for each in listed(registry)].count("demo") == 1


def test_names_without_loading(folders, ecgfm_dir, tmp_path):
    assert served_name("demo") == "demo"
    assert served_name(folders[0]) == "ecg"
    assert served_name(str(ecgfm_dir / "tiny_finetuned.pt")) == "tiny_finetuned"
    assert served_name("hf:wanglab/ecg-fm@main") == "ecg-fm"
    assert served_name(str(tmp_path / "gone.pt")) == "gone"
    assert served_name(str(tmp_path / "gone")) == "gone"
