"""A shop's part in what all of them teach each other: it answers public queries, and trains on the agreed replies.

The agreed replies of a round are learned from in the next one and then forgotten: nothing of them is experience, from
which a shop answers customers or fills the cloud's prompts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AdapterState, Asked, OwnExample, PublicSet, Shop, Turn
from ecc_fed.core.seeding import derive_rng
from ecc_fed.evolution.answering.replies import reply_to
from ecc_fed.evolution.experience import Experience, cycled, draw_examples
from ecc_fed.evolution.settings import LoopSettings, Services


def public_prompts(public: PublicSet) -> tuple[tuple[Turn, ...], ...]:
    """Each query as a dialogue that it opens."""
    return tuple((Turn("customer", query),) for query in public.queries)


def public_examples(public: PublicSet | None) -> tuple[OwnExample, ...]:
    """What the agreed replies teach; nothing where there are none yet."""
    if public is None or not public.agreed:
        return ()
    taught = zip(public_prompts(public), public.agreed, strict=True)
    return tuple(
        OwnExample(f"public/{place:05d}", prompt, reply) for place, (prompt, reply) in enumerate(taught) if reply
    )


def answer_public(
    public: PublicSet,
    adapter: AdapterState,
    experience: Experience,
    settings: LoopSettings,
    services: Services,
    seed: int,
) -> tuple[str, ...]:
    """The shop's greedy replies, one for each query, as its customers would get them; the cloud is asked nothing."""
    prepared = services.answering.prepare([Asked(prompt) for prompt in public_prompts(public)], experience.known())
    greedy = replace(settings.decoding, sample=False)
    unasked = [None] * len(prepared)
    return tuple(each.text for each in reply_to(prepared, adapter, greedy, services.end_model, seed, unasked))


def draw_with_public(
    experience: Experience, public: Sequence[OwnExample], num_examples: int, settings: LoopSettings, seed: int
) -> tuple[OwnExample, ...]:
    """As `draw_examples`, of which the declared share are public examples, where there are any.

    A source that is empty leaves its share to the other. Where none is public, the draw is that of a shop by itself.
    """
    num_public = round(settings.public_share * num_examples) if public else 0
    own = draw_examples(
        experience, num_examples - num_public, settings.evolution.pseudo_share, derive_rng(seed, "examples")
    )
    if not num_public:
        return own
    rng = derive_rng(seed, "public_examples")
    drawn = [*own, *(public[i] for i in cycled(len(public), num_examples - len(own), rng))]
    return tuple(drawn[i] for i in rng.permutation(num_examples))


def refuse_tested(queries: Sequence[str], shop: Shop) -> None:
    """Refuses queries that the shop is tested on: others' replies to them would be the test's answers.

    Letters, digits and their order count; case, width, spaces and signs do not.

    Raises:
        ConfigError: names the first such query.
    """
    tested = {_plain(pair.query) for pair in shop.test}
    both = [query for query in queries if _plain(query) in tested]
    if both:
        raise ConfigError(
            f"{len(both)} of the public queries are asked in the test of {shop.shop_id}, first {both[0]!r}. Take them "
            "out of arm.queries.path, or set another arm.queries.count where the corpus asks."
        )


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower())) or text
