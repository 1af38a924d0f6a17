"""Flights: start poses, the episode's state machine, the decisions of the supervisor, metrics."""
