"""Public text to pre-train the embedded end model on: a general assistant's dialogues, and copy tasks.

Nothing here comes from a private shop. The dialogues use public values and products, training question
forms and the pack's public wordings, never a held-out form, and the assistant never states a shop's fact.
The copy tasks show every word of the lexicon, private ones too, so that no character is new to the model;
they tie no value to any shop.
"""

from collections.abc import Iterator
from random import Random

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Turn
from ecc_fed.core.seeding import derive_seed
from ecc_fed.corpus.simulator.contrasts import QueryContrast, ReplyContrast, query_contrasts, reply_contrasts
from ecc_fed.corpus.simulator.copying import CopyTasks
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.dialogue import DialogueWriter
from ecc_fed.corpus.simulator.pack import load_pack
from ecc_fed.corpus.simulator.pack_records import LanguagePack
from ecc_fed.corpus.simulator.surface import choose
from ecc_fed.corpus.simulator.world import Drift, build_world

__all__ = [
    "QueryContrast",
    "ReplyContrast",
    "assistant_dialogues",
    "copy_tasks",
    "opening_questions",
    "query_contrasts",
    "reply_contrasts",
]

SESSIONS_PER_SHOP = 12
TYPO_RATE, PLATFORM_SHARE = 0.12, 0.2
# Of so many sessions in a row without a question that was not asked before, no more are looked at.
_MOST_REPEATS = 5000


def assistant_dialogues(seed: int, language: str = "zh") -> Iterator[DescribedSession]:
    """Endless dialogues of public customers with a general assistant, a share of them small talk.

    Raises:
        CorpusError: `language` has no pack.
    """
    return _assistant_dialogues(load_pack(language).widened(), seed)


def _assistant_dialogues(pack: LanguagePack, seed: int) -> Iterator[DescribedSession]:
    rng = Random(derive_seed(seed, "assistant_dialogues"))
    number = world_number = 0
    while True:
        world_seed = derive_seed(seed, "public_world", world_number)
        world = build_world(pack, "public", len(pack.categories), 1, Drift(), world_seed)
        writers = [
            DialogueWriter(world, shop, world_seed, assistant=True, platform_share=PLATFORM_SHARE, typo_rate=TYPO_RATE)
            for shop in world.shops
        ]
        for _ in range(SESSIONS_PER_SHOP * len(writers)):
            session_id = f"public/{seed}/{number:07d}"
            if rng.random() < pack.small_talk_share:
                yield _small_talk(pack, session_id, rng)
            else:
                yield rng.choice(writers).write(session_id, 0, float(number), 4)
            number += 1
        world_number += 1


def _small_talk(pack: LanguagePack, session_id: str, rng: Random) -> DescribedSession:
    turns: list[Turn] = []
    for exchange in rng.sample(pack.small_talk, rng.choice((1, 1, 2))):
        turns.append(Turn("customer", choose(rng.choice(exchange.ask), rng)))
        turns.append(Turn("agent", choose(rng.choice(exchange.reply), rng)))
    return DescribedSession(session_id, tuple(turns), intents=("small_talk",) * len(turns))


def opening_questions(seed: int, count: int, language: str = "zh") -> tuple[str, ...]:
    """`count` different questions about facts, by which public customers open a dialogue.

    Raises:
        CorpusError: `language` has no pack, or the pack has not so many.
    """
    pack = load_pack(language).widened()
    factual = {intent.name for intent in pack.intents if intent.scope != "none"}
    found: dict[str, None] = {}
    repeats = 0
    for session in _assistant_dialogues(pack, seed):
        before = len(found)
        if factual.issuperset((session.intents[0] or "").split("+")):
            found.setdefault(session.turns[0].text)
        if len(found) == count:
            break
        repeats = 0 if len(found) > before else repeats + 1
        if repeats == _MOST_REPEATS:
            raise CorpusError(f"language pack {language!r} has some {len(found)} public questions; ask for fewer")
    return tuple(found)


def copy_tasks(seed: int, language: str = "zh") -> Iterator[DescribedSession]:
    """Endless tasks whose answer stands in the prompt.

    `intents` tells them apart: "copy" (repeat a text), "choose" (the first or second of two),
    "mention" (quote what the customer named), "recall" (quote it a turn later) and "lookup" (find a
    value in notes, asked in training forms).

    Raises:
        CorpusError: `language` has no pack.
    """
    return iter(CopyTasks(load_pack(language).widened(), seed))
