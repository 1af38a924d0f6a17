"""The guardian node passes the learner's commands to a real robot, limits them, and stops the robot.

It is the only node that commands the robot. It publishes a zero command if the deadman button is not pressed,
or if the image, the learner's command or the joystick message is too old.
"""

from __future__ import annotations

import threading
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import rospy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import Joy

from nav_pkg.control.command_guard import CommandGuard, GuardedCommand, Reason, RobotLimits
from nav_pkg.core import Command, UsageError
from nav_pkg.data import files
from nav_pkg.data.messages import command_from_twist
from nav_pkg.msg import LearnerStatus
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.callbacks import fail
from nav_pkg.ros.convert import twist_from_command
from nav_pkg.ros.robot import load_robot

DIAGNOSTICS_PERIOD = 1.0
"""Wall seconds between diagnostics; a change is published at once."""

REASON_TEXTS = {
    Reason.NO_JOYSTICK: "no message from the joystick: zero command",
    Reason.DEADMAN: "deadman button not pressed: zero command",
    Reason.NO_COMMAND: "the learner has not answered yet: zero command",
    Reason.STALE_COMMAND: "no new command of the learner: zero command",
    Reason.STALE_IMAGE: "the camera's image is too old: zero command",
    Reason.NOT_FINITE: "the learner's command is not finite: zero command",
    Reason.LIMITED: "the learner's command is over a limit: the limit is sent",
}


@dataclass
class Parameters:
    """Private parameters of the guardian node.

    Attributes:
        robot: robot name or file (topic names, speed limits).
        joystick: topic of the joystick, sensor_msgs/Joy.
        button: number of the deadman button, from 0.
        rate: of the commands to the robot, Hz.
        command_limit: seconds without a new command of the learner, then zero.
        image_limit: age in seconds of the answered image, then zero; 0: not looked at, for a camera whose
            stamps are of a clock of its own.
        joystick_limit: seconds without a joystick message, then zero.
        log_folder: where the flight's report goes; empty: nowhere.
    """

    robot: str = "drone"
    joystick: str = "/joy"
    button: int = 4
    rate: float = 50.0
    command_limit: float = 0.2
    image_limit: float = 0.2
    joystick_limit: float = 0.5
    log_folder: str = ""


class Guardian:
    """Publishes one command per period under all conditions, and a zero command at the end."""

    def __init__(self, parameters: Parameters):
        if parameters.button < 0 or parameters.rate <= 0:
            raise UsageError(
                f"guardian: ~button {parameters.button}, ~rate {parameters.rate:g}: the button is 0 or more, "
                "the rate above 0 Hz"
            )
        robot = load_robot(parameters.robot, needs=("command", "rgb"))
        self._parameters, self._period = parameters, 1.0 / parameters.rate
        self._guard = CommandGuard(
            RobotLimits.from_robot(robot.name, robot.description),
            self._period,
            parameters.command_limit,
            parameters.image_limit,
            parameters.joystick_limit,
        )
        self._lock = threading.Lock()
        self._stopping = False
        self._stopped = threading.Event()
        self._start_time = time.time()
        self._inference_seconds = array("d")
        self._network = ""
        self._late_outputs = 0
        self._resets = 0
        # queue_size=1: a subscriber that is slow gets the newest command, not an old one
        self._command = rospy.Publisher(robot.command, Twist, queue_size=1, tcp_nodelay=True)
        self._diagnostics = rospy.Publisher(topics.DIAGNOSTICS, DiagnosticArray, queue_size=10)
        rospy.on_shutdown(self._stop)
        for topic, kind, callback in (
            (parameters.joystick, Joy, self._on_joystick),
            (topics.LEARNER_COMMAND, TwistStamped, self._on_answer),
            (topics.LEARNER_STATUS, LearnerStatus, self._on_status),
        ):
            rospy.Subscriber(topic, kind, self._stop_on_error(callback), queue_size=10, tcp_nodelay=True)

    def _stop_on_error(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap a callback: its failure stops the robot, then ends the node."""

        def call(message: Any) -> None:
            try:
                callback(message)
            except Exception as error:
                if rospy.is_shutdown():
                    return
                self._stop()
                fail(error)

        return call

    def _on_joystick(self, message: Joy) -> None:
        if self._parameters.button >= len(message.buttons):
            raise UsageError(
                f"the joystick on {self._parameters.joystick} has {len(message.buttons)} buttons, "
                f"counted from 0; there is no button {self._parameters.button}: give another ~button"
            )
        with self._lock:
            self._guard.joystick(bool(message.buttons[self._parameters.button]), time.monotonic())

    def _on_answer(self, message: TwistStamped) -> None:
        command, stamp = command_from_twist(message.twist), message.header.stamp.to_sec()
        with self._lock:
            self._guard.answer(command, stamp, time.monotonic(), rospy.get_time())

    def _on_status(self, message: LearnerStatus) -> None:
        with self._lock:
            self._inference_seconds.append(message.latency)
            self._network = message.network

    def spin(self) -> None:
        """Publish until ROS shuts down."""
        # In a thread: rospy's signal handler runs `_stop` in the main thread, at any point of its code. There
        # it would wait for a lock that this thread itself holds, or an older decision would be sent after it.
        thread = threading.Thread(
            target=self._stop_on_error(lambda _: self._publish()), args=(None,), daemon=True
        )
        thread.start()
        while not rospy.is_shutdown():
            time.sleep(0.05)
        thread.join(timeout=5.0)

    def _publish(self) -> None:
        due = last_diagnostics = time.monotonic()
        while not rospy.is_shutdown():
            now = time.monotonic()
            with self._lock:
                decision = self._guard.decide(now, rospy.get_time())
                if not self._stopping:
                    self._command.publish(twist_from_command(decision.command))
                resets = self._guard.clock_resets
            if resets > self._resets:
                rospy.logwarn("guardian: time was set back: waiting for the learner's next answer")
                self._resets = resets
            if decision.reason_changed:
                self._log_reason(decision)
            if decision.reason_changed or now - last_diagnostics >= DIAGNOSTICS_PERIOD:
                self._publish_diagnostics(decision)
                last_diagnostics = now
            due += self._period
            wait = due - time.monotonic()
            if wait < -self._period:  # the machine was busy: continue from now, do not catch up
                self._late_outputs += 1
                due = time.monotonic()
            # wall time: a simulated clock that stands still must not delay a zero command
            time.sleep(max(wait, 0.0))

    def _log_reason(self, decision: GuardedCommand) -> None:
        if decision.reason is None:
            rospy.loginfo("guardian: the learner flies")
        elif decision.reason is Reason.LIMITED:  # alternates in every turn
            rospy.logwarn_throttle(10.0, f"guardian: {REASON_TEXTS[decision.reason]}")
        else:
            rospy.logwarn(f"guardian: {REASON_TEXTS[decision.reason]}")

    def _publish_diagnostics(self, decision: GuardedCommand) -> None:
        reason = decision.reason
        level = DiagnosticStatus.OK
        if reason is not None:
            expected = reason in (Reason.DEADMAN, Reason.LIMITED)
            level = DiagnosticStatus.WARN if expected else DiagnosticStatus.ERROR
        with self._lock:
            values = {str(reason): count for reason, count in self._guard.interventions.items()}
            values.update(
                outputs=self._guard.outputs, clock_resets=self._resets, late_outputs=self._late_outputs
            )
        message = DiagnosticArray()
        message.header.stamp = rospy.Time.now()
        message.status.append(
            DiagnosticStatus(
                level=level,
                name="guardian",
                message="the learner flies" if reason is None else REASON_TEXTS[reason],
                hardware_id=self._parameters.robot,
                values=[KeyValue(key, str(value)) for key, value in values.items()],
            )
        )
        self._diagnostics.publish(message)

    def _stop(self) -> None:
        """Publish zero as the last command; it has been sent when this returns."""
        with self._lock:
            self._stopping = True
        for _ in range(3):
            self._command.publish(twist_from_command(Command()))
            time.sleep(self._period)
        self._stopped.set()

    def report(self) -> None:
        """Print a summary of the flight after its end, and write it to a file."""
        self._stopped.wait(timeout=5.0)
        guard = self._guard
        facts = {
            "robot": self._parameters.robot,
            "network": self._network,
            "began": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._start_time)),
            "seconds": time.time() - self._start_time,
            "outputs": guard.outputs,
            "late_outputs": self._late_outputs,
            "clock_resets": guard.clock_resets,
            "interventions": {str(reason): count for reason, count in guard.interventions.items()},
            "replaced_outputs": {str(reason): count for reason, count in guard.replaced_outputs.items()},
            "image_to_command": guard.latency(),
            "network_alone": _percentiles(self._inference_seconds),
        }
        print(_summary(facts), flush=True)
        if self._parameters.log_folder:
            folder = Path(self._parameters.log_folder).expanduser()
            name = time.strftime("flight_%Y-%m-%d_%H-%M-%S.json", time.localtime(self._start_time))
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise files.disk_error(folder, error, "~log_folder") from error
            files.atomic_write(folder / name, files.to_json(facts), "~log_folder")
            print(f"guardian: report {folder / name}", flush=True)


def _percentiles(values: array) -> Any:
    if not values:
        return None
    p50, p99 = np.percentile(np.array(values), [50, 99])
    return {"p50": float(p50), "p99": float(p99), "count": len(values)}


def _summary(facts: Dict[str, Any]) -> str:
    replaced = sum(facts["replaced_outputs"].values())
    began = ", ".join(f"{name} {count}" for name, count in facts["interventions"].items() if count)
    lines = [
        f"guardian: {facts['outputs']} commands in {facts['seconds']:.1f} s, "
        f"{facts['outputs'] - replaced} of them the learner's; interventions: {began or 'none'}"
    ]
    for key, label in (("image_to_command", "from image to command"), ("network_alone", "network alone")):
        values = facts[key]
        if values:
            lines.append(
                f"guardian: {label} p50 {1000 * values['p50']:.1f} ms, p99 {1000 * values['p99']:.1f} ms "
                f"({values['count']} images)"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the guardian node until ROS shuts down."""
    node_tools.start("guardian")
    guardian = Guardian(node_tools.parameters(Parameters))
    guardian.spin()
    guardian.report()
