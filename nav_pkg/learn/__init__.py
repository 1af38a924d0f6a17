"""Learning: preprocessing, batches, losses, the trainer, checkpoints and the pilot."""
