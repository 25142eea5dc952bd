"""FedAvg over adapters (McMahan et al. 2017, Algorithm 1): the mean weighted by examples."""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from ecc_fed.federation.aggregation.arithmetic import weighted_mean
from ecc_fed.federation.wire import records


class AdapterFedAvg(FedAvg):
    """Flower's FedAvg where every shop takes part, in a fixed order, and sums run in fp64.

    The stock class draws its nodes from the unseeded `random` module, so that even a round with
    all of them adds up in another order each time.
    """

    def __init__(self) -> None:
        super().__init__(
            min_train_nodes=1,
            min_evaluate_nodes=1,
            min_available_nodes=1,
            weighted_by_key=records.NUM_EXAMPLES,
            arrayrecord_key=records.ARRAYS,
            configrecord_key=records.CONFIG,
        )

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The same adapter to every node."""
        content = records.instructions(arrays, config)
        group_id = str(server_round)
        return [Message(content, node_id, MessageType.TRAIN, group_id=group_id) for node_id in grid.get_node_ids()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The weighted mean of the replies' adapters, in their order; None if no shop had an example."""
        reports = [records.read_train_reply(reply.content, upload=True) for reply in replies]
        weights = [float(report.num_examples) for report in reports]
        if sum(weights) == 0:
            return None, None
        return records.to_arrays(weighted_mean([report.adapter for report in reports], weights)), None
