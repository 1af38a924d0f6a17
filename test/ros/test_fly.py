"""fly.launch on a ROS master of its own, with a camera and a joystick that fail one after the other."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nav_pkg import nets
from nav_pkg.core import DataError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.deployment import export

HERE = Path(__file__).parent
WIDTH, HEIGHT = 160, 90
LIMIT = 300
"""Seconds that a start or an end may take on a busy machine."""
INPUT_LIMITS = [f"{name}_limit:=1.0" for name in ("command", "image", "joystick")]
"""Long enough for a busy machine to fly at all; fly_client.py measures them."""
pytestmark = pytest.mark.skipif(shutil.which("rostest") is None, reason="ROS is not installed")


@pytest.fixture
def exported(tmp_path):
    """An exported LSTM of fresh weights that regresses the yaw rate."""
    Checkpoint(
        network="tiny_LSTM_net",
        outputs=1,
        net_options=nets.complete_options("tiny_LSTM_net"),
        action_space=ActionSpace(discrete=False),
        preprocessing=Preprocessing(size=nets.spec("tiny_LSTM_net").input_size),
        model_state_dict=nets.build("tiny_LSTM_net", outputs=1, seed=1).state_dict(),
    ).save(tmp_path / "my-model")
    file, image = tmp_path / "my-model", np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    export.export(checkpoint.load(file), file, tmp_path / "net.onnx", (HEIGHT, WIDTH), [image])
    return tmp_path / "net.onnx"


class Launch:
    """A running `roslaunch nav_pkg fly.launch`, output in a file."""

    def __init__(self, folder, *arguments):
        from nav_pkg.sim.gazebo import free_port

        port = free_port()
        self.output = folder / "launch.txt"
        self.environment = dict(
            os.environ,
            ROS_MASTER_URI=f"http://127.0.0.1:{port}",
            ROS_IP="127.0.0.1",
            ROS_LOG_DIR=str(folder / "ros"),
            PYTHONUNBUFFERED="1",
        )
        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                ["roslaunch", "-p", str(port), "nav_pkg", "fly.launch", *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def text(self):
        return self.output.read_text(errors="replace")

    def play(self, *arguments):
        """Run fly_client.py beside it, which has to be content."""
        output = self.output.with_name("client.txt")
        with open(output, "w") as file:
            client = subprocess.run(
                [sys.executable, str(HERE / "fly_client.py"), str(WIDTH), str(HEIGHT), *arguments],
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=1200,  # its own waits have limits
            )
        assert client.returncode == 0, f"{output.read_text()}\n{self.text()}"

    def says(self, text, limit=LIMIT):
        """Wait until it does."""
        deadline = time.monotonic() + limit
        while text not in self.text():
            assert time.monotonic() < deadline and self.process.poll() is None, self.text()
            time.sleep(0.1)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=LIMIT)


@pytest.fixture
def launch(tmp_path):
    """Starts fly.launch; it is stopped in the end."""
    started = []

    def start(*arguments):
        started.append(Launch(tmp_path, f"summary_dir:={tmp_path}", *arguments))
        return started[-1]

    yield start
    for launched in started:
        launched.stop()


def test_a_flight_in_which_everything_fails_once(exported, launch, tmp_path):
    flight = launch(f"checkpoint:={exported}", "num_threads:=1", *INPUT_LIMITS)
    flight.play()
    flight.process.wait(timeout=LIMIT)
    text = flight.text()
    assert f"error: image of {WIDTH}x{HEIGHT} 'rgb7': cv_bridge cannot convert it" in text
    assert "from image to command p50" in text and "Traceback" not in text

    (report,) = (tmp_path / "fly").glob("flight_*.json")
    facts = json.loads(report.read_text())
    assert facts["network"] == "tiny_LSTM_net" and facts["interventions"]["no_joystick"] >= 2
    assert 0 < facts["image_to_command"]["p50"] < 5  # p99 has the images that were stamped in the past
    assert 0 < facts["network_alone"]["p50"] <= facts["network_alone"]["p99"]
    assert facts["outputs"] > sum(facts["replaced_outputs"].values()) > 0

    from nav_pkg.data.bagfile import Bag

    (file,) = (tmp_path / "fly" / "bags").glob("*.bag*")
    assert file.suffix == ".bag"  # whole: not .active any more
    recorded = {connection.topic for connection in Bag(file).connections()}
    assert {"/cmd_vel", "/camera/rgb/image_raw", "/learner/cmd_vel", "/joy", "/diagnostics"} <= recorded


def test_an_interrupt_ends_in_zero_and_a_report(exported, launch, tmp_path):
    flight = launch(f"checkpoint:={exported}", "num_threads:=1", "bag:=false", *INPUT_LIMITS)
    flight.play("interrupt")
    flight.process.wait(timeout=LIMIT)
    assert "from image to command p50" in flight.text() and "Traceback" not in flight.text()
    assert len(list((tmp_path / "fly").glob("flight_*.json"))) == 1


def test_a_button_that_the_joystick_lacks(exported, launch):
    flight = launch(f"checkpoint:={exported}", "bag:=false", "button:=4")
    flight.says("no message from the joystick")
    joystick = subprocess.Popen(
        ["rostopic", "pub", "-r", "10", "/joy", "sensor_msgs/Joy", "{buttons: [0, 1]}"],
        env=flight.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        flight.process.wait(timeout=LIMIT)
    finally:
        joystick.kill()
        joystick.wait(timeout=LIMIT)
    assert "the joystick on /joy has 2 buttons, counted from 0; there is no button 4" in flight.text()


def test_a_robot_may_lack_sensors_that_a_node_does_not_need():
    from nav_pkg.ros.robot import load_robot

    robot = load_robot("bebop", needs=("command", "rgb"))
    assert (robot.command, robot.depth, robot.simulated) == ("/bebop/cmd_vel", "", False)
    with pytest.raises(DataError, match="robot bebop: its file lacks the topic 'depth'"):
        load_robot("bebop")
    with pytest.raises(UsageError, match="did you mean 'bebop'"):
        load_robot("bepop", needs=())


def test_limits_do_not_make_another_dataset():
    """They do not change what is recorded: a dataset from before they were there can be added to."""
    from nav_pkg.ros.robot import Sizes, load_robot

    robot = load_robot("drone")
    assert "guard" in robot.description
    assert "guard" not in Sizes().dataset_description(robot)["robot"]


@pytest.mark.parametrize(
    "topics, text",
    [
        ("{rgb: /a}", "lacks the topic 'command'"),
        ("{rgb: /a, command: }", "lacks the topic 'command'"),
        ("{rgb: /a, command: 5}", 'topics is .*"command": 5.*it must be'),
        ("{rgb: /a, command: /b, depth: /c d}", "topic depth is '/c d': give a name like"),
    ],
)
def test_topics_of_a_robot_that_can_not_be(tmp_path, topics, text):
    from nav_pkg.ros.robot import load_robot

    file = tmp_path / "mine.yaml"
    file.write_text(f"name: mine\ntopics: {topics}\n")
    with pytest.raises(DataError, match=text):
        load_robot(str(file), needs=("command", "rgb"))
