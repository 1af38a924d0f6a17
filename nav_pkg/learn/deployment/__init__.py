"""Networks after training: the pilot, export to other formats, playback, perturbations, specifications."""
