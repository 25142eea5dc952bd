"""The reference engine: peft, one job after another. Slow and plain on purpose."""
