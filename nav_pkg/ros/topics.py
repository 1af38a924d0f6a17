"""The fixed topics and parameters of the nodes; those of a robot are in its file (`nav_pkg.ros.robot`)."""

from __future__ import annotations

EXPERT_COMMAND = "/expert/cmd_vel"
LEARNER_COMMAND = "/learner/cmd_vel"
EPISODE = "/episode"
RECORDER_STATUS = "/recorder/status"
BAG_STATUS = "/bag/status"
LEARNER_STATUS = "/learner/status"
RUN_PARAMETER = "/nav_pkg/run"
"""ROS parameter: the number of the current run."""
DIAGNOSTICS = "/diagnostics"
