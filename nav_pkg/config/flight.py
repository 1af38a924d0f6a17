"""The settings of a flight: who flies, how, from where, until when; and the sizes of images."""

from __future__ import annotations

from dataclasses import dataclass

from nav_pkg.config.setting import setting

START_MODES = ("varied", "exact", "route", "start")
"""How start poses are chosen; `start` is the earlier name of `exact`."""
_STARTS = (
    "varied: seeded, near the world's start pose; exact (earlier name: start): that pose; "
    "route: seeded, along the route"
)


@dataclass(frozen=True)
class FlightConfig:
    """Flights.

    These are flags of run_script.py, arguments of the launch files and parameters of the supervisor node.
    """

    alpha: float = setting(
        1.0, "probability, per frame, that the expert's command is executed instead of the learner's", float
    )
    alpha_schedule: str = setting(
        "constant",
        "how alpha changes from run to run: constant; linear, to alpha_end within alpha_runs runs; "
        "exponential, times alpha_decay a run but not below alpha_end (the beta of DAgger)",
        str,
    )
    alpha_end: float = setting(0.0, "alpha at the end of its schedule", float)
    alpha_runs: int = setting(10, "runs that a linear schedule of alpha takes", int)
    alpha_decay: float = setting(0.5, "factor of an exponential schedule of alpha, per run", float)
    epsilon: float = setting(0.0, "probability, per frame that the learner flies, of a random turn", float)
    epsilon_decay: float = setting(
        0.0, "rate at which epsilon falls with the runs: epsilon * exp(-epsilon_decay * run)", float
    )
    takeover_distance: float = setting(
        0.0, "distance to the route beyond which the expert takes over, m; 0: never", float
    )
    takeover_clearance: float = setting(
        0.0, "distance to the nearest obstacle below which the expert takes over, m; 0: never", float
    )
    expert: str = setting("bang_bang", "expert: bang_bang or continuous", str)
    speed: float = setting(0.8, "forward speed, m/s", float, of_robot=True)
    turn_speed: float = setting(0.8, "forward speed while turning, m/s", float, of_robot=True)
    z_pos: float = setting(1.0, "height, m", float, of_robot=True)
    control_delay: float = setting(
        0.1, "simulated seconds from an image to the command that answers it", float
    )
    noise: str = setting(
        "none",
        "noise on the executed command: none, ou (Ornstein-Uhlenbeck), uni (uniform) or gau (Gaussian)",
        str,
    )
    ou_theta: float = setting(0.05, "pull of Ornstein-Uhlenbeck noise towards 0, per frame", float)
    sigma_x: float = setting(0.0, "noise on the forward speed, m/s", float)
    sigma_y: float = setting(0.0, "noise on the sideward speed (left), m/s", float)
    sigma_z: float = setting(0.0, "noise on the vertical speed (up), m/s", float)
    sigma_yaw: float = setting(0.0, "noise on the yaw rate, rad/s", float)
    start: str = setting("varied", f"start pose: {_STARTS}", str)
    reverse: bool = setting(False, "fly the route clockwise")
    physics_step: float = setting(
        0.005, "physics step of the simulator, s; the control delay is a multiple of it", float
    )
    max_duration: float = setting(
        0.0, "simulated seconds after which a run ends as timeout; 0: the world's own", float
    )
    min_depth: float = setting(
        0.0,
        "distance to the nearest obstacle that counts as a collision, m; 0: the robot's or the world's own",
        float,
    )
    evaluation: bool = setting(False, "every run is an evaluation: the learner flies alone", short="-e")
    evaluate_every: int = setting(-1, "every N-th run is an evaluation; -1: none", int)
    final_evaluation_runs: int = setting(
        0, "the last N runs are evaluations; run_script.py flies them after --number_of_runs", int
    )
    shard: str = setting("", "k/n: fly only every n-th run, from the k-th on; empty: all", str)


@dataclass(frozen=True)
class CameraConfig:
    """Images."""

    width: int = setting(640, "camera width, pixels", int, of_robot=True)
    height: int = setting(360, "camera height, pixels", int, of_robot=True)
    depth_width: int = setting(160, "depth camera width, pixels", int, of_robot=True)
    depth_height: int = setting(90, "depth camera height, pixels", int, of_robot=True)
