"""The figures of a reply to a real customer, as the measures of the report are: a numerator and a denominator each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from ecc_fed.assembly.build import base_path
from ecc_fed.assembly.compose import load_config
from ecc_fed.core.errors import ModelError
from ecc_fed.core.protocols import SimilarityModel
from ecc_fed.core.rows import SampleRow
from ecc_fed.models.folder import find_folder
from ecc_fed.reporting.measures import BY_NAME, Fraction, Measure
from ecc_fed.reporting.study import Group
from experiments.real.wording import broken, loops

# Of a text, how many tokens it has.
CountTokens = Callable[[str], int]
_ROLE = "end model"


@dataclass(frozen=True)
class Limit:
    """How long a reply of the model may grow, and what it is counted by."""

    tokens: int
    count: CountTokens

    def cut(self, reply: str) -> bool:
        """Whether it stopped at the limit. One token less counts as well: white space at the end was taken off."""
        return self.count(reply) >= self.tokens - 1


def limit_of(group: Group) -> Limit:
    """The limit of a group's runs, in tokens of their base.

    Raises:
        ModelError: the base, or its tokenizer, is not where the run had it.
        ConfigError: the run's config is of another version.
    """
    config = load_config(group.runs[0].directory.config, allowed=("experiments",))
    folder = find_folder(base_path(config), _ROLE)
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError(f"{folder} has no tokenizer.json, by which replies are counted. Bring it back.")
    tokenizer = Tokenizer.from_file(str(file))
    return Limit(config.decoding.max_new_tokens, lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids))


def by_model(row: SampleRow) -> bool:
    """Whether the model was asked: a copied reply has no likelihood."""
    return row.nll_nats is not None


def _of_model(tells: Callable[[str], bool]) -> Callable[[SampleRow], Fraction | None]:
    return lambda row: (float(tells(row.reply)), 1.0) if by_model(row) else None


def columns(limit: Limit, similarity: Callable[[SampleRow], float]) -> tuple[Measure, ...]:
    """The page's figures, of which those of loops, cuts and broken characters apply where a model was asked.

    Args:
        limit: of the replies.
        similarity: of a row's reply to the human one, 0 to 1.
    """
    return (
        BY_NAME["perplexity"],
        BY_NAME["chrf"],
        Measure("human_similarity", "Similarity to the human reply", "score", lambda row: (similarity(row), 1.0)),
        BY_NAME["verbatim_share"],
        Measure("loops", "Loops", "share", _of_model(loops), "lower"),
        Measure("cut", "Cut at the limit", "share", _of_model(limit.cut), "lower"),
        Measure("broken", "With U+FFFD", "share", _of_model(lambda reply: broken(reply) > 0), "lower"),
    )


def similarities(rows: Iterable[SampleRow], model: SimilarityModel) -> Callable[[SampleRow], float]:
    """Looks up how like each row's reply is to its human one; equal pairs of texts are asked once, all in one call."""
    pairs = sorted({(row.reply, row.reference) for row in rows})
    scores = model.similarity([reply for reply, _ in pairs], [human for _, human in pairs]) if pairs else ()
    known = {pair: float(score) for pair, score in zip(pairs, scores, strict=True)}
    return lambda row: known[row.reply, row.reference]


def parts(rows: Sequence[SampleRow], of: Sequence[Measure]) -> list[list[Fraction | None]]:
    """(rows, measures): each measure's fraction of each row, None where it does not apply."""
    return [[measure.fraction(row) for measure in of] for row in rows]
