"""Checkpoint files: weights, configuration, statistics and state; no pickle, written atomically."""
