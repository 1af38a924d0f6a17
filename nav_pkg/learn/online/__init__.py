"""Learning in flight: the learner, its gradient steps, replay buffer, prefill, continual learning."""
