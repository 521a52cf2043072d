"""The parts of scripts/bench.py: workloads, peers, measurement, report and picture."""
