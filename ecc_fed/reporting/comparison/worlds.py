"""Which arms saw the same shops, what is measured on these, and what counts as one shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ecc_fed.core.rows import SampleRow, ShopProfile
from ecc_fed.core.statistics import weighted_mean
from ecc_fed.reporting.measures import BY_NAME, Fraction, Measure, all_right
from ecc_fed.reporting.study import Group, Study, settings_text
from ecc_fed.reporting.units import QueryKey, seeded, seeds_share_dialogues


def _facts_right(row: SampleRow) -> Fraction | None:
    right = all_right(row)
    return None if right is None else (float(right), 1.0)


FACTS = Measure("facts_right", "Facts right", "share", _facts_right)
# What arms are compared by: facts of both scopes together first, then the judge's word, then each scope by itself.
OUTCOMES = (FACTS, BY_NAME["final_score"], BY_NAME["fact_accuracy"], BY_NAME["platform_fact_accuracy"])


class ShopKey(NamedTuple):
    """One shop: of one seed's world, or of all seeds (None) where these share the shop and its dialogues."""

    seed: int | None
    shop_id: str


@dataclass(frozen=True)
class World:
    """Groups that saw the same shops; `settings` say which, where worlds were swept."""

    settings: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]

    @property
    def label(self) -> str:
        """Such as "platform_share=0.5"; empty where only one world was run."""
        return settings_text(self.settings)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of any group."""
        return tuple(sorted({seed for group in self.groups for seed in group.seeds}))

    @cached_property
    def finals(self) -> Mapping[str, Mapping[QueryKey, SampleRow]]:
        """Every group's rows after evolution, by its label."""
        return {group.label: group.rows("final") for group in self.groups}

    @cached_property
    def pooled(self) -> bool:
        """Whether a shop of one name is the same shop under every seed.

        So it is where seeds share dialogues and each belongs to the same shop under all of them. Seeds that deal
        shared dialogues out anew have shops of their own; an interval over all of these draws dialogues.
        """
        rows = seeded(max(self.finals.values(), key=len, default={}))
        if not seeds_share_dialogues(rows):
            return False
        owners: dict[str, set[str]] = {}
        for _, row in rows:
            owners.setdefault(row.session_id, set()).add(row.shop_id)
        return all(len(of) == 1 for of in owners.values())

    def shop_of(self, seed: int, shop_id: str) -> ShopKey:
        """The shop that a row of a run belongs to."""
        return ShopKey(None if self.pooled else seed, shop_id)

    def shop_label(self, shop: ShopKey) -> str:
        """Such as "shop_0003", with its seed where there are several."""
        return shop.shop_id if shop.seed is None or len(self.seeds) < 2 else f"{shop.shop_id}, seed {shop.seed}"

    @cached_property
    def queries(self) -> Mapping[ShopKey, Sequence[QueryKey]]:
        """Every shop's test queries that any group answered, sorted."""
        found: dict[ShopKey, set[QueryKey]] = {}
        for rows in self.finals.values():
            for key in rows:
                found.setdefault(self.shop_of(key[0], key[1]), set()).add(key)
        return {shop: sorted(found[shop]) for shop in sorted(found, key=lambda shop: (shop.seed or 0, shop.shop_id))}

    @cached_property
    def profiles(self) -> Mapping[ShopKey, ShopProfile]:
        """What each shop has to learn from; means over seeds where these share it. Older runs tell none."""
        found: dict[ShopKey, dict[int, ShopProfile]] = {}
        for group in self.groups:
            for run in group.runs:
                for shop_id, profile in run.info.profiles.items():
                    found.setdefault(self.shop_of(run.seed, shop_id), {})[run.seed] = profile
        return {shop: _mean_profile(list(of.values())) for shop, of in found.items()}

    @property
    def outcomes(self) -> list[Measure]:
        """The outcomes that some query has."""
        return [
            measure
            for measure in OUTCOMES
            if any(measure.fraction(row) for rows in self.finals.values() for row in rows.values())
        ]


def _mean_profile(profiles: Sequence[ShopProfile]) -> ShopProfile:
    pairs = sum(profile.training_pairs for profile in profiles) / len(profiles)
    return ShopProfile(round(pairs), weighted_mean([profile.unlikeness for profile in profiles]))


def worlds(study: Study) -> list[World]:
    """The study by what its shops were, in the study's order."""
    settings = list(dict.fromkeys(group.world for group in study.groups))
    return [World(of, tuple(group for group in study.groups if group.world == of)) for of in settings]
