from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.clips import decode
from lus.common import params_file
from lus.common.errors import Finding, Unusable
from tests.conftest import ROOT
from tests.fuzz import corpus, mutations
from tests.fuzz import run as fuzz

LIMITS = params_file.load_params(ROOT / "params.yaml").limits
DIES, HANGS, RAISES, TOO_LARGE = "00002-", "00005-", "00007-", "00011-"
MAGIC = (
    b"",
    b"RIFF\0\1\0\0AVI LIST",
    b"\0\0\0\x14ftypqt  ",
    b"\x1aE\xdf\xa3",
    b"\0\0\1\xba",
    b"GIF89a",
    b"\0" * 128 + b"DICM",
)
_hoard: list[bytes] = []


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return corpus.make_wholes(tmp_path_factory.mktemp("wholes"))


def _look_and_do_harm(path: Path) -> list[str]:
    if path.name.startswith(DIES):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name.startswith(HANGS):
        time.sleep(60)
    if path.name.startswith(RAISES):
        raise ZeroDivisionError("planted")
    if path.name.startswith(TOO_LARGE):
        raise MemoryError
    return ["frames"]


def _look_and_hoard(path: Path) -> list[str]:
    _hoard.append(b"x" * (4 << 20))
    raise Unusable(path.name, [Finding("decode", "nothing", "a video", "convert it")])


def test_whole_clips_of_every_container_are_usable(wholes: list[Path]) -> None:
    suffixes = {path.suffix for path in wholes}
    assert suffixes == {".avi", ".dcm", ".gif", ".mkv", ".mov", ".mp4", ".mpeg", ".webm", ".wmv"}
    assert {path.name: fuzz.examine(path) for path in wholes} == {path.name: [] for path in wholes}


@pytest.mark.parametrize("kind", mutations.KINDS)
def test_every_kind_of_damage_changes_the_bytes_and_follows_its_seed(kind: str, wholes: list[Path]) -> None:
    other = wholes[0].read_bytes()
    for whole in wholes[1:]:
        content = whole.read_bytes()
        once, again = (mutations.damage(kind, content, np.random.default_rng(3), other) for _ in range(2))
        assert once == again != content


def test_seeds_and_numbers_give_clips_of_their_own(wholes: list[Path], tmp_path: Path) -> None:
    kinds = len(mutations.KINDS)
    cases = [case for seed in (1, 2) for case in corpus.make_cases(wholes, seed, 2 * kinds) if case.kind != "empty"]
    contents = {case.write(tmp_path).read_bytes() for case in cases}
    assert len(contents) == len(cases) == 4 * (kinds - 1)
    assert corpus.make_cases(wholes, 1, 5) == corpus.make_cases(wholes, 1, 9)[:5]


def test_a_small_run_finds_nothing(
    wholes: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "make_wholes", lambda folder, upstream: wholes)
    assert fuzz.main(["--clips", "34", "--seed", "3", "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "34 damaged clips of 13 whole ones" in printed
    assert all(kind in printed for kind in mutations.KINDS)


def test_harm_is_named_and_its_clips_are_kept(
    wholes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = corpus.make_cases(wholes, 1, 16)
    assert fuzz.run(cases, _look_and_do_harm, 1.0, 2, tmp_path / "kept") == 1
    printed = capsys.readouterr().out
    for start, what in {
        DIES: "died (signal 11)",
        HANGS: "took more than 1 s",
        RAISES: "ZeroDivisionError: planted",
        TOO_LARGE: "used up its memory",
    }.items():
        (kept,) = (tmp_path / "kept").glob(f"{start}*")
        assert kept.read_bytes() == cases[int(start[:-1])].write(tmp_path).read_bytes()
        assert f"{what}\n  {kept}; " in printed
        assert f"python -m tests.fuzz --seed 1 --only {int(start[:-1])} " in printed
    assert len(list((tmp_path / "kept").iterdir())) == 4
    total = next(line for line in printed.splitlines() if line.startswith("all "))
    assert total.split()[1:7] == ["0", "12", "1", "1", "1", "1"]


def test_growing_memory_is_reported(wholes: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.run(corpus.make_cases(wholes, 1, 8), _look_and_hoard, 5.0, 1, None) == 1
    assert "memory keeps growing" in capsys.readouterr().out


def test_one_damaged_clip_can_be_made_alone(wholes: list[Path], tmp_path: Path) -> None:
    case = corpus.make_cases(wholes, 1, 3)[2]
    assert fuzz.run_one(case, _look_and_do_harm, 5.0, tmp_path / "kept") == 1
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.name.startswith(DIES)
    assert kept.read_bytes() == case.write(tmp_path).read_bytes()


@given(magic=st.sampled_from(MAGIC), content=st.binary(max_size=4096))
@settings(deadline=None, max_examples=50)
def test_any_bytes_are_refused_or_hold_a_frame(magic: bytes, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Unusable):
        path = Path(folder) / "any.avi"
        path.write_bytes(magic + content)
        assert decode.inspect(path, LIMITS).frames >= 1
