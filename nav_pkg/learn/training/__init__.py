"""Trainings: the trainer of one network, offline training, and the log folder of a training."""
