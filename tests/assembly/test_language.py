"""The dialogues' language decides who judges them unless told, how prompts are worded, and whether scores count."""

import json
from pathlib import Path
from typing import Any

import pytest

from ecc_fed.assembly.build import build_corpus
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.evaluation_budget import check_evaluation_budget, kept_for_final
from ecc_fed.assembly.language import spoken_in, why_unspoken, why_withheld, with_language
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Pair, Shop
from ecc_fed.runs.study import plan_study

EN = [("Which courier do you use?", "We ship with DHL, dear."), ("Is it in stock?", "Yes, it is.")]
ZH = [("发什么快递", "默认中通的亲"), ("有货吗", "有的，现在拍就发")]


def _config(*overrides: str) -> RunConfig:
    return to_run_config(compose_run(list(overrides)))


def _judge(config: RunConfig) -> str:
    return str(config.judge.similarity.get("path", config.judge.similarity["_target_"].rsplit(".", 1)[1]))


@pytest.mark.parametrize("corpus", ["ecd", "jddc", "jsonl"])
def test_a_corpus_in_a_file_is_judged_by_its_letters_unless_told(corpus: str) -> None:
    chosen = [f"corpus={corpus}", "corpus.path=x"]
    assert _judge(_config(*chosen)) == "CharacterNgrams"
    assert _config(*chosen).evolution.gate_relevance == 0.02
    assert _judge(_config(*chosen, "judge=embedded")) == _judge(_config("judge=embedded", *chosen)) == "embedded"
    assert _config(*chosen, "evolution.gate_relevance=0.3").evolution.gate_relevance == 0.3
    assert _judge(_config(*chosen, "experiment=evolution")) == "CharacterNgrams"
    assert _judge(_config()) == _judge(_config("experiment=evolution")) == "embedded"


def test_a_studys_runs_and_variants_follow_the_corpus_too() -> None:
    runs = plan_study("quickstart", ["corpus=jddc", "corpus.path=x"])
    assert {_judge(run.config) for run in runs} == {"CharacterNgrams"}
    variants = ["++study.variants.a=['corpus=jddc', 'corpus.path=x']", "++study.variants.b=['judge=bge']"]
    runs = plan_study("quickstart", variants)
    assert {(run.name[0], _judge(run.config)) for run in runs} == {
        ("a", "CharacterNgrams"),
        ("b", "BAAI/bge-base-zh-v1.5"),
    }


def _jsonl(path: Path, dialogues: list[list[tuple[str, str]]]) -> Path:
    turns = [
        [
            {"role": role, "text": f"{text} {n}"}
            for pair in dialogue
            for role, text in zip(("customer", "agent"), pair, strict=True)
        ]
        for n, dialogue in enumerate(dialogues)
    ]
    path.write_text("".join(json.dumps({"turns": each}) + "\n" for each in turns), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("dialogues", "spoken", "prompts", "withheld"),
    [
        ([EN] * 12, "en", "en", "The judge reads zh, and the dialogues are en: every score is withheld"),
        ([ZH] * 12, "zh", "zh", None),
    ],
)
def test_a_file_tells_its_language(
    dialogues: list[Any], spoken: str, prompts: str, withheld: str | None, tmp_path: Path
) -> None:
    path = _jsonl(tmp_path / "d.jsonl", dialogues)
    given = ["corpus=jsonl", f"corpus.path={path}", "+corpus.near_duplicate_similarity=null", "corpus.num_shops=1"]
    config = _config(*given, "judge=embedded")
    found = with_language(config, spoken_in(build_corpus(config)))
    assert (found.corpus["language"], found.gateway.language) == (spoken, prompts)
    why = why_withheld(found)
    assert why is None if withheld is None else why is not None and withheld in why and "judge=lexical" in why
    for reader in ("lexical", "e5"):
        assert why_withheld(with_language(_config(*given, f"judge={reader}"), spoken)) is None


def test_several_languages_are_refused_until_one_is_declared(tmp_path: Path) -> None:
    given = ["corpus=jsonl", f"corpus.path={_jsonl(tmp_path / 'd.jsonl', [ZH, EN] * 6)}", "corpus.num_shops=1"]
    given.append("+corpus.near_duplicate_similarity=null")
    spoken = spoken_in(build_corpus(_config(*given)))
    with pytest.raises(ConfigError, match=r"several languages.*corpus\.language=CODE"):
        with_language(_config(*given), spoken)
    assert with_language(_config(*given, "corpus.language=en"), spoken).corpus["language"] == "en"


def test_what_is_declared_goes_before_what_is_told() -> None:
    given = ["corpus=jsonl", "corpus.path=x", "judge=minilm"]
    assert why_withheld(with_language(_config(*given, "corpus.language=en"), "zh")) is None
    assert with_language(_config(*given, "gateway.language=zh"), "en").gateway.language == "zh"
    assert with_language(_config(*given), "ru").gateway.language == "en"


def test_nothing_is_withheld_where_nobody_knows_the_language() -> None:
    config = with_language(_config("corpus=jsonl", "corpus.path=x", "judge=embedded"), None)
    assert (why_withheld(config), config.gateway.language) == (None, "zh")
    assert why_withheld(with_language(_config(), None)) is None, "the simulator's shops speak what its pack says"


def test_a_blind_judge_needs_no_budget_for_evaluations() -> None:
    shop = Shop("a", (), (), (Pair("a/1", "s", "a", (), "hello", "hi"),))
    given = ["corpus=jsonl", "corpus.path=x", "gateway.max_requests=0", "arm=local"]
    blind = with_language(_config(*given, "judge=embedded"), "en")
    check_evaluation_budget(blind, [shop])
    assert kept_for_final(blind, [shop]) == 0
    assert kept_for_final(with_language(_config(*given), "en"), [shop]) == 1


@pytest.mark.parametrize(
    ("overrides", "mute"),
    [
        (["corpus.language=en"], True),
        (["corpus.language=en", "arm=base_with_examples"], True),
        (["corpus.language=en", "arm=retrieval"], False),
        (["corpus.language=en", "arm=cloud"], False),
        (["corpus.language=en", "end_model=smollm2_135m"], False),
        (["corpus.language=en", "end_model.path=folder"], False),
        (["corpus.language=zh"], False),
        ([], False),
    ],
)
def test_a_model_that_does_not_speak_the_dialogues_is_told_of(overrides: list[str], mute: bool) -> None:
    why = why_unspoken(with_language(_config(*overrides), None))
    assert (why is not None) == mute
    if why is not None:
        assert "\n" not in why and "end_model=smollm2_135m or end_model.path=FOLDER" in why


def test_the_simulators_english_shops_need_a_judge_that_reads_english() -> None:
    why = why_withheld(with_language(_config("corpus.language=en"), None))
    assert why is not None and "judge=lexical or judge=e5" in why and "judge=minilm for English" in why
    assert with_language(_config("corpus.language=en"), None).gateway.language == "en"
    for judge in ("lexical", "e5", "minilm"):
        assert why_withheld(with_language(_config("corpus.language=en", f"judge={judge}"), None)) is None


def test_only_english_has_the_preset() -> None:
    why = why_unspoken(with_language(_config("corpus=jsonl", "corpus.path=x"), "ru"))
    assert why is not None and "smollm2" not in why and "end_model.path=FOLDER" in why
