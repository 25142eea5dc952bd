"""Files are whole or absent, errors name file, line and remedy."""

import errno
import json
import os
from pathlib import Path

import pytest

from ecc_fed.core.errors import RunDirectoryError, WriteError
from ecc_fed.core.run_directory import (
    RunDirectory,
    append_jsonl,
    cut_torn_tail,
    encode_json,
    read_json,
    read_jsonl,
    read_text,
    replacing,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)


def test_paths_and_shop_folders(tmp_path):
    run = RunDirectory(tmp_path)
    names = ("run", "samples", "metrics", "egress", "summary", "report", "config")
    assert [getattr(run, name).relative_to(tmp_path).as_posix() for name in names] == [
        "run.json",
        "samples.jsonl",
        "metrics.jsonl",
        "egress.jsonl",
        "summary.json",
        "report.html",
        ".hydra/config.yaml",
    ]
    assert run.shop("shop_03").name == "shop_03"
    assert run.shop("坚果铺").name == "坚果铺"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shop_id", ["../x", "a/b", "..", ".", "", ".hidden", "a\x00b", "%", "a b", "\ud83d"])
def test_no_shop_id_leaves_the_shops_folder(tmp_path, shop_id):
    run = RunDirectory(tmp_path)
    folder = run.shop(shop_id)
    assert folder.parent == run.shops
    assert folder.name not in ("", ".", "..")
    folder.mkdir(parents=True)


def test_shop_ids_never_share_a_folder(tmp_path):
    ids = ["a/b", "a%2Fb", "..", ".", "", "%", "%2E", "%2E.", "%25", "a b", "a_b"]
    assert len({RunDirectory(tmp_path).shop(shop_id) for shop_id in ids}) == len(ids)


def test_every_path_and_folder_of_a_run_is_the_same_for_good(tmp_path):
    # Frozen: reports and resumed runs look for these names.
    run = RunDirectory(tmp_path)
    assert run.shops == tmp_path / "shops"
    assert run.aggregate == tmp_path / "server" / "adapter"
    assert run.server == tmp_path / "server"
    assert run.claim == tmp_path / "claim.json"
    assert run.updates == tmp_path / "updates.jsonl"
    assert run.probes == tmp_path / "probes.jsonl"
    folders = {"": "%", ".": "%2E", "..": "%2E.", ".x": "%2Ex", "a/b": "a%2Fb", "a b": "a%20b", "a-b.c_d": "a-b.c_d"}
    folders |= {"a%": "a%25", "XX": "XX", "店 1": "店%201", "\ud83d": "%ED%A0%BD"}
    assert {shop_id: run.shop(shop_id).relative_to(run.shops).as_posix() for shop_id in folders} == folders


def test_json_round_trip(tmp_path):
    path = tmp_path / "new" / "folder" / "x.json"
    write_json(path, {"b": [1, 2.5, None], "a": "亲"})
    assert read_json(path) == {"a": "亲", "b": [1, 2.5, None]}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]


def test_json_is_written_sorted_and_indented_and_lines_are_compact(tmp_path):
    value = {"b": 1.5, "a": ["亲", None, True, {"d": 1, "c": 2}]}
    write_json(tmp_path / "x.json", value)
    text = (
        '{\n  "a": [\n    "亲",\n    null,\n    true,\n    {\n      "c": 2,\n      "d": 1\n    }\n  ],\n  "b": 1.5\n}\n'
    )
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == text
    write_jsonl(tmp_path / "x.jsonl", [value, {}])
    assert (tmp_path / "x.jsonl").read_text(encoding="utf-8") == (
        '{"a": ["亲", null, true, {"c": 2, "d": 1}], "b": 1.5}\n{}\n'
    )
    append_jsonl(tmp_path / "x.jsonl", [{"亲": 1}])
    assert (tmp_path / "x.jsonl").read_text(encoding="utf-8").endswith('{}\n{"亲": 1}\n')
    surrogate = {"b": "\ud83d", "a": "亲"}
    assert encode_json(surrogate, tmp_path) == b'{"a": "\\u4eb2", "b": "\\ud83d"}'
    assert encode_json(surrogate, tmp_path, indent=1) == b'{\n "a": "\\u4eb2",\n "b": "\\ud83d"\n}'


def test_text_that_is_not_utf8_becomes_replacement_marks(tmp_path):
    (tmp_path / "x.txt").write_bytes("亲".encode() + b"\xff!")
    assert read_text(tmp_path / "x.txt") == "亲\ufffd!"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (float("nan"), "the value is nan"),
        ({"Xa": float("inf")}, "Xa is inf"),
        ([1.0, float("nan")], "1 is nan"),
        (({"deep": [0, {"x": -float("inf")}]},), "0.deep.1.x is -inf"),
    ],
)
def test_every_writer_names_the_file_and_the_number_that_is_not_finite(tmp_path, value, where):
    remedy = "which JSON cannot hold. Training that diverges gives such numbers: lower finetune.learning_rate"
    path = tmp_path / "x.json"
    row = value if isinstance(value, dict) else {"row": value}
    inside = (
        where if isinstance(value, dict) else where.replace("the value", "row") if where[0] == "t" else f"row.{where}"
    )
    for write, said in (
        (lambda: write_json(path, value), where),
        (lambda: write_jsonl(path, [row]), inside),
        (lambda: append_jsonl(path, [row]), inside),
    ):
        with pytest.raises(RunDirectoryError) as caught:
            write()
        assert str(caught.value) == f"cannot write {path}: {said}, {remedy}"
    assert list(tmp_path.iterdir()) == []


def test_lone_surrogates_survive_in_json_and_not_in_text(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", [{"text": "\ud83d亲"}])
    assert read_jsonl(tmp_path / "x.jsonl") == [{"text": "\ud83d亲"}]
    write_text(tmp_path / "x.html", "\ud83d亲")
    assert read_text(tmp_path / "x.html") == "?亲"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_json_cannot_hold_are_refused_by_name(tmp_path, value):
    path = tmp_path / "metrics.jsonl"
    write_jsonl(path, [{"ok": 1}])
    with pytest.raises(RunDirectoryError, match=r"metrics.jsonl: rows.1.train_loss is .*finetune.learning_rate"):
        write_jsonl(path, [{"ok": 2}, {"rows": [{}, {"train_loss": value}]}])
    assert read_jsonl(path) == [{"ok": 1}]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_json(path, {"kept": True})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunDirectoryError, match=r"cannot write .*summary.json: the disk is full.*hydra.run.dir"):
        write_json(path, {"kept": False})
    assert json.loads(path.read_text()) == {"kept": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_an_error_of_the_writer_passes_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "adapter.safetensors"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError, match="mine"), replacing(path) as aside:
        aside.write_bytes(b"half")
        raise RuntimeError("mine")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunDirectoryError, match=r"cannot write .*x.json: .*(file stands|folder)"):
        write_json(tmp_path / "run" / "x.json", {})
    (tmp_path / "x.json").mkdir()
    with pytest.raises(RunDirectoryError, match="folder stands where a file is needed"):
        write_json(tmp_path / "x.json", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunDirectoryError, match="permission denied"):
        write_json(tmp_path / "x.json", {})


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ENAMETOOLONG, errno.EIO])
def test_every_refusal_names_the_path(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(RunDirectoryError, match=r"cannot write .*x.json: \w+"):
        write_json(tmp_path / "x.json", {})


HERE = "put runs elsewhere with hydra.run.dir=PATH"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "x"), f"the disk is full: free some space, or {HERE}"),
        (OSError(errno.EDQUOT, "x"), f"your disk quota is used up: free some space, or {HERE}"),
        (OSError(errno.EACCES, "x"), f"permission denied: make the folder writable, or {HERE}"),
        (OSError(errno.EPERM, "x"), f"permission denied: make the folder writable, or {HERE}"),
        (OSError(errno.EROFS, "x"), f"the file system is read-only: {HERE}"),
        (OSError(errno.ENOTDIR, "x"), f"a file stands where a folder is needed: move it, or {HERE}"),
        (OSError(errno.EEXIST, "x"), f"a file stands where a folder is needed: move it, or {HERE}"),
        (OSError(errno.EISDIR, "x"), f"a folder stands where a file is needed: move it, or {HERE}"),
        (
            OSError(errno.ENAMETOOLONG, "x"),
            "the name is too long for this file system: shorten hydra.run.dir or the shop's id",
        ),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError("the cable is out"), "the cable is out"),
    ],
)
def test_a_refusal_gives_the_reason_and_the_remedy(tmp_path, monkeypatch, error, reason):
    path = tmp_path / "egress.jsonl"
    append_jsonl(path, [{"a": 1}])

    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "fsync", refuse)
    for write in (lambda: write_bytes(path, b"x"), lambda: append_jsonl(path, [{"a": 2}])):
        with pytest.raises(WriteError) as caught:
            write()
        assert str(caught.value) == f"cannot write {path}: {reason}"
        assert caught.value.__cause__ is error
    monkeypatch.undo()
    assert read_jsonl(path) == [{"a": 1}]


def test_an_append_that_cannot_be_cut_back_still_says_why_it_failed(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(WriteError, match="the disk is full"):
        append_jsonl(tmp_path / "x.jsonl", [{"a": 2}])


def test_a_folder_that_cannot_be_synced_keeps_nothing_from_being_written(tmp_path, monkeypatch):
    sync = os.fsync

    def refuse(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112 - a folder, as some file systems refuse
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    write_bytes(tmp_path / "x", b"whole")
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_an_error_without_words_is_told_by_itself(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError("the cable is out")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(RunDirectoryError, match=r"^cannot read .*x.json: the cable is out$"):
        read_json(tmp_path / "x.json")


def test_jsonl_keeps_unusual_line_separators(tmp_path):
    rows = [{"text": "a\u2028b\x85c\r\nd"}, {"text": ""}]
    write_jsonl(tmp_path / "x.jsonl", rows)
    assert read_jsonl(tmp_path / "x.jsonl") == rows


def test_a_broken_row_is_named_by_file_and_line(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": \n{"a": 3}\n')
    with pytest.raises(RunDirectoryError, match=r"samples.jsonl, line 3: not JSON"):
        read_jsonl(path)
    path.write_bytes(b'{"a": 1}\n[1]\n')
    with pytest.raises(RunDirectoryError, match=r"line 2: a JSON object is needed, this is list"):
        read_jsonl(path)
    path.write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(RunDirectoryError, match="line 1: not JSON"):
        read_jsonl(path)


def test_a_torn_tail_is_an_error_unless_asked_for(tmp_path):
    path = tmp_path / "egress.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2')
    with pytest.raises(RunDirectoryError, match=r"line 2: cut off"):
        read_jsonl(path)
    assert read_jsonl(path, torn_tail=True) == [{"a": 1}]
    path.write_bytes(b'{"a"\n{"a": 2}\n')
    with pytest.raises(RunDirectoryError, match="line 1"):
        read_jsonl(path, torn_tail=True)


def test_a_torn_tail_is_cut_off_and_nothing_else(tmp_path):
    path = tmp_path / "egress.jsonl"
    cut_torn_tail(path)
    assert not path.exists()
    for content in (b"", b'{"a": 1}\n', b'{"b": 1,"a": 2}\n\n', b"not JSON\n"):
        path.write_bytes(content)
        cut_torn_tail(path)
        assert path.read_bytes() == content
    path.write_bytes(b'{"a": 1}\n{"a": 2')
    cut_torn_tail(path)
    append_jsonl(path, [{"a": 3}])
    assert read_jsonl(path) == [{"a": 1}, {"a": 3}]


def test_append(tmp_path):
    path = tmp_path / "runs" / "today" / "egress.jsonl"
    append_jsonl(path, [{"a": 1}])
    append_jsonl(path, [])
    append_jsonl(path, [{"a": 2}, {"a": 3}])
    assert read_jsonl(path) == [{"a": 1}, {"a": 2}, {"a": 3}]
    with path.open("ab") as file:
        file.write(b'{"torn')
    with pytest.raises(RunDirectoryError) as caught:
        append_jsonl(path, [{"a": 4}])
    assert str(caught.value) == (
        f"{path}: the last line is torn, as a killed run leaves it; read it with torn_tail=True and write it again "
        "before appending"
    )


def test_a_failed_append_cuts_the_file_back(tmp_path, monkeypatch):
    path = tmp_path / "egress.jsonl"
    append_jsonl(path, [{"a": 1}])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunDirectoryError, match="the disk is full"):
        append_jsonl(path, [{"a": 2}])
    assert read_jsonl(path) == [{"a": 1}]


def test_missing_and_misplaced_files(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"run.json is missing"):
        read_json(tmp_path / "run.json")
    with pytest.raises(RunDirectoryError, match=r"^cannot read .*: Is a directory$"):
        read_jsonl(tmp_path)
    (tmp_path / "run.json").write_text('{\n"a": }')
    with pytest.raises(RunDirectoryError, match=r"run.json, line 2: not JSON"):
        read_json(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(RunDirectoryError, match=r"a JSON object is needed, this is list; run it again$"):
        read_json(tmp_path / "run.json")
    (tmp_path / "run.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(RunDirectoryError, match=r"run.json: not UTF-8 text; run it again$"):
        read_json(tmp_path / "run.json")
