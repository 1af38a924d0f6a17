"""Packs: the colour images of runs at a network's input size, memory-mapped for training."""
