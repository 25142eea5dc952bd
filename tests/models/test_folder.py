import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from ecc_fed.core.errors import ModelError
from ecc_fed.models.folder import check_tokenizer, find_folder

HUB_ID = "someone/model"


def test_a_whole_folder_is_found_where_it_lies(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_folder(str(whole), "end model") == whole
    monkeypatch.setenv("HOME", str(whole.parent))
    assert find_folder(f"~/{whole.name}", "end model") == whole


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_by_name(folder: Path, removed: str, said: str) -> None:
    (folder / removed).unlink()
    with pytest.raises(ModelError, match=rf"^the end model {folder} .*{said}.*: .+"):
        find_folder(str(folder), "end model")


def test_a_shard_that_the_index_lists_and_nobody_copied_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match=r"lacks 1 of the 2 weight files .*model-00002-of-00002\.safetensors: d"):
        find_folder(str(folder), "end model")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"")
    assert find_folder(str(folder), "end model") == folder


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tokenizer.json", "generation_config.json"])
def test_a_pointer_of_git_lfs_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(POINTER)
    with pytest.raises(
        ModelError, match=rf"^the end model {folder} has a git-lfs pointer in the place of {name}: .*pull"
    ):
        find_folder(str(folder), "end model")


def test_a_file_that_only_mentions_git_lfs_is_none(folder: Path) -> None:
    (folder / "notes.txt").write_bytes(b"see " + POINTER)
    (folder / "long.txt").write_bytes(POINTER + b"x" * 1024)
    assert find_folder(str(folder), "end model") == folder


def test_an_adapter_beside_or_in_the_place_of_a_base_is_named(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"holds an adapter beside the base \(adapter_config.json\).*: move"):
        find_folder(str(folder), "end model")
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"is an adapter \(adapter_config.json\) without its base: give the base"):
        find_folder(str(folder), "end model")


def test_a_tokenizer_of_another_release_is_named(folder: Path) -> None:
    check_tokenizer(folder, "end model")
    described = json.loads((folder / "tokenizer.json").read_text())
    described["model"]["type"] = "BPE3"
    (folder / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(
        ModelError, match=rf"^the end model {folder} has a tokenizer.json .*\(.+\): .*of a newer release"
    ):
        check_tokenizer(folder, "end model")
    (folder / "tokenizer.json").unlink()
    check_tokenizer(folder, "end model")


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_config_that_is_no_object_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json (is no valid|holds no) JSON"):
        find_folder(str(folder), "end model")


@pytest.mark.parametrize(
    ("model_type", "own_code", "refused"),
    [("chatglm", False, True), ("somebodys-own", True, True), ("llama", True, False)],
)
def test_a_model_that_needs_code_of_its_own_is_refused(
    folder: Path, model_type: str, own_code: bool, refused: bool
) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"model_type": model_type}
    if own_code:
        config["auto_map"] = {"AutoModelForCausalLM": "modeling.Own"}
    (folder / "config.json").write_text(json.dumps(config))
    if not refused:
        assert find_folder(str(folder), "end model") == folder
        return
    with pytest.raises(ModelError, match=r"code, which is never run here: .*convert-chatglm3"):
        find_folder(str(folder), "end model")


@pytest.mark.parametrize("path", ["/no/such/folder", "./nowhere", "~/nowhere", "a/b/c", "", " "])
def test_a_path_without_a_folder_is_refused(path: str) -> None:
    with pytest.raises(ModelError, match=r"^the teacher model '.*' is no folder: give an existing one, or a hub id"):
        find_folder(path, "teacher model")


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(ModelError, match="is no folder"):
        find_folder(str(folder / "config.json"), "end model")


class Hub:
    """A hub with one model, and a cache of it; takes notes of what it was asked for."""

    def __init__(self, online: Path | None, cached: Path | None, at: Path) -> None:
        self.online, self.cached, self.at = online, cached, at
        self.fetches: list[list[str]] = []

    def __call__(self, path: str, local_files_only: bool = False, **options: Any) -> str:
        assert path == HUB_ID
        if local_files_only:
            if self.cached is None:
                raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
            return str(self.cached)
        if self.online is None:
            raise RuntimeError("no connection")
        names = huggingface_hub.utils.filter_repo_objects([f.name for f in self.online.iterdir()], **options)
        self.at.mkdir(exist_ok=True)
        self.fetches.append(sorted(names))
        for name in self.fetches[-1]:
            shutil.copy(self.online / name, self.at / name)
        return str(self.at)


def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, online: Path | None, cached: Path | None = None) -> Hub:
    made = Hub(online, cached, tmp_path / "fetched")
    monkeypatch.setattr("ecc_fed.models.folder._snapshot", made)
    return made


def test_what_is_cached_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, whole: Path) -> None:
    asked = hub(monkeypatch, tmp_path, online=whole, cached=whole)
    assert find_folder(HUB_ID, "end model") == whole
    assert asked.fetches == []


def test_what_is_cached_in_part_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, whole: Path, folder: Path
) -> None:
    (folder / "model.safetensors").unlink()
    asked = hub(monkeypatch, tmp_path, online=whole, cached=folder)
    assert find_folder(HUB_ID, "end model") == tmp_path / "fetched"
    assert len(asked.fetches) == 1


def test_old_weights_are_fetched_where_there_are_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    shutil.copy(folder / "model.safetensors", folder / "pytorch_model.bin")
    asked = hub(monkeypatch, tmp_path, online=folder)
    find_folder(HUB_ID, "end model")
    assert ["pytorch_model.bin" in fetch for fetch in asked.fetches] == [False]
    shutil.rmtree(tmp_path / "fetched")
    (folder / "model.safetensors").unlink()
    find_folder(HUB_ID, "end model")
    assert (tmp_path / "fetched" / "pytorch_model.bin").is_file()


def test_a_hub_id_offline_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub(monkeypatch, tmp_path, online=None)
    with pytest.raises(ModelError, match=r"the end model 'someone/model' .*not be fetched \(RuntimeError\): connect"):
        find_folder(HUB_ID, "end model")
