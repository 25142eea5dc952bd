"""Invented run directories: what a runner would write, with known rights and wrongs in them."""

from dataclasses import replace

import numpy as np
import pytest

from ecc_fed.core.records import EgressEntry, Turn
from ecc_fed.core.rows import (
    SCHEMA,
    AggregationRow,
    FactRow,
    MetricRow,
    Privacy,
    RunInfo,
    Runtime,
    SampleRow,
    write_record,
    write_rows,
)

COURIERS = ("顺丰", "圆通", "中通", "韵达")
# arm -> (share of seen facts right, share of wrong answers with another shop's value, final score)
SKILL = {
    "none": (0.05, 0.1, 0.25),
    "local": (0.6, 0.1, 0.7),
    "aggregated": (0.2, 0.6, 0.45),
    "personalized": (0.55, 0.2, 0.68),
    "centralized": (0.5, 0.3, 0.6),
    "cloud": (0.9, 0.0, 0.97),
}


def _fact(rng, shop, shops, skill, scope, seen):
    own = COURIERS[shop % len(COURIERS)]
    right, other, _ = skill
    stated = bool(rng.random() < (right if seen or scope == "platform" else 0.05))
    swapped = not stated and bool(rng.random() < other)
    wrong = COURIERS[(shop + 1) % len(COURIERS)]
    others = [name for index, name in enumerate(shops) if COURIERS[index % len(COURIERS)] == wrong]
    fact = FactRow(
        key="courier" if scope == "shop" else "platform/returns",
        kind="courier" if scope == "shop" else "returns",
        scope=scope,
        accepted=(own, own + "快递"),
        seen=seen,
        stated=stated,
        competing_stated=(wrong,) if swapped else (),
        other_shop=tuple(others) if swapped and scope == "shop" else (),
        taught=2 if seen else 0,
        days_since_change=None,
    )
    text = own if stated else wrong if swapped else "稍等"
    return fact, f"亲,我们默认发{text}哦~"


def _sample(rng, shop, shops, pair, phase, skill, options):
    kind = pair % 5
    facts, reply = [], "亲,稍等帮您看下哦"
    if options["facts"] and kind < 4:
        scope = "platform" if kind == 3 else "shop"
        fact, reply = _fact(rng, shop, shops, skill, scope, seen=kind != 2)
        facts = [fact]
    right = all(fact.stated for fact in facts) if facts else rng.random() < 0.5
    judged = options["judged"] and rng.random() > 0.05
    score = float(np.clip(skill[2] + (0.2 if right else -0.15) + rng.normal(0, 0.08), 0, 1))
    context = (Turn("customer", "在吗"), Turn("agent", "在的亲")) if pair % 3 == 0 else ()
    own = COURIERS[shop % len(COURIERS)]
    return SampleRow(
        shop_id=shops[shop],
        pair_id=f"p{pair:03d}",
        session_id=f"d{pair // 3:03d}",
        phase=phase,
        extra=False,
        server_round=0 if phase == "base" else 4,
        context=context,
        query=f"请问第{pair}单发什么快递呀?<b>急</b>{options['world']}",
        reference=f"亲,发{own}哒~",
        reply="您好,请问有什么可以帮您?" if phase == "base" else reply,
        cloud_reply=f"亲,我们发{own}快递的哦" if judged else None,
        intent="courier",
        form_id=f"f{pair % 7}",
        similarity=score if judged else None,
        relevance=score if judged else None,
        cloud_relevance=0.9 if judged else None,
        final_score=score if judged else None,
        relevance_trusted=bool(pair % 4) if judged else None,
        accepted=score > 0.6 if judged else None,
        facts=tuple(facts),
        chrf=float(np.clip(50 * skill[2] + rng.normal(0, 8), 0, 100)),
        verbatim=bool(phase == "final" and rng.random() < 0.3),
        nll_nats=float(rng.gamma(20, 4 if phase == "base" else 1.6)) if options["likelihood"] else None,
        label_tokens=12,
        characters=10,
        signals=None,
        confidence=None,
    )


def _others(row):
    """The teacher, always right and never judged; the human agent, always right; another reply, without facts."""
    facts = tuple(replace(fact, stated=True, competing_stated=(), other_shop=()) for fact in row.facts)
    right = replace(row, facts=facts, verbatim=False, nll_nats=None, label_tokens=None, characters=None)
    unjudged = dict.fromkeys(
        ("similarity", "relevance", "cloud_relevance", "final_score", "relevance_trusted", "accepted")
    )
    return [
        *([replace(right, phase="teacher", reply=row.cloud_reply, **unjudged)] if row.cloud_reply else []),
        replace(right, phase="human", reply=row.reference, chrf=None, final_score=0.65, similarity=0.6),
        replace(right, phase="other", reply="别的", facts=(), chrf=None, final_score=0.1),
    ]


def _metric(rng, server_round, rounds, shop, skill, cloud):
    learned = server_round / max(rounds, 1)
    score = float(np.clip(0.25 + learned * (skill[2] - 0.25) + rng.normal(0, 0.02), 0, 1))
    return MetricRow(
        server_round=server_round,
        cycle=0,
        shop_id=shop,
        split="stream",
        served=40,
        escalated=int(40 * (1 - score)),
        unhappy=3,
        mean_score=score,
        pseudo_labels=int(40 * (1 - score)),
        natural_pairs=20,
        train_loss=2.0 - learned,
        steps=50,
        teacher_requests=40 if cloud else 0,
        teacher_cached=0,
        teacher_failed=0,
        teacher_errors=(),
        input_tokens=4000,
        output_tokens=800,
        cost_usd=0.02,
        serve_seconds=1.5,
        train_seconds=6.0,
    )


def _egress(arm, server_round, shop):
    def entry(destination, direction, kind, num_bytes, purpose):
        redaction = "typed" if destination == "cloud_teacher" else "none"
        return EgressEntry(shop, server_round, destination, direction, kind, num_bytes, redaction, {"purpose": purpose})

    entries = [
        entry("cloud_teacher", "up", "query", 4000, "judge"),
        entry("cloud_teacher", "up", "few_shot", 90000, "judge"),
        entry("cloud_teacher", "down", "reply", 2400, "judge"),
        entry("cloud_teacher", "up", "query", 1000, "evaluate"),
        entry("cloud_teacher", "down", "reply", 500, "evaluate"),
    ]
    if arm in ("aggregated", "personalized"):
        entries += [entry("aggregator", way, "adapter", 310000, "train") for way in ("up", "down")]
    return entries


def write_run(root, arm="local", seed=0, **given):
    """A finished run directory. Arms of one seed share queries; `world` moves the queries."""
    options = {
        "shops": 4, "queries": 30, "rounds": 4, "facts": True, "judged": True, "likelihood": True,
        "platform_share": 0.25, "failures": [], "config": "", "world": "", "shop_names": None,
        "teacher": "RetrievalTeacher", "others": False,
    } | given  # fmt: skip
    root.mkdir(parents=True)
    shops = options["shop_names"] or [f"shop_{index:02d}" for index in range(options["shops"])]
    skill = SKILL.get(arm, SKILL["local"])
    rng = np.random.default_rng([seed, sum(map(ord, arm))])
    shared = np.random.default_rng(seed)  # the base is the same in every arm
    samples = []
    for shop in range(len(shops)):
        for pair in range(options["queries"]):
            for phase, draws, level in (("base", shared, SKILL["none"]), ("final", rng, skill)):
                samples.append(_sample(draws, shop, shops, pair, phase, level, options))
            if options["others"]:
                samples += _others(samples[-1])
    rounds = range(1, options["rounds"] + 1)
    metrics = [_metric(rng, r, options["rounds"], shop, skill, arm != "none") for r in rounds for shop in shops]
    egress = [entry for r in rounds for shop in shops for entry in _egress(arm, r, shop)]
    aggregated = arm in ("aggregated", "personalized")
    info = RunInfo(
        schema=SCHEMA,
        run_id="ab12",
        arm=arm,
        seed=seed,
        shops=tuple(shops),
        server_rounds=options["rounds"] if arm != "none" else 0,
        cycles=1,
        personal_rounds=2 if arm == "personalized" else 0,
        shops_on_their_own=(),
        corpus="simulator" if options["facts"] else "jddc",
        platform_share=options["platform_share"],
        language="zh",
        teacher=options["teacher"],
        kneser_ney_perplexity=dict.fromkeys(shops, 19.5) if options["likelihood"] else {},
        runtime=Runtime(
            wall_seconds=190.5 + seed,
            client_steps=800,
            client_steps_per_second=4.2,
            hosts=1,
            shops_per_batch=len(shops),
            batch_reason="all fit",
            service_seconds={"judge": 7.0},
            base_loads=1,
            peak_rss_bytes=1_200_000_000,
            peak_gpu_bytes=0,
        ),
        privacy=Privacy("typed", None, None, False, {"mia_auc": 0.61}),
        failures=tuple(options["failures"]),
        aggregation=tuple(AggregationRow(r, 0.4 + 0.1 * r) for r in rounds) if aggregated else (),
        versions={"ecc_fed": "0.1.0", "torch": "2.13.0"},
    )
    write_rows(root / "samples.jsonl", samples)
    write_rows(root / "metrics.jsonl", metrics)
    write_rows(root / "egress.jsonl", egress)
    write_record(root / "run.json", info)
    (root / ".hydra").mkdir()
    config = options["config"] or f"corpus:\n  platform_share: {options['platform_share']}\n"
    (root / ".hydra" / "config.yaml").write_text(f"seed: {seed}\narm:\n  name: {arm}\n{config}", encoding="utf-8")
    return root


@pytest.fixture
def make_run(tmp_path):
    """`make_run(name, arm, seed, **options)` writes a run below tmp_path."""

    def make(name, arm="local", seed=0, **options):
        return write_run(tmp_path / name, arm, seed, **options)

    return make
