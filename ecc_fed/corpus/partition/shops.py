"""What partitions share: the sizes that can be had, and shops named by number."""

from __future__ import annotations

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import Assignment
from ecc_fed.corpus.partition.skew import Owners


def check_sizes(num_sessions: int, num_shops: int, min_sessions: int) -> None:
    """Raises CorpusError where the sessions cannot give every shop its minimum."""
    if num_shops < 1:
        raise CorpusError(f"corpus.num_shops is {num_shops}; set it to 1 or more.")
    if min_sessions < 1:
        raise CorpusError(f"partition.min_sessions is {min_sessions}; set it to 1 or more.")
    if num_shops > num_sessions:
        raise CorpusError(
            f"corpus.num_shops={num_shops} is more than the corpus has dialogues ({num_sessions}). Ask for fewer shops."
        )
    if num_shops * min_sessions > num_sessions:
        raise CorpusError(
            f"{num_sessions} dialogues are too few for corpus.num_shops={num_shops} shops of "
            f"partition.min_sessions={min_sessions} or more. Ask for at most {max(1, num_sessions // min_sessions)} "
            "shops, or lower partition.min_sessions."
        )


def check_alpha(dirichlet_alpha: float) -> None:
    """Raises CorpusError unless dirichlet_alpha > 0 and finite."""
    if not (0 < dirichlet_alpha < float("inf")):
        raise CorpusError(
            f"partition.dirichlet_alpha is {dirichlet_alpha}; set it above 0 (0.1: very skewed, 100: nearly even)."
        )


def numbered_shops(owners: Owners, num_shops: int, notes: tuple[str, ...] = (), moved: int = 0) -> Assignment:
    """Shops `shop-000`, `shop-001`, ... that own sessions as `owners` says, (sessions,) numbers from 0."""
    width = max(3, len(str(num_shops - 1)))
    names = [f"shop-{i:0{width}d}" for i in range(num_shops)]
    if moved:
        notes = (*notes, f"{moved} sessions moved so that every shop has its minimum")
    return Assignment([names[owner] for owner in owners.tolist()], dict.fromkeys(names, ""), notes)
