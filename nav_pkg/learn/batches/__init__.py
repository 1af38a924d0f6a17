"""From a dataset's packs to batches: samples, sampler, recovery cameras, preprocessing."""
