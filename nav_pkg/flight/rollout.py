"""Fly a run in a simulator, without ROS."""

from __future__ import annotations

from typing import Any, Callable

from nav_pkg.control.expert import Expert
from nav_pkg.control.seeds import run_seed
from nav_pkg.core import Command, Frame, Observation, Outcome, Pose, SimulatorError, UsageError
from nav_pkg.flight.episode import State
from nav_pkg.flight.flight import Flight
from nav_pkg.flight.starts import start_pose
from nav_pkg.sim.protocol import Simulator

Policy = Callable[[Observation], Command]


def fly(
    simulator: Simulator,
    flight: Flight,
    expert: Expert,
    pilot: Policy | None = None,
    on_frame: Callable[[Frame, Observation], None] | None = None,
    on_observation: Callable[[Observation, State], None] | None = None,
    *,
    run: int = 0,
    seed: int = 0,
    pose: Pose | None = None,
) -> dict[str, Any]:
    """Fly one run from reset to outcome.

    Args:
        simulator: the simulator to fly in.
        flight: decides the commands; contains the run afterwards.
        expert: computes a command for every frame, also when the pilot flies.
        pilot: called with every frame's observation while running; None when only the expert flies.
        on_frame: called with every frame and its observation, before the frame is flown.
        on_observation: called with every observation of the run, also while idle, and the episode's state,
            before the pilot.
        run: number of the run.
        seed: of the series of runs.
        pose: start pose; None for the plan's start pose.

    Returns:
        The run's description, as `Flight.facts`. A SimulatorError after the reset ends the run as
        `sim_failure`; Ctrl-C ends it as `aborted` and is raised again.

    Raises:
        UsageError: the expert and the episode have different directions along the route.
        SimulatorError: the reset failed.
    """
    reverse = flight.episode.reverse
    if expert.reverse != reverse:
        raise UsageError("the expert and the episode must go round the route the same way (reverse)")
    pose = start_pose(flight.plan, seed, run, "exact", reverse) if pose is None else pose
    begun = False
    try:
        observation = simulator.reset(pose, run_seed(seed, run))
        flight.begin(run, seed, observation)
        begun = True
        expert.reset(observation.pose)
        while True:
            command = expert.command(observation.scan, observation.pose)
            # A pilot with a state must not see the take-off: it is called for frames only.
            state = flight.observe(observation)
            if on_observation is not None:
                on_observation(observation, state)
            answer = pilot(observation) if pilot is not None and state is State.RUNNING else None
            decision = flight.decide(observation, command, answer)
            if decision.frame is not None and on_frame is not None:
                on_frame(decision.frame, observation)
            if decision.state is State.ENDED:
                return flight.run_metadata()
            observation = simulator.step(decision.segments)
    except SimulatorError as error:
        if not begun:
            raise
        flight.abort(str(error), Outcome.SIM_FAILURE)
        return flight.run_metadata()
    except KeyboardInterrupt:
        flight.abort("stopped by the operator")
        raise
