"""A folder whole or not at all, and every file held to what was written."""

from pathlib import Path

import pytest

from ecc_fed.core.errors import DamagedState, RunDirectoryError
from ecc_fed.core.whole_folder import DIGESTS, check_digests, remove_leftovers, replacing_folder


def written(final: Path, **contents: str) -> Path:
    with replacing_folder(final) as aside:
        for name, text in contents.items():
            (aside / "deep").mkdir(exist_ok=True)
            (aside / "deep" / name).write_text(text)
    return final


def test_what_was_written_passes_and_takes_the_place_of_the_former(tmp_path: Path) -> None:
    final = written(tmp_path / "a" / "x", one="1", two="2")
    check_digests(final)
    written(final, three="3")
    check_digests(final)
    assert sorted(path.name for path in final.rglob("*")) == ["deep", DIGESTS, "three"]
    assert [path.name for path in final.parent.iterdir()] == ["x"]


def test_a_block_that_raises_leaves_the_former(tmp_path: Path) -> None:
    final = written(tmp_path / "x", one="1")
    with pytest.raises(ZeroDivisionError), replacing_folder(final) as aside:
        (aside / "two").write_text("2")
        raise ZeroDivisionError
    check_digests(final)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda x: (x / "deep" / "one").write_text("2"), r"deep/one is not as it was written"),
        (lambda x: (x / "deep" / "one").unlink(), r"deep/one is missing"),
        (lambda x: (x / "deep" / "more").write_text(""), r"deep/more was not written with the rest"),
        (lambda x: (x / DIGESTS).write_text("{}"), r"deep/one was not written with the rest"),
    ],
)
def test_what_is_changed_missing_or_too_many_is_named(tmp_path: Path, damage, said: str) -> None:
    final = written(tmp_path / "x", one="1")
    damage(final)
    with pytest.raises(DamagedState, match=said):
        check_digests(final)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    final = written(tmp_path / "x", one="ab")
    for path in (final / "deep" / "one", final / DIGESTS):
        content = path.read_bytes()
        for place in range(0, len(content) * 8, 5):
            flipped = bytearray(content)
            flipped[place // 8] ^= 1 << place % 8
            path.write_bytes(flipped)
            try:
                check_digests(final)
            except RunDirectoryError:
                continue
            assert path.name == DIGESTS, place  # white space between its tokens
            assert content[place // 8 : place // 8 + 1].isspace()
        path.write_bytes(content)
    check_digests(final)


def test_what_a_desktop_hides_there_is_no_damage_and_leftovers_go(tmp_path: Path) -> None:
    final = written(tmp_path / "x", one="1")
    (final / ".DS_Store").write_text("x")
    (tmp_path / ".x.partial" / "deep").mkdir(parents=True)
    (tmp_path / ".run.json.12-ab.partial").write_text("{")
    (final / "deep" / ".one.12-ab.partial").write_text("{")
    check_digests(final)
    remove_leftovers(tmp_path)
    assert not list(tmp_path.rglob("*.partial")) and (final / "deep" / "one").is_file()


def test_the_former_is_moved_away_whole_and_never_emptied_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = written(tmp_path / "x", one="1")
    emptied: list[Path] = []
    monkeypatch.setattr("ecc_fed.core.whole_folder.shutil.rmtree", lambda path, **_: emptied.append(path))
    written(final, two="2")
    assert final not in emptied
    assert sorted(path.name for path in (tmp_path / ".x.former.partial").rglob("*")) == ["deep", DIGESTS, "one"]
