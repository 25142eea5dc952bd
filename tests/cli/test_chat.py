"""From distillation to a chat, on the embedded models: one small run, and what a human does with it."""

import io
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecc_fed.assembly.build import build_corpus
from ecc_fed.assembly.compose import compose_run, to_run_config, to_yaml
from ecc_fed.cli import chat
from ecc_fed.cli.main import main
from ecc_fed.core.aggregation import AggregatorState
from ecc_fed.core.errors import ConfigError, CorpusError
from ecc_fed.core.records import Shop
from ecc_fed.core.run_directory import RunDirectory, read_json, read_jsonl, write_json, write_text
from ecc_fed.end_model.adapters.files import load_adapter
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.federation.checkpoint import save_checkpoint
from ecc_fed.federation.results import Checkpoint, ServerState
from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.finished_run import FinishedRun, end_state, open_review, open_run
from ecc_fed.runs.simulation import simulate

CORPUS = ["corpus.num_shops=2", "corpus.pairs_per_shop=24", "corpus.test_pairs_per_shop=4"]
SETTINGS = [
    *CORPUS,
    "arm=aggregated",
    "evolution.server_rounds=1",
    "evolution.warm_start.steps=2",
    "finetune.steps=2",
    "finetune.batch_size=4",
    "decoding.max_new_tokens=10",
    "chat.steps=3",
]
SHOP = "shop_0000"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chat")
    assert main(["distill", "--out", str(root / "set"), "--split", "history,stream", "--yes", *CORPUS]) == 0
    composed = compose_run([*SETTINGS, f"evolution.warm_start.path={root / 'set'}"])
    directory = RunDirectory(root / "run")
    write_text(directory.config, to_yaml(composed))
    simulate(to_run_config(composed), directory, InProcessHosts(), lambda stage, done, total: None)
    return directory.root


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def type_in(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    return " ".join((shown.out + shown.err).split())


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "chat" not in path.parts}


def test_every_shop_started_warm_from_the_distilled_set(finished: Path) -> None:
    rows = [row for row in read_jsonl(finished / "metrics.jsonl") if row["split"] == "warm_start"]
    assert [(row["shop_id"], row["server_round"], row["steps"]) for row in rows] == [
        ("shop_0000", 0, 2),
        ("shop_0001", 0, 2),
    ]
    assert read_json(finished / "run.json")["runtime"]["client_steps"] == 8


def test_a_shop_of_an_aggregated_run_answers_with_the_aggregate(finished: Path) -> None:
    opened = open_run(finished)
    shop = build_corpus(opened.config).shop(SHOP)
    state, answering = end_state(opened, shop, {})
    aggregate = load_adapter(finished / "server" / "adapter")[0]
    assert answering is not None
    assert all(np.array_equal(answering[name], aggregate[name]) for name in aggregate)
    assert any(not np.array_equal(state.adapter[name], aggregate[name]) for name in aggregate)
    opened = replace(opened, info=replace(opened.info, shops_on_their_own=(SHOP,)))
    assert end_state(opened, shop, {})[1] is not aggregate
    assert end_state(opened, Shop("unknown", (), (), ()), {})[1] is None


def test_a_shop_answers_with_what_it_is_sent_and_with_its_own_rest(finished: Path, tmp_path: Path) -> None:
    opened = open_run(finished)
    shutil.copytree(opened.directory.shop(SHOP), RunDirectory(tmp_path).shop(SHOP))
    aggregate = load_adapter(finished / "server" / "adapter")[0]
    sent = {name: tensor for name, tensor in aggregate.items() if ".lora_A." in name}
    save_checkpoint(
        RunDirectory(tmp_path).server, Checkpoint(ServerState(1, AggregatorState(sent))), opened.info.run_id
    )
    config = replace(opened.config, strategy={"_target_": "tests.federation.toys.OnlyA"})
    shop = build_corpus(opened.config).shop(SHOP)
    state, answering = end_state(FinishedRun(RunDirectory(tmp_path), opened.info, config), shop, {})
    assert answering is not None
    assert answering.keys() == aggregate.keys()
    assert all(np.array_equal(tensor, sent.get(name, state.adapter[name])) for name, tensor in answering.items())


def test_a_chat_through_a_pipe(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(run)
    type_in(
        monkeypatch,
        "/bad", "发什么快递", "/bad extra", "/better", "/bad", "/good", "/good", "多久发货", "/better 亲，当天就发哦",
        "/new", "/foo", "", "/help", "/quit", "never read",
    )  # fmt: skip
    assert main(["chat", str(run), "--shop", SHOP]) == 0
    shown = said(capsys)
    for words in (
        "There is no reply to mark",
        "customer> 发什么快递",
        "final score",
        "similarity",
        "/bad takes no text",
        "Give the better answer",
        "Learned the cloud's (simulated-retrieval-1)",
        "Asked again: shop_0000>",
        "Learned your answer: 亲，当天就发哦",
        "There is no command /foo",
        "A new dialogue.",
        "/better TEXT",
        "3 marks in",
    ):
        assert words in shown, words
    assert "never read" not in shown
    assert files(run) == before, "the run's own files stay as they are"
    folder = run / "shops" / SHOP / "chat"
    marks = read_jsonl(folder / "marks.jsonl")
    assert [mark["mark"] for mark in marks] == ["bad", "good", "better"]
    assert marks[0]["pair_id"] == marks[1]["pair_id"] and marks[2]["context"] != []
    assert marks[0]["adapter_sha256"] != marks[1]["adapter_sha256"]
    assert len(load_state(folder, 2).pseudo_labels) >= 2
    assert load_adapter(folder / "round_0002" / "adapter")[0].keys() == load_state(folder, 1).adapter.keys()
    assert {row["destination"] for row in read_jsonl(folder / "egress.jsonl")} == {"cloud_teacher"}

    assert main(["chat", str(run), "--shop", SHOP, "--replay"]) == 0
    shown = said(capsys)
    assert "after 2 lessons: every marked query again" in shown
    assert "Cohen's kappa" in shown and "ROC AUC" in shown
    assert "3 replies marked" in shown or "2 replies marked" in shown
    assert len(read_json(folder / "replay.json")["queries"]) == 2

    type_in(monkeypatch)
    assert main(["chat", str(run), "--shop", SHOP]) == 0
    assert "It goes on from" in said(capsys)


def test_a_lesson_moves_the_reply_towards_its_label(run: Path) -> None:
    review = open_review(open_run(run, ["chat.steps=15", "chat.learning_rate=4e-3", "chat.label_share=0.5"]), SHOP)
    pieces: list[str] = []
    answer = review.ask((), "发什么快递", pieces.append)
    assert "".join(pieces) == answer.reply and len(pieces) > 1
    wanted = "亲，发的是大象快递"
    review.mark(answer, "better", wanted)
    assert review.ask((), "发什么快递", pieces.append).reply == wanted


def test_ctrl_d_and_ctrl_c_end_it_cleanly(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for ending in (EOFError, KeyboardInterrupt):

        def ends(prompt: str, ending: type[BaseException] = ending) -> str:
            raise ending

        monkeypatch.setattr("builtins.input", ends)
        assert main(["chat", str(run), "--shop", SHOP]) == 0
        assert "No mark was given" in said(capsys)
    monkeypatch.setattr("builtins.input", lambda prompt: "发什么快递")
    monkeypatch.setattr(chat.Chat, "_say", interrupt)
    assert main(["chat", str(run), "--shop", SHOP]) == 0


def test_bytes_that_are_no_text_and_control_characters_do_no_harm(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, "\udcff\udcfe 快递 [bold] \x1b[31m")
    assert main(["chat", str(run), "--shop", SHOP]) == 0
    assert "final score" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN"], "Name a shop with --shop. The shops of RUN: shop_0000, shop_0001."),
        (["RUN", "--shop", "shop_9"], "There is no shop shop_9. The shops of RUN: shop_0000, shop_0001."),
        (["RUN", "--shop"], "--shop needs a value"),
        (["RUN", "--shop", SHOP, "--replay"], "has no marks yet"),
        (["RUN", "--shop", SHOP, "--now"], "There is no flag --now"),
        (["RUN", "--shop", SHOP, "chat.step=3"], "chat.step"),
        (["RUN", "--shop", SHOP, "chat.steps=0"], "chat.steps=0 is out of range"),
        (["nowhere", "--shop", SHOP], "nowhere holds no finished run (no run.json)"),
        (["PARENT", "--shop", SHOP], "Finished runs below it"),
        (["--shop", SHOP], "Give the folder of one finished run"),
    ],
)
def test_mistakes_are_one_message(
    arguments: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"RUN": str(run), "PARENT": str(run.parent)}
    assert main(["chat", *(names.get(argument, argument) for argument in arguments)]) == 2
    assert message.replace("RUN", str(run)) in said(capsys)
    assert not (run / "shops" / SHOP / "chat").exists()


def test_a_run_of_an_older_version_is_refused_by_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(run / "run.json", read_json(run / "run.json") | {"schema": 1})
    assert main(["chat", str(run), "--shop", SHOP]) == 1
    assert f"{run} was written by an older version (schema 1, this one writes 4); run it again" in said(capsys)
    assert main(["report", str(run)]) == 0


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "overrides", "message"),
    [
        (
            lambda r, o: flip(r / "adapter" / "adapter_model.safetensors"),
            [],
            "adapter_model.safetensors is not as it was",
        ),
        (lambda r, o: flip(r / "state.json"), [], "state.json"),
        (
            lambda r, o: (shutil.rmtree(r / "adapter"), shutil.copytree(o / "adapter", r / "adapter")),
            [],
            "not as it was",
        ),
        (lambda r, o: [shutil.rmtree(r), shutil.copytree(o, r)], [], "it is of shop shop_0001, not of shop_0000"),
        (lambda r, o: None, ["corpus.pairs_per_shop=25"], "had other dialogues when it was written"),
    ],
)
def test_a_damaged_or_foreign_state_and_a_changed_corpus_are_one_message(
    damage: Any, overrides: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = (run / "shops" / shop_id / "round_0001" for shop_id in (SHOP, "shop_0001"))
    damage(own, other)
    assert main(["chat", str(run), "--shop", SHOP, *overrides]) == 2
    assert message in said(capsys)


def test_a_damaged_run_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / ".hydra" / "config.yaml").write_text("seed: [")
    assert main(["chat", str(run), "--shop", SHOP]) == 2
    assert "config.yaml" in said(capsys)
    (run / ".hydra" / "config.yaml").unlink()
    assert main(["chat", str(run), "--shop", SHOP]) == 2
    assert "cannot be read as the config of a run" in said(capsys)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evolution.warm_start.steps=-1"], r"evolution.warm_start.steps=-1 is out of range"),
        (["evolution.warm_start.generated_share=2"], r"evolution.warm_start.generated_share=2.0 is out of range"),
        (["evolution.warmstart.steps=1"], r"Did you mean evolution.warm_start"),
    ],
)
def test_a_warm_start_out_of_range_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_run_config(compose_run(overrides))


def test_a_warm_start_of_another_seed_or_without_a_file_is_refused_before_any_model_is_loaded(
    finished: Path, tmp_path: Path
) -> None:
    def start(*overrides: str) -> None:
        config = to_run_config(compose_run([*SETTINGS, *overrides]))
        simulate(config, RunDirectory(tmp_path / "out"), None, lambda *given: None)  # type: ignore[arg-type]

    given = f"evolution.warm_start.path={finished.parent / 'set'}"
    with pytest.raises(CorpusError, match="another corpus, seed or partition"):
        start(given, "seed=7")
    with pytest.raises(CorpusError, match="no such file"):
        start("evolution.warm_start.path=nowhere.jsonl")
    assert not (tmp_path / "out").exists()
