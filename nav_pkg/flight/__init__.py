"""The flight: start poses, the episode's state machine, the supervisor's decisions, metrics."""
