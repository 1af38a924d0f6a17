"""How a network learns from a batch: training methods, losses, optimisers, measures."""
