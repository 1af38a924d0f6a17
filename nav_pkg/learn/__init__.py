"""Learning: from packs to batches, gradient steps, checkpoints, and networks that fly."""
