"""Callbacks that fail end their node at once, in the thread they fail in, with their exit code."""

import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("rostest") is None, reason="ROS is not installed")

NODE = """
import threading, time
from nav_pkg.core import DataError, LearnerError
from nav_pkg.ros import callbacks
def callback(what):
    {body}
    return what
call = callbacks.exit_on_error(callback, {code})
threading.Thread(target=call, args=("fine",)).start()
time.sleep({seconds})
print("still here")
"""


def node(body, code=None, seconds=300):
    program = NODE.format(body=body, code=code, seconds=seconds)
    return subprocess.run(["python3", "-c", program], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("code, ends", [(5, 5), (None, 3)])
def test_an_error_that_the_user_can_mend(code, ends):
    done = node("raise DataError('image: too small; take another camera')", code)
    assert (done.returncode, done.stdout) == (ends, "")
    assert done.stderr == "error: image: too small; take another camera\n"


@pytest.mark.parametrize("code, ends", [("LearnerError.code", 5), (None, 4)])
def test_a_bug(code, ends):
    done = node("raise RuntimeError('shapes\\n  differ')", code)
    assert (done.returncode, done.stdout) == (ends, "")
    assert "Traceback" in done.stderr and "in callback" in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line == "error: RuntimeError: shapes differ (a bug: the traceback is above)"


def test_a_callback_that_works():
    done = node("pass", seconds=0.2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "still here\n", "")


def test_while_ros_shuts_down_nothing_is_said():
    done = node("import rospy; rospy.signal_shutdown('test'); raise OSError('closed')", 5, seconds=0.5)
    assert done.returncode == 0 and "error:" not in done.stderr


@pytest.mark.parametrize("name, code", [("expert", 4), ("learner", 5)])
def test_expert_and_learner_end_at_a_message_they_cannot_answer(name, code, tmp_path):
    """The node's own callbacks, as they are handed to rospy, with a message that is none."""
    program = f"""
import rospy
from nav_pkg.ros import expert, learner, robot
handed = {{}}
rospy.Subscriber = lambda topic, kind, callback, *rest, **more: handed.update({{topic: callback}})
rospy.Publisher = rospy.Service = lambda *args, **more: handed.setdefault(args[0], args[-1])
if {name!r} == "expert":
    expert.ExpertNode(expert.Parameters())
    handed["/scan"](None, "scan")
else:
    learner.LiveLearner(None, robot.load_robot("drone"), 1)
    handed["/camera/rgb/image_raw"](None)
"""
    done = subprocess.run(
        ["python3", "-c", program],
        env=dict(os.environ, ROS_LOG_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == code
    assert "AttributeError" in done.stderr.splitlines()[-1]
