"""The settings of a flight: mixing, expert, noise, start poses, limits; and the image sizes."""

from __future__ import annotations

from dataclasses import dataclass

from nav_pkg.config.setting import setting

START_MODES = ("varied", "exact", "route", "start")
"""How start poses are chosen; `start` is the earlier name of `exact`."""
_STARTS = (
    "varied (seeded, near the world's start pose), exact (the world's start pose; earlier name: start) "
    "or route (seeded, along the route)"
)


@dataclass(frozen=True)
class FlightConfig:
    """Flights.

    These are flags of run_script.py, arguments of the launch files and parameters of the supervisor node.
    """

    alpha: float = setting(
        1.0, "probability per frame that the expert's command is executed instead of the learner's", float
    )
    alpha_schedule: str = setting(
        "constant",
        "change of alpha from run to run: constant; linear (reaches alpha_end after alpha_runs runs); or "
        "exponential (times alpha_decay per run, not below alpha_end; the beta of DAgger)",
        str,
    )
    alpha_end: float = setting(0.0, "last value of a schedule of alpha", float)
    alpha_runs: int = setting(10, "number of runs of a linear schedule of alpha", int)
    alpha_decay: float = setting(0.5, "factor per run of an exponential schedule of alpha", float)
    epsilon: float = setting(0.0, "probability of a random turn, per frame in which the learner flies", float)
    epsilon_decay: float = setting(
        0.0, "decay of epsilon over the runs: epsilon * exp(-epsilon_decay * run)", float
    )
    takeover_distance: float = setting(
        0.0, "distance from the route above which the expert takes over, m; 0: never", float
    )
    takeover_clearance: float = setting(
        0.0, "distance to the nearest obstacle below which the expert takes over, m; 0: never", float
    )
    expert: str = setting("bang_bang", "kind of expert: bang_bang or continuous", str)
    speed: float = setting(0.8, "forward speed, m/s", float, of_robot=True)
    turn_speed: float = setting(0.8, "forward speed while turning, m/s", float, of_robot=True)
    z_pos: float = setting(1.0, "flight height, m", float, of_robot=True)
    control_delay: float = setting(
        0.1, "simulated seconds from an image to the command computed from it", float
    )
    noise: str = setting(
        "none",
        "noise on the executed command: none, ou (Ornstein-Uhlenbeck), uni (uniform) or gau (Gaussian)",
        str,
    )
    ou_theta: float = setting(0.05, "rate at which Ornstein-Uhlenbeck noise returns to 0, per frame", float)
    sigma_x: float = setting(0.0, "size of the noise on the forward speed, m/s", float)
    sigma_y: float = setting(0.0, "size of the noise on the sideward speed (left), m/s", float)
    sigma_z: float = setting(0.0, "size of the noise on the vertical speed (up), m/s", float)
    sigma_yaw: float = setting(0.0, "size of the noise on the yaw rate, rad/s", float)
    start: str = setting("varied", f"start pose: {_STARTS}", str)
    reverse: bool = setting(False, "fly the route in reverse (clockwise)")
    physics_step: float = setting(
        0.005, "physics step of the simulator, s; the control delay must be a multiple of it", float
    )
    max_duration: float = setting(
        0.0, "simulated seconds after which a run ends as timeout; 0: the world's limit", float
    )
    min_depth: float = setting(
        0.0,
        "distance to the nearest obstacle that counts as a collision, m; 0: the limit of robot or world",
        float,
    )
    evaluation: bool = setting(
        False, "make every run an evaluation, in which the learner flies alone", short="-e"
    )
    evaluate_every: int = setting(-1, "make every N-th run an evaluation; -1: none", int)
    final_evaluation_runs: int = setting(
        0, "make the last N runs evaluations; run_script.py adds them to --number_of_runs", int
    )
    shard: str = setting("", "k/n: fly only every n-th run, beginning with the k-th; empty: all", str)


@dataclass(frozen=True)
class CameraConfig:
    """Images."""

    width: int = setting(640, "camera width, pixels", int, of_robot=True)
    height: int = setting(360, "camera height, pixels", int, of_robot=True)
    depth_width: int = setting(160, "depth camera width, pixels", int, of_robot=True)
    depth_height: int = setting(90, "depth camera height, pixels", int, of_robot=True)
