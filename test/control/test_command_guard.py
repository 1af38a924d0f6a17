"""The guard before a real robot: what goes out, by hand-worked times; nobody sleeps here."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nav_pkg.control.command_guard import CommandGuard, Reason, RobotLimits
from nav_pkg.core import Command, DataError, UsageError
from nav_pkg.sim.description import read_robot

LIMITS = RobotLimits(Command(1.0, 0.5, 0.5, 1.0))
PERIOD = 0.02
GO = Command(x=0.8, yaw=0.5)
ZERO = Command()


class Bench:
    """A guard with the messages that come to it, at times that the test sets."""

    def __init__(self, **options):
        options = {"limits": LIMITS, "period": PERIOD, **options}
        self.guard = CommandGuard(**options)
        self.now = 100.0
        self.clock = 5.0
        self.stamp = None

    def go(self, seconds):
        """Time goes on, on both clocks."""
        self.now += seconds
        self.clock += seconds
        return self

    def joystick(self, pressed=True):
        self.guard.joystick(pressed, self.now)
        return self

    def answer(self, command=GO, age=0.03):
        self.stamp = self.clock - age
        self.guard.answer(command, self.stamp, self.now, self.clock)
        return self

    def decide(self):
        return self.guard.decide(self.now, self.clock)

    @property
    def reason(self):
        return self.decide().reason


@pytest.fixture
def flying():
    """A guard in the middle of a flight."""
    bench = Bench().joystick().answer()
    assert bench.decide().command == GO and bench.reason is None
    return bench


def test_before_anything_was_heard():
    bench = Bench()
    assert bench.decide() == (ZERO, Reason.NO_JOYSTICK, True)
    assert bench.decide() == (ZERO, Reason.NO_JOYSTICK, False)
    assert bench.joystick(False).reason is Reason.DEADMAN
    assert bench.joystick(True).reason is Reason.NO_COMMAND
    assert bench.answer().decide() == (GO, None, True)
    assert bench.decide() == (GO, None, False)


def test_a_released_button_is_zero_at_once_and_pressed_again_it_flies(flying):
    assert flying.joystick(False).decide()[:2] == (ZERO, Reason.DEADMAN)
    assert flying.joystick(True).decide()[:2] == (GO, None)
    assert flying.guard.interventions[Reason.DEADMAN] == 1


def silent(bench, refresh, limit):
    """Decide every period while `refresh` keeps all but one source fresh; seconds until zero is out."""
    begin = bench.now
    while bench.decide().command != ZERO:
        bench.go(PERIOD)
        refresh()
        assert bench.now - begin < 2 * limit
    return bench.now - begin


@pytest.mark.parametrize("limit", [0.1, 0.2])
def test_a_silent_learner_is_zero_within_the_limit(limit):
    bench = Bench(command_limit=limit).joystick().answer(age=0.0)
    passed = silent(bench, bench.joystick, limit)
    assert limit - 2.01 * PERIOD < passed <= limit + 1e-9
    assert bench.reason is Reason.STALE_COMMAND
    assert bench.answer().decide()[:2] == (GO, None)


@pytest.mark.parametrize("limit", [0.25, 0.5])
def test_a_lost_joystick_is_zero_within_the_limit(limit):
    bench = Bench(joystick_limit=limit).joystick().answer()
    assert silent(bench, bench.answer, limit) <= limit + 1e-9
    assert bench.reason is Reason.NO_JOYSTICK


def test_after_a_lost_joystick_the_button_has_to_be_pressed_anew(flying):
    flying.go(1.0).answer()
    assert flying.reason is Reason.NO_JOYSTICK
    assert flying.joystick(True).reason is Reason.DEADMAN
    assert flying.go(0.1).answer().joystick(True).reason is Reason.DEADMAN
    assert flying.joystick(False).reason is Reason.DEADMAN
    assert flying.joystick(True).decide()[:2] == (GO, None)


def test_an_old_image_is_zero_though_commands_come(flying):
    for _ in range(20):
        flying.go(0.02).joystick().answer(age=0.17)
        assert flying.reason is None  # 0.17 s, and a period until the next decision
    flying.go(0.02).joystick().answer(age=0.19)
    assert flying.decide()[:2] == (ZERO, Reason.STALE_IMAGE)
    assert flying.go(0.02).joystick().answer(age=0.05).reason is None


def test_a_camera_that_repeats_its_image_is_stale(flying):
    stamp = flying.stamp
    for _ in range(10):
        flying.go(0.02).joystick()
        flying.guard.answer(GO, stamp, flying.now, flying.clock)
    assert flying.decide()[:2] == (ZERO, Reason.STALE_IMAGE)


def test_images_stamped_by_another_clock():
    bench = Bench().joystick().answer(age=-3.0)
    assert bench.reason is Reason.STALE_IMAGE  # from the future
    bench = Bench(image_limit=0).joystick().answer(age=1000.0)
    assert bench.reason is None
    bench.go(0.19).joystick()
    assert bench.reason is Reason.STALE_COMMAND


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", ["x", "y", "z", "yaw"])
def test_what_is_not_finite_never_goes_out(flying, axis, value):
    flying.go(0.05).answer(GO._replace(**{axis: value}))
    assert flying.decide()[:2] == (ZERO, Reason.NOT_FINITE)
    assert flying.go(0.05).answer().decide()[:2] == (GO, None)
    assert flying.guard.interventions[Reason.NOT_FINITE] == 1


def test_limits_and_scale():
    limits = RobotLimits(Command(0.5, 0.1, 0.2, 1.0), scale=Command(0.1, 1.0, 2.0, 0.5))
    bench = Bench(limits=limits).joystick().answer(Command(0.8, -0.4, 0.1, -3.0))
    decision = bench.decide()
    assert decision.command == pytest.approx((0.05, -0.1, 0.2, -0.5))
    assert decision.reason is Reason.LIMITED
    assert bench.go(0.05).answer(Command(0.5, 0.1, 0.2, -1.0)).reason is None


def test_ros_time_that_goes_backwards(flying):
    flying.go(0.02).joystick()
    flying.clock = 0.5  # a simulator started over
    assert flying.decide()[:2] == (ZERO, Reason.NO_COMMAND)
    assert flying.guard.clock_resets == 1
    assert flying.answer().decide()[:2] == (GO, None)
    assert flying.guard.clock_resets == 1


def test_a_cameras_stamps_that_go_backwards():
    bench = Bench(image_limit=0).joystick().answer(age=0.0)
    bench.go(0.05).joystick().answer(age=3.0)  # its driver started over
    assert bench.guard.clock_resets == 1 and bench.decide()[:2] == (GO, None)
    bench.go(0.05).joystick()
    bench.guard.answer(Command(x=0.1), bench.stamp - 0.5, bench.now, bench.clock)  # late, out of order
    assert bench.decide().command == GO


def test_a_simulated_clock_that_stands_still(flying):
    clock = flying.clock
    flying.go(0.19).joystick()
    flying.clock = clock
    assert flying.decide()[:2] == (ZERO, Reason.STALE_COMMAND)


def test_counts_and_latency():
    bench = Bench().joystick()
    assert bench.guard.latency() is None
    for i in range(100):
        bench.go(0.02).joystick().answer(age=0.001 * (i + 1))
        bench.decide()
    bench.joystick(False)
    for _ in range(7):
        bench.decide()
    latency = bench.guard.latency()
    assert latency["count"] == 100 and latency["max"] == pytest.approx(0.1)
    assert latency["p50"] == pytest.approx(0.0505) and latency["p99"] == pytest.approx(0.09901)
    assert bench.guard.outputs == 107
    assert (
        bench.guard.interventions[Reason.DEADMAN] == 1 and bench.guard.replaced_outputs[Reason.DEADMAN] == 7
    )
    assert sum(bench.guard.replaced_outputs.values()) == 7


number = st.floats(allow_nan=True, allow_infinity=True, width=32)
events = st.one_of(
    st.tuples(st.just("go"), st.floats(0, 0.4)),
    st.tuples(st.just("joystick"), st.booleans()),
    st.tuples(st.just("answer"), st.builds(Command, number, number, number, number)),
    st.tuples(st.just("clock"), st.floats(0, 10)),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, max_size=40))
def test_whatever_happens_only_fresh_and_limited_commands_go_out(history):
    bench = Bench()
    pressed, heard, answered = False, -math.inf, -math.inf
    for kind, value in history:
        if kind == "go":
            bench.go(value)
        elif kind == "joystick":
            bench.joystick(value)
            pressed, heard = value, bench.now
        elif kind == "answer":
            bench.answer(value)
            answered = bench.now
        else:
            bench.clock = value
        command, reason, _ = bench.decide()
        assert command.finite and all(abs(v) <= most for v, most in zip(command, LIMITS.max_command))
        fresh = pressed and bench.now - heard <= 0.5 and bench.now - answered <= 0.2
        assert fresh or command == ZERO
        assert command == ZERO or reason in (None, Reason.LIMITED)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"period": 0.0}, "rate"),
        ({"period": 0.5}, "must be 10 Hz or more"),
        ({"command_limit": 0.0}, "command_limit 0 s"),
        ({"image_limit": 0.01}, "image_limit 0.01 s: must be at least two periods, 0.04 s"),
        ({"joystick_limit": math.inf}, "joystick_limit inf"),
    ],
)
def test_limits_that_can_not_be(options, text):
    with pytest.raises(UsageError, match=text):
        Bench(**options)


def test_limits_of_the_robot_files():
    for name in ("drone", "bebop"):
        limits = RobotLimits.from_robot(name, read_robot(name))
        assert (
            limits.max_command.finite
            and limits.scale.finite
            and limits.max_command.x > 0
            and limits.max_command.yaw > 0
        )


ALL = {"x": 1, "y": 0, "z": 0.5, "yaw": 1.0}


@pytest.mark.parametrize(
    "guard, text",
    [
        (None, "lacks guard: limits"),
        ({"limits": 1.0}, "lacks guard: limits"),
        ({"limits": {"x": 1.0, "y": 0.0, "z": 0.0}}, "guard: limits: yaw is None: give a finite number of 0"),
        ({"limits": {**ALL, "x": -1}}, "limits: x is -1"),
        ({"limits": {**ALL, "x": math.nan}}, "limits: x is nan"),
        ({"limits": {**ALL, "x": True}}, "limits: x is True"),
        ({"limits": {**ALL, "roll": 1}}, "limits: roll: known are x, y, z and yaw"),
        ({"limits": ALL, "scale": {"x": "much"}}, "scale: x is 'much'"),
    ],
)
def test_limits_that_a_robot_file_lacks(guard, text):
    with pytest.raises(DataError, match=text) as error:
        RobotLimits.from_robot("mine", {"guard": guard})
    assert "robot mine" in str(error.value)
