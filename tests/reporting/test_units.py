"""What an interval over test replies draws."""

from dataclasses import replace

from ecc_fed.reporting.study import load_study
from ecc_fed.reporting.units import drawn_text, seeded, seeds_share_dialogues, units_of
from tests.reporting.test_measures import fact, row


def replies(seed, shop, queries, same):
    """Two dialogues of a shop, of two replies each; `same` in every seed, or a world's own."""
    return [
        (seed, replace(
            row(fact()), shop_id=shop, session_id=f"d{query // 2}" if same else f"{shop}/d{query // 2}",
            pair_id=f"p{query}" if same else f"{shop}/p{query}", query=f"q{query}{'' if same else f'|{seed}{shop}'}",
        ))
        for query in queries
    ]  # fmt: skip


def test_in_worlds_of_their_own_shops_of_all_seeds_are_units():
    rows = [of for seed in (0, 1) for shop in ("a", "b") for of in replies(seed, shop, range(4), same=False)]
    assert not seeds_share_dialogues(rows)
    units = units_of(rows)
    assert len(set(units.shops)) == 4
    assert len(set(zip(units.shops, units.dialogues, strict=True))) == 8
    assert drawn_text(rows) == "4 shops and 8 dialogues in them"


def test_where_seeds_split_the_same_dialogues_a_dialogue_is_drawn_with_its_replies_of_every_seed():
    # Dialogue d0 goes to shop a under seed 0 and to shop b under seed 1; d1 is a test dialogue of both, d2 of one.
    rows = [*replies(0, "a", range(4), same=True), *replies(1, "b", range(6), same=True)]
    assert seeds_share_dialogues(rows)
    units = units_of(rows)
    assert len(set(units.shops)) == 1
    assert units.dialogues == ["d0", "d0", "d1", "d1", "d0", "d0", "d1", "d1", "d2", "d2"]
    assert drawn_text(rows) == "3 dialogues that all seeds share"


def test_dialogues_that_agree_by_chance_do_not_make_two_worlds_one():
    rows = [of for seed in (0, 1) for of in replies(seed, "a", range(6), same=False)]
    by_chance = [(seed, replace(of, query="在吗")) if of.pair_id == "a/p0" else (seed, of) for seed, of in rows]
    assert not seeds_share_dialogues(by_chance)


def test_seeds_share_dialogues_where_more_than_half_of_them_agree():
    def shared(agreeing, of):
        first = replies(0, "a", range(of), same=True)
        return [*first, *[(1, replace(each, query=f"{each.query}{'' if n < agreeing else '!'}"))
                          for n, (_, each) in enumerate(first)]]  # fmt: skip

    assert [seeds_share_dialogues(shared(agreeing, 5)) for agreeing in range(6)] == [False] * 3 + [True] * 3
    assert not seeds_share_dialogues(shared(2, 4))


def test_one_seed_has_its_shops_and_a_single_shop_its_dialogues():
    one_seed = [of for shop in ("a", "b") for of in replies(0, shop, range(4), same=True)]
    assert not seeds_share_dialogues(one_seed)
    assert drawn_text(one_seed) == "2 shops and 4 dialogues in them"
    assert drawn_text(replies(0, "a", range(4), same=True)) == "2 dialogues of one shop"
    assert drawn_text([]) == ""


def test_a_group_of_seeds_that_share_dialogues_is_no_more_certain_for_it(make_run, tmp_path):
    """Three runs that say the same of the same dialogues tell as much as one."""
    for seed in (0, 1, 2):
        make_run(f"s{seed}", "local", 7, shops=2, queries=6, judged=False)
        path = tmp_path / f"s{seed}" / "run.json"
        path.write_text(path.read_text(encoding="utf-8").replace('"seed": 7', f'"seed": {seed}'), encoding="utf-8")
    (group,) = load_study([tmp_path]).groups
    assert seeds_share_dialogues(seeded(group.rows("final")))
    estimate = group.final["chrf"]
    assert (estimate.n, estimate.shops) == (36, None)
    assert "that all seeds share" in group.drawn
