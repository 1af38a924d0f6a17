"""Wall seconds after which a session counts its simulator as failed."""

START_LIMIT = 180.0
"""From the start of a simulator to its first frame."""
STALL_LIMIT = 90.0
"""Without a new frame."""
LEARN_LIMIT = 900.0
"""For a frame when the learner trains: gradient steps of a large network, importance over a replay buffer."""
COMMIT_LIMIT = 330.0
"""At the end of a run, for the commit of its recording; the supervisor itself waits 300 s."""
