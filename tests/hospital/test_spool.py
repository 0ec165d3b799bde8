"""The queue on disk: what was acknowledged stays, whatever happens to the process."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from serve_app.errors import Overloaded, SettingsError
from serve_app.hospital.spool import Spool

NOTE = {"kind": "file", "name": "a", "source": {}}


def test_items_come_back_in_order_with_their_files(spool):
    for number in range(5):
        spool.put(((f"{number}.hea", b"h"), ("x.dat", bytes([number]))), NOTE | {"name": number})
    items = list(spool.waiting())
    assert [item.note["name"] for item in items] == list(range(5))
    assert items[3].files() == (("3.hea", b"h"), ("x.dat", b"\x03"))


def test_names_of_senders_are_no_paths(spool, tmp_path):
    item = spool.put((("../../../evil", b"x"), ("/etc/evil", b"y")), NOTE)
    assert [name for name, _ in item.files()] == ["../../../evil", "/etc/evil"]
    assert not list(tmp_path.rglob("evil"))


def test_what_is_finished_is_gone_and_what_is_set_aside_has_its_reason(spool, tmp_path):
    finished, failed = spool.put((("", b"1"),), NOTE), spool.put((("", b"2"),), NOTE)
    spool.finish(finished)
    spool.set_aside(failed, {"code": "corrupted_data"})
    assert not list(spool.waiting())
    (folder,) = (tmp_path / "spool/failed").iterdir()
    assert b"corrupted_data" in (folder / "problem.json").read_bytes()
    assert (folder / "0").read_bytes() == b"2"
    assert not list((tmp_path / "spool/incoming").iterdir())


def test_what_was_set_aside_can_be_put_back_by_hand(spool, tmp_path):
    item = spool.put((("", b"2"),), NOTE)
    item.count_try(5)
    spool.set_aside(item, {"code": "x"})
    (folder,) = (tmp_path / "spool/failed").iterdir()
    folder.rename(tmp_path / "spool/waiting" / folder.name)
    (again,) = spool.waiting()
    assert (again.tries, again.files()) == (0, (("", b"2"),))


def test_only_the_owner_can_look_in(spool, tmp_path):
    item = spool.put((("", b"patient"),), NOTE)
    for folder in (item.folder, tmp_path / "spool/waiting", tmp_path / "spool/failed"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_process_is_refused_until_the_first_has_gone(spool, tmp_path):
    with pytest.raises(SettingsError, match="Another process"):
        Spool(tmp_path / "spool")
    spool.put((("", b"1"),), NOTE)
    spool.close()
    second = Spool(tmp_path / "spool")
    assert len(list(second.waiting())) == 1
    second.close()


def test_a_full_queue_takes_no_more(tmp_path):
    spool = Spool(tmp_path / "small", max_waiting=2)
    for _ in range(2):
        spool.put((("", b"1"),), NOTE)
    with pytest.raises(Overloaded):
        spool.put((("", b"1"),), NOTE)
    spool.close()


def test_a_spool_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        Spool(tmp_path / "file" / "spool")


def test_damaged_items_do_not_stop_the_others(spool, tmp_path):
    (tmp_path / "spool/waiting/00-odd").mkdir()
    (tmp_path / "spool/waiting/01-odd").mkdir()
    (tmp_path / "spool/waiting/01-odd/item.json").write_text("[1")
    spool.put((("", b"1"),), NOTE)
    assert len(list(spool.waiting())) == 1


WRITER = """
import sys
from pathlib import Path
from serve_app.hospital.spool import Spool

spool = Spool(Path(sys.argv[1]))
for number in range(100_000):
    content = bytes([number % 256]) * 100_000
    spool.put((("", content),), {"kind": "file", "name": number, "source": {}})
    print(number, flush=True)
"""


def test_nothing_acknowledged_is_lost_by_kill(tmp_path):
    folder = tmp_path / "spool"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE, text=True
    )
    for line in writer.stdout:
        if int(line) >= 20:
            os.kill(writer.pid, signal.SIGKILL)
            break
    acknowledged = int((writer.stdout.read().split() or [line])[-1])
    writer.wait()
    spool = Spool(folder)
    items = list(spool.waiting())
    assert [item.note["name"] for item in items][: acknowledged + 1] == list(
        range(acknowledged + 1)
    )
    for item in items:
        ((_, content),) = item.files()
        assert content == bytes([item.note["name"] % 256]) * 100_000
    assert not list((folder / "incoming").iterdir())
    spool.close()
