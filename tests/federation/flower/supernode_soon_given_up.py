"""Flower's SuperNode, given up after 20 seconds of silence: twice the least that a SuperLink takes for its heartbeat.

Its own is 30 seconds, and no setting. It says so itself, so that the SuperLink is Flower's as it stands.
"""

import sys

import flwr.common.constant

flwr.common.constant.HEARTBEAT_DEFAULT_INTERVAL = flwr.common.constant.HEARTBEAT_MIN_INTERVAL

from flwr.supernode.cli import flower_supernode  # noqa: E402  # it takes the constant as it finds it

if __name__ == "__main__":
    sys.exit(flower_supernode())
