"""Visual navigation by imitation: lock-step simulation, datasets, learning, flight."""

__version__ = "0.1.0"
