"""The end of a run under Flower's own engines: the files, the summary and the page that `ecc-fed run` leaves.

They are made of what the shops keep. Where the server shares its folder with all nodes (`flwr run`, or one machine),
the shops' states lie there. Where nodes have folders of their own, the server has adapters and counts, no dialogue and
no reply, and says what is to be done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ecc_fed.assembly.language import with_language
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.federation.flower.plain_errors import FLOWER_LOG
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import FederationResult
from ecc_fed.runs.cloud import ended
from ecc_fed.runs.conclusion import conclude
from ecc_fed.runs.reading import read_corpus
from ecc_fed.runs.written import Ran, write_run

_log = logging.getLogger(FLOWER_LOG)


def write_flower_run(
    directory: RunDirectory,
    run_id: str,
    config: RunConfig,
    plan: FederationPlan,
    shop_ids: Sequence[str],
    result: FederationResult,
    seconds: Callable[[], float],
) -> None:
    """Writes the run's files, summary and page, if the states of all its shops lie in `directory`; the log tells.

    Args:
        directory: the server's.
        run_id: the run's.
        config: of the run.
        plan: what the server played.
        shop_ids: of the nodes, in the run's order.
        result: what the server saw.
        seconds: tells how many the run has taken so far.

    Raises:
        EccError: the corpus cannot be read, or a file not written.
    """
    elsewhere = [shop_id for shop_id in shop_ids if not directory.shop(shop_id).is_dir()]
    if elsewhere:
        _log.info(
            "What %s kept lies with the nodes, so there is no summary here. For one, copy the nodes' folders shops/* "
            "to %s, and give `ecc-fed run --resume %s` where the whole corpus can be read.",
            ", ".join(elsewhere),
            directory.shops,
            directory.root,
        )
        return
    shops, truth, reading = read_corpus(config)
    config = with_language(config, None if reading is None else reading.language)
    taking_part = [shop for shop in shops if shop.shop_id in shop_ids]
    write_run(directory, Ran(run_id, config, plan, taking_part, truth, reading), result, (), (), seconds)
    conclude(config, directory)
    from ecc_fed.reporting.report import report  # plotting takes seconds to import: no mistake waits for it

    report([directory.root], console=None)
    if ended([directory]):
        _log.error("The cloud's teacher was gone at the end of the run: %s says since when.", directory.run)
    _log.info("Summary: %s  Report: %s", directory.summary, directory.report)
