"""The paper's tables from invented runs whose answers are known, and the paper's own figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.errors import RunDirectoryError, UserError
from ecc_fed.core.rows import (
    SCHEMA,
    FactRow,
    MetricRow,
    Privacy,
    RunInfo,
    Runtime,
    SampleRow,
    write_record,
    write_rows,
)
from experiments.paper import tables
from experiments.paper.claims import claims, fact_value, shown
from experiments.paper.published import BEST, COLUMNS, COPY, ORIGINAL, QUERIES, paper_means, paper_steps, scaled_steps
from experiments.paper.runs import Grid, columns_of, load_runs
from experiments.paper.table6 import Table6, losses_of, markdown
from experiments.paper.theta import Theta, rescored

# method, steps -> mean score after fine-tuning, share of right facts, training loss
SKILL = {
    ("prefix_tuning", 3000): (0.32, 0.2, 3.0),
    ("p_tuning_v2", 3000): (0.34, 0.25, 2.8),
    ("lora", 3000): (0.5, 0.5, 1.5),
    ("lora", 5000): (0.55, 0.6, 1.3),
    ("lora", 15000): (0.6, 0.7, 1.0),
}


def sample(rng, world, shop, pair, phase, score, right, extra):
    relevance, cloud = float(rng.uniform(0, 1)), float(rng.uniform(0, 1))
    facts = FactRow("courier", "courier", "shop", ("圆通",), True, bool(right), (), (), 1, None)
    value = float(np.clip(score, 0, 1))
    return SampleRow(
        shop_id=shop, pair_id=pair, session_id=pair, phase=phase, extra=extra, server_round=1, context=(),
        query=f"问 {pair} | {shop}, {world}",
        reference="" if extra else "发圆通", reply="圆通" if right else "不知道", cloud_reply="发圆通", intent=None,
        form_id=None, similarity=value, relevance=relevance, cloud_relevance=cloud, final_score=value,
        relevance_trusted=True, accepted=value >= 0.45, facts=() if extra else (facts,), chrf=None, verbatim=False,
        nll_nats=None, label_tokens=None, characters=None, signals=None, confidence=None,
    )  # fmt: skip


def write_run(root: Path, key, seed, skill):
    method, steps = key
    score, share, loss = skill
    folder = root / f"{method}_{steps}" / f"local_seed{seed}"
    (folder / ".hydra").mkdir(parents=True)
    rows, metrics = [], []
    base, tuned = np.random.default_rng([seed, 0]), np.random.default_rng([seed, steps])
    for shop in ("a", "b"):
        for phase, rng, mean, rate in (("base", base, 0.3, 0.05), ("final", tuned, score, share)):
            for pair in range(20):
                right = rng.random() < rate
                value = mean + 0.15 * (right - rate) + rng.normal(0, 0.02)
                rows.append(sample(rng, seed, shop, f"p{pair:02d}", phase, value, right, False))
            rows += [sample(rng, seed, shop, f"extra/{n}", phase, 0.1 * n, False, True) for n in range(1, 7)]
        metrics.append(MetricRow(
            server_round=1, cycle=0, shop_id=shop, split="stream", served=0, escalated=0, unhappy=0, mean_score=None,
            pseudo_labels=9, natural_pairs=0, train_loss=loss + 0.01 * seed, steps=50, teacher_requests=0,
            teacher_cached=0, teacher_failed=0, teacher_errors=(), input_tokens=0, output_tokens=0, cost_usd=0.0,
            serve_seconds=0.0, train_seconds=3.0,
        ))  # fmt: skip
    write_rows(folder / "samples.jsonl", rows)
    write_rows(folder / "metrics.jsonl", metrics)
    write_record(folder / "run.json", RunInfo(
        SCHEMA, "ab12", "local", seed, ("a", "b"), 1, 1, 0, (), "SimulatorCorpus", 0.0, "zh", "RetrievalTeacher", {},
        Runtime(1.0, 1, 1.0, 1, 2, "", {}, 1, 10**9, 0), Privacy("none", None, None, False, {}), (), (), {},
    ))  # fmt: skip
    (folder / ".hydra" / "config.yaml").write_text(
        f"adapter: {{method: {method}}}\nfinetune: {{steps: {round(steps / 60)}, learning_rate: 0.004}}\n"
        "judge: {score_alpha: 0.8, relevance_floor: 0.2}\nruntime: {engine: peft}\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def study(tmp_path):
    for key, skill in SKILL.items():
        for seed in (0, 1, 2):
            write_run(tmp_path, key, seed, skill)
    return tmp_path


def verdicts(directory):
    columns = columns_of(load_runs(directory))
    scores, facts = Grid(columns, lambda row: row.final_score), Grid(columns, fact_value)
    losses = {column.key: losses_of(column) for column in columns if column.phase == "final"}
    return [claim.verdict for claim in claims(columns, scores, facts, losses)]


def test_the_papers_means_are_those_its_ratio_rests_on():
    means = paper_means()
    assert means[ORIGINAL] == pytest.approx(0.306, abs=5e-4)
    assert means[BEST] == pytest.approx(0.581, abs=5e-4)
    assert all(len(query.scores) == len(COLUMNS) for query in QUERIES)


def test_columns_are_the_papers_and_the_bare_base_comes_first(study):
    columns = columns_of(load_runs(study))
    assert tuple(column.key for column in columns) == COLUMNS
    assert columns[0].phase == "base"
    assert len(columns[0].rows) == 3 * 2 * 20
    assert len(columns[0].extra) == 3 * 2 * 6


def test_means_differences_and_ratios_are_those_of_the_values(study):
    columns = columns_of(load_runs(study))
    grid = Grid(columns, lambda row: row.final_score)
    left, right = (np.array([row.final_score for row in columns[i].rows.values()]) for i in (-1, 0))
    assert grid.mean(BEST).mean == pytest.approx(left.mean())
    assert grid.difference(BEST, ORIGINAL).mean == pytest.approx(left.mean() - right.mean())
    ratio = grid.ratio(BEST, ORIGINAL)
    assert ratio.mean == pytest.approx(left.mean() / right.mean())
    assert ratio.low < ratio.mean < ratio.high
    assert (ratio.n, ratio.shops, ratio.dialogues) == (120, 6, 120)
    extra = Grid(columns, lambda row: row.final_score, extra=True)
    assert extra.of_query("extra/4", BEST) == pytest.approx(0.4)


def test_a_query_without_a_score_in_one_column_is_in_none(study):
    path = study / "lora_3000" / "local_seed0" / "samples.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if (row["shop_id"], row["pair_id"], row["phase"]) == ("a", "p03", "final"):
            row["final_score"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    grid = Grid(columns_of(load_runs(study)), lambda row: row.final_score)
    assert len(grid.keys) == 3 * 2 * 20 - 1
    assert (0, "a", "p03") not in grid.keys


def test_claims_that_the_numbers_bear_out_hold(study):
    equal_steps, convergence, gain, _, review = verdicts(study)
    assert (equal_steps, convergence, gain) == ("holds", "holds", "holds")
    assert review == "holds"


def test_claims_that_the_numbers_contradict_do_not_hold(tmp_path):
    upside_down = SKILL | {("lora", 3000): (0.2, 0.1, 4.0), ("lora", 15000): (0.1, 0.0, 4.0)}
    for key, skill in upside_down.items():
        for seed in (0, 1, 2):
            write_run(tmp_path, key, seed, skill)
    assert verdicts(tmp_path)[:3] == ["does not hold"] * 3


def test_a_score_that_accepts_nothing_agrees_in_part_where_it_still_tells_right_from_wrong(tmp_path):
    for key, (_, share, loss) in SKILL.items():
        for seed in (0, 1, 2):
            write_run(tmp_path, key, seed, (0.3 + 0.05 * share, share, loss))
    assert verdicts(tmp_path)[-1] == "holds in part"


def test_without_the_papers_columns_nothing_is_claimed(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, ("dora", 3000), seed, (0.5, 0.5, 1.0))
    assert verdicts(tmp_path)[:4] == ["not measured"] * 4


def test_a_copy_without_any_model_stands_beside_the_methods(study, tmp_path):
    alone = Table6().write(study, tmp_path / "alone")[0].read_text(encoding="utf-8")
    assert "No run here copies the nearest own example" in alone
    for seed in (0, 1, 2):
        folder = write_run(study / "copy", ("lora", 5000), seed, (0.57, 0.6, 0.0))
        path = folder / "run.json"
        path.write_text(path.read_text(encoding="utf-8").replace('"arm": "local"', '"arm": "retrieval"'))
    columns = columns_of(load_runs(study))
    assert [column.key for column in columns] == [ORIGINAL, COPY, *COLUMNS[1:]]
    assert verdicts(study)[:3] == ["holds"] * 3
    page = Table6().write(study, tmp_path / "out")[0].read_text(encoding="utf-8")
    grid = Grid(columns, lambda row: row.final_score)
    assert f"over the original model's: {shown(grid.ratio(COPY, ORIGINAL))}; LoRA 15000 steps minus it" in page
    assert "the size cannot" in page
    costs = page.split("## Costs")[1]
    assert "LoRA 5000 steps" in costs and "Copy" not in costs


def test_a_copy_alone_is_no_study(tmp_path):
    path = write_run(tmp_path, ("lora", 5000), 0, SKILL["lora", 5000]) / "run.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"arm": "local"', '"arm": "retrieval"'))
    with pytest.raises(UserError, match="No run of this folder fine-tunes"):
        columns_of(load_runs(tmp_path))


def test_the_page_holds_the_papers_figures_beside_the_studys(study, tmp_path):
    paths = Table6().write(study, tmp_path / "out")
    page, figure = (path.read_text(encoding="utf-8") for path in paths)
    assert "0.400 (0.495)" in page  # "Can I get a discount?", LoRA 15000: here, and the paper's
    assert "Of course, dear customer" in page
    assert "**120 held-out queries**" in page
    assert "LoRA is best at equal steps (Table VI, 3,000 steps). Holds." in page
    assert "outside the world" in page
    assert figure.startswith("<svg") and "P-Tuning v2 3000 steps" in figure


def test_a_study_of_one_seed_and_shop_draws_dialogues_and_says_so(tmp_path):
    folder = write_run(tmp_path, ("lora", 3000), 0, SKILL["lora", 3000])
    path = folder / "samples.jsonl"
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if '"shop_id": "a"' in line]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    estimate = Grid(columns_of(load_runs(tmp_path)), lambda row: row.final_score).mean(("lora", 3000))
    assert (estimate.shops, estimate.dialogues) == (None, 20)
    page = Table6().write(tmp_path, tmp_path / "out")[0].read_text(encoding="utf-8")
    assert "intervals over 20 dialogues of one shop" in page


def test_seeds_that_a_column_lacks_are_left_out_and_none_in_common_is_refused(tmp_path):
    write_run(tmp_path, ("lora", 3000), 0, SKILL["lora", 3000])
    write_run(tmp_path, ("lora", 3000), 1, SKILL["lora", 3000])
    write_run(tmp_path, ("p_tuning_v2", 3000), 1, SKILL["p_tuning_v2", 3000])
    assert [run.run.seed for run in columns_of(load_runs(tmp_path))[0].runs] == [1]
    write_run(tmp_path, ("prefix_tuning", 3000), 2, SKILL["prefix_tuning", 3000])
    with pytest.raises(UserError, match="No seed was run by all"):
        columns_of(load_runs(tmp_path))


def test_runs_of_two_studies_are_not_taken_for_one(tmp_path):
    for place, shops in (("here", 4), ("there", 2)):
        config = write_run(tmp_path / place, ("lora", 3000), 0, SKILL["lora", 3000]) / ".hydra" / "config.yaml"
        with config.open("a", encoding="utf-8") as file:
            file.write(f"corpus: {{num_shops: {shops}}}\n")
    with pytest.raises(UserError, match="differ in corpus"):
        columns_of(load_runs(tmp_path))


def test_a_config_without_a_setting_is_named(study):
    path = study / "lora_3000" / "local_seed0" / ".hydra" / "config.yaml"
    path.write_text("seed: 0\n", encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"config\.yaml: adapter\.method is missing"):
        columns_of(load_runs(study))


def test_scores_are_computed_again_by_eq_1(study):
    for row in columns_of(load_runs(study))[1].rows.values():
        mixed = 0.5 * row.similarity + 0.5 * row.relevance
        expected = row.similarity if row.cloud_relevance < 0.3 else mixed
        assert rescored(0.5, 0.3)(row) == pytest.approx(expected, abs=1e-6)


def test_the_sweep_marks_the_papers_values(study, tmp_path):
    page = Theta().write(study, tmp_path / "out")[0].read_text(encoding="utf-8")
    assert page.count("0.8, 0.2 (the paper's)") == 2
    assert "evolved by" not in page


def test_shops_that_evolved_by_other_values_are_compared_over_their_common_seeds(study, tmp_path):
    for seed in (1, 2, 3):
        folder = write_run(study / "theta", ("lora", 3000), seed, (0.45, 0.4, 1.5))
        path = folder / ".hydra" / "config.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace("score_alpha: 0.8", "score_alpha: 0.0"))
    page = Theta().write(study, tmp_path / "out")[0].read_text(encoding="utf-8")
    assert "| LoRA 3000 steps | 0.8, 0.2 | 2 | 9 |" in page
    assert "| LoRA 3000 steps | 0, 0.2 | 2 | 9 |" in page
    assert "LoRA 5000 steps | 0" not in page


def test_a_cell_cannot_break_the_table():
    assert markdown(["a"], [["x | y\nz"]]).splitlines()[2] == "| x \\| y z |"


@pytest.mark.parametrize("scale", [60, 1, 1000, 7.3])
def test_steps_stand_for_the_papers_whatever_the_scale(scale):
    steps = [scaled_steps(column[1], scale) for column in COLUMNS]
    assert [paper_steps(number, scale) for number in steps[1:]] == [column[1] for column in COLUMNS[1:]]
    assert paper_steps(7, 60) == 420


def test_a_scale_of_one_takes_steps_as_they_are(tmp_path):
    folder = write_run(tmp_path, ("lora", 3000), 0, SKILL["lora", 3000])
    path = folder / ".hydra" / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("steps: 50", "steps: 3000"), encoding="utf-8")
    assert load_runs(tmp_path, 1)[0].column == ("lora", 3000)
    assert "stands for 1 of the paper's" in Table6(1).write(tmp_path, tmp_path / "out")[0].read_text(encoding="utf-8")


def test_the_command_writes_the_views(study, tmp_path, monkeypatch, capsys):
    out = tmp_path / "pages"
    for view in tables.VIEWS:
        monkeypatch.setattr("sys.argv", ["tables", view, str(study), "--output", str(out)])
        assert tables.main() == 0
    assert sorted(path.name for path in out.iterdir()) == ["figure3.svg", "table6.md", "theta.md"]
    monkeypatch.setattr("sys.argv", ["tables", "paper_theta", str(tmp_path / "nowhere")])
    assert tables.main() == 1
    assert "nowhere is no folder" in capsys.readouterr().err
