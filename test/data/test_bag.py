"""Bags give the dataset that the recorder gives."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from nav_pkg.core import DataError, Pose
from nav_pkg.data import bag as bags
from nav_pkg.data import messages
from nav_pkg.data.bagfile import Connection, Deserialiser
from nav_pkg.data.reader import Dataset
from nav_pkg.data.verify import verify_dataset
from nav_pkg.data.writer import create_dataset

EPISODE = "nav_pkg/msg/Episode"
MESSAGE_FILE = Path(__file__).resolve().parents[2] / "msg" / "Episode.msg"
TYPES = {
    "episode": EPISODE,
    "expert": "geometry_msgs/msg/TwistStamped",
    "learner": "geometry_msgs/msg/TwistStamped",
    "odometry": "nav_msgs/msg/Odometry",
    "rgb": "sensor_msgs/msg/Image",
    "depth": "sensor_msgs/msg/Image",
    "scan": "sensor_msgs/msg/LaserScan",
}

STORAGES = ("tar",)


@pytest.fixture(scope="module")
def store():
    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg(MESSAGE_FILE.read_text(), EPISODE))
    return store


class Flight:
    """The messages of flights, in a plausible order of arrival."""

    def __init__(self, samples, store, learner=False):
        self.samples, self.types, self.learner = samples, store.types, learner
        self.clock = 1_000_000_000
        self.messages = []

    def make(self, kind, /, **values):
        return self.types[kind](**values)

    def header(self, stamp):
        time = self.make("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
        return self.make("std_msgs/msg/Header", seq=0, stamp=time, frame_id="")

    def vector(self, x=0.0, y=0.0, z=0.0):
        return self.make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)

    def twist(self, command):
        return self.make(
            "geometry_msgs/msg/Twist",
            linear=self.vector(command.x, command.y, command.z),
            angular=self.vector(z=command.yaw),
        )

    def stamped(self, stamp, command):
        return self.make(TYPES["expert"], header=self.header(stamp), twist=self.twist(command))

    def image(self, stamp, pixels, encoding):
        return self.make(
            TYPES["rgb"],
            header=self.header(stamp),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=pixels.strides[0],
            data=np.frombuffer(pixels.tobytes(), np.uint8),
        )

    def frame(self, number, i, state, start, outcome="", facts=""):
        """Everything that is said in one control period."""
        stamp, self.clock = self.clock, self.clock + 100_000_000
        frame = self.samples.frame(max(i, 0), learner=self.learner)
        pose = Pose(*frame.pose[:3], 0.01, 0.02, 0.1 * i)
        x, y, z, w = pose.quaternion()
        covariance = np.zeros(36)
        odometry = self.make(
            TYPES["odometry"],
            header=self.header(stamp),
            child_frame_id="",
            pose=self.make(
                "geometry_msgs/msg/PoseWithCovariance",
                pose=self.make(
                    "geometry_msgs/msg/Pose",
                    position=self.make("geometry_msgs/msg/Point", x=pose.x, y=pose.y, z=pose.z),
                    orientation=self.make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
                ),
                covariance=covariance,
            ),
            twist=self.make(
                "geometry_msgs/msg/TwistWithCovariance",
                twist=self.twist(frame.velocity),
                covariance=covariance,
            ),
        )
        ranges = self.samples.scan(i + 10, number)
        scan = self.make(
            TYPES["scan"],
            header=self.header(stamp),
            angle_min=-np.pi,
            angle_max=np.pi,
            angle_increment=0.1,
            time_increment=0.0,
            scan_time=0.1,
            range_min=0.12,
            range_max=3.5,
            ranges=ranges,
            intensities=np.zeros(0, np.float32),
        )
        episode = self.make(
            EPISODE,
            header=self.header(stamp),
            state=state,
            run=number,
            name=f"{number:05d}_esatv3",
            index=i,
            start=self.header(start).stamp,
            applied=self.twist(frame.applied),
            actor="expert",
            has_learner=self.learner,
            nearest_obstacle=frame.nearest,
            progress=frame.progress,
            outcome=outcome,
            facts=facts,
        )
        parts = {
            "rgb": self.image(stamp, self.samples.rgb(i + 10, number), "rgb8"),
            "depth": self.image(stamp, self.samples.depth(i + 10, number), "32FC1"),
            "scan": scan,
            "odometry": odometry,
            "expert": self.stamped(stamp, frame.expert),
        }
        if self.learner:
            parts["learner"] = self.stamped(stamp, frame.learner)
        self.messages += [(kind, stamp, message) for kind, message in parts.items()]
        self.messages.append(("episode", stamp, episode))

    def run(self, number, frames, outcome="success", end=True):
        """A flight: three idle frames, then so many running."""
        for _ in range(3):
            self.frame(number, -1, "idle", 0)
        start = self.clock
        for i in range(frames):
            last = end and i == frames - 1
            begin = {"seed": number, "world": "esatv3", "dataset": self.samples.description}
            facts = {**begin, "reason": "lap"} if last else begin if i == 0 else None
            self.frame(
                number,
                i,
                "ended" if last else "running",
                start,
                outcome if last else "",
                json.dumps(facts) if facts else "",
            )

    def record(self, path):
        """What the recorder makes of it."""
        create_dataset(path, self.samples.description)
        writer = None
        for _, group in itertools.groupby(self.messages, lambda item: item[1]):
            parts = {kind: message for kind, _, message in group}
            episode = parts["episode"]
            if episode.index < 0:
                continue
            if episode.index == 0:
                writer = self.samples.writer(path, episode.name, messages.run_facts(episode)[1])
            writer.add(
                messages.frame_from_messages(
                    episode, parts["odometry"], parts["expert"], parts.get("learner")
                ),
                messages.image_to_array(parts["rgb"]),
                messages.image_to_array(parts["depth"]),
                messages.scan_to_array(parts["scan"]),
            )
            if episode.state == "ended":
                writer.commit({**messages.run_facts(episode)[1], "outcome": episode.outcome})
        return path

    def bag(self, path, store, compression=None, without=()):
        """A bag of it; `without` lists (kind, how many-th of its kind)."""
        counts = {}
        writer = Writer(path)
        if compression:
            writer.set_compression(getattr(Writer.CompressionFormat, compression))
        with writer:
            connections = {
                kind: writer.add_connection(bags.BAG_TOPICS[kind], name, typestore=store)
                for kind, name in TYPES.items()
                if kind != "learner" or self.learner
            }
            for kind, stamp, message in self.messages:
                counts[kind] = counts.get(kind, -1) + 1
                if (kind, counts[kind]) not in without:
                    data = store.serialize_ros1(message, TYPES[kind])
                    writer.write(connections[kind], stamp, data)
        return path


@pytest.fixture
def flight(samples, store):
    flight = Flight(samples, store)
    flight.run(0, 6)
    flight.run(1, 5, outcome="collision")
    return flight


@pytest.mark.parametrize("compression", [None, "BZ2", "LZ4"])
def test_a_bag_gives_the_recorders_dataset(samples, store, flight, tmp_path, compression):
    recorded = samples.tree(flight.record(tmp_path / "recorded"))
    path = flight.bag(tmp_path / "flight.bag", store, compression)
    result = bags.bag_to_dataset([path], tmp_path / "made")
    assert samples.tree(tmp_path / "made") == recorded
    assert (len(result.runs), result.frames, result.dropped, result.notes) == (2, 11, [], [])
    bags.bag_to_dataset([path], tmp_path / "files", storage="files")
    assert Dataset(tmp_path / "files").content_hash() == Dataset(tmp_path / "made").content_hash()
    assert (tmp_path / "files/00000_esatv3/RGB/0000000005.jpg").exists()


def test_compressed_images_are_read(samples, store, flight, tmp_path, monkeypatch):
    """Of cameras that publish JPEG alone; PNG keeps the pixels, so that the raw images' dataset comes out."""
    cv2 = pytest.importorskip("cv2")
    recorded = samples.tree(flight.record(tmp_path / "recorded"))
    name = "sensor_msgs/msg/CompressedImage"
    for i, (kind, stamp, message) in enumerate(flight.messages):
        if kind == "rgb":
            pixels = messages.image_to_array(message)
            stored = cv2.imencode(".png", pixels[:, :, ::-1])[1].reshape(-1)
            compressed = flight.make(name, header=message.header, format="png", data=stored)
            flight.messages[i] = (kind, stamp, compressed)
    monkeypatch.setitem(TYPES, "rgb", name)
    result = bags.bag_to_dataset([flight.bag(tmp_path / "flight.bag", store)], tmp_path / "made")
    assert samples.tree(tmp_path / "made") == recorded
    assert (result.frames, result.dropped) == (11, [])


def test_the_learners_commands_and_any_order_of_arrival(samples, store, tmp_path):
    flight = Flight(samples, store, learner=True)
    flight.run(0, 30)
    recorded = samples.tree(flight.record(tmp_path / "recorded"))
    rng = random.Random(3)
    delays = [(stamp + rng.randrange(0, 500_000_000), i) for i, (_, stamp, _) in enumerate(flight.messages)]
    order = {kind: [] for kind in TYPES}
    for item in flight.messages:
        order[item[0]].append(item)
    shuffled = sorted(range(len(delays)), key=lambda i: delays[i])
    # each topic keeps its own order, as one connection does
    flight.messages = [order[flight.messages[i][0]].pop(0) for i in shuffled]
    result = bags.bag_to_dataset([flight.bag(tmp_path / "a.bag", store)], tmp_path / "made")
    assert not result.dropped
    assert samples.tree(tmp_path / "made") == recorded


def test_a_split_recording(samples, store, flight, tmp_path):
    recorded = samples.tree(flight.record(tmp_path / "recorded"))
    everything = flight.messages
    paths = []
    for number, part in enumerate((everything[:31], everything[31:])):
        flight.messages = part
        paths.append(flight.bag(tmp_path / f"{number}.bag", store))
    bags.bag_to_dataset(paths, tmp_path / "made")
    assert samples.tree(tmp_path / "made") == recorded


def test_every_frame_that_could_not_be_placed_is_reported(store, flight, tmp_path):
    without = [("depth", 5), ("episode", 12), ("expert", 13)]
    path = flight.bag(tmp_path / "a.bag", store, without=without)
    result = bags.bag_to_dataset([path], tmp_path / "made")
    assert [str(item) for item in result.dropped] == [
        "00000_esatv3 frame 2 at 1.500000000 s: no message of depth",
        "00001_esatv3 frame 0 at 2.300000000 s: no /episode message",
        "00001_esatv3 frame 1 at 2.300000000 s: no message of expert",
    ]
    runs = Dataset(tmp_path / "made").runs
    assert [(len(run), run.outcome) for run in runs] == [(5, "success"), (3, "collision")]
    assert runs[0].frames.stamp.tolist() == [0, 100_000_000, 300_000_000, 400_000_000, 500_000_000]
    assert [item["index"] for item in runs[0].facts["missing"]] == [2]
    assert not verify_dataset(Dataset(tmp_path / "made")).all_problems


def test_a_run_without_end_is_aborted(samples, store, tmp_path):
    flight = Flight(samples, store)
    flight.run(0, 4, end=False)
    flight.run(1, 4, end=False)
    path = flight.bag(tmp_path / "a.bag", store)
    result = bags.bag_to_dataset([path], tmp_path / "made")
    assert [run.outcome for run in Dataset(tmp_path / "made").runs] == ["aborted", "aborted"]
    assert len(result.notes) == 2
    for run in Dataset(tmp_path / "made").runs:
        assert run.facts["reason"] in result.notes[run.facts["seed"]]
        assert run.facts["labels"] == {"left": 1, "straight": 2, "right": 1}
        assert (run.facts["frames"], run.facts["actors"]["expert"]) == (4, 4)
        assert run.facts["duration"] == 0.3 and run.facts["distance"] == pytest.approx(0.24)


def test_what_a_run_with_gaps_counts_are_its_rows(store, flight, tmp_path):
    for _, _, message in flight.messages:
        facts = json.loads(getattr(message, "facts", "") or "{}")
        if facts:
            labels = {"left": 2, "straight": 3, "right": 1}
            message.facts = json.dumps({**facts, "frames": 6, "labels": labels, "distance": 0.48})
    path = flight.bag(tmp_path / "b.bag", store, without=[("depth", 5)])
    bags.bag_to_dataset([path], tmp_path / "made")
    run = Dataset(tmp_path / "made").runs[0]
    assert run.facts["labels"] == {"left": 2, "straight": 3, "right": 0}
    assert run.facts["distance"] == 0.48  # what was flown, whatever the bag kept of it
    assert not verify_dataset(Dataset(tmp_path / "made")).runs[0].problems


def test_a_cut_bag_is_read_as_far_as_it_goes(samples, store, flight, tmp_path):
    path = flight.bag(tmp_path / "a.bag", store)
    data = path.read_bytes()
    whole = samples.tree(flight.record(tmp_path / "recorded"))
    first = {name: data for name, data in whole.items() if name.startswith("00000_esatv3/")}
    rng = random.Random(1)
    best = 0
    for length in sorted(rng.sample(range(20, len(data)), 12)):
        cut = tmp_path / "cut.bag.active"
        cut.write_bytes(data[:length])
        try:
            result = bags.bag_to_dataset([cut], tmp_path / "made", overwrite=True)
        except DataError as error:
            assert "cut.bag.active" in str(error) and "\n" not in str(error)
            continue
        best = max(best, result.frames)
        assert not verify_dataset(Dataset(tmp_path / "made")).all_problems
        if len(result.runs) == 2:
            tree = samples.tree(tmp_path / "made")
            assert {name: tree[name] for name in first} == first
    assert best >= 6


def test_a_chunk_that_was_open_when_the_recorder_died(samples, store, flight, tmp_path):
    recorded = samples.tree(flight.record(tmp_path / "recorded"))
    data = flight.bag(tmp_path / "a.bag", store).read_bytes()

    def number(at):
        return int.from_bytes(data[at : at + 4], "little")

    index = data.index(b"index_pos=") + len("index_pos=")
    header = 13 + 8 + number(13) + number(13 + 4 + number(13))  # the first record's end
    size = header + 4 + number(header)
    end = size + 4 + number(size)
    data = data[:index] + bytes(8) + data[index + 8 : size] + bytes(4) + data[size + 4 : end]
    (tmp_path / "a.bag.active").write_bytes(data)
    result = bags.bag_to_dataset([tmp_path / "a.bag.active"], tmp_path / "made")
    assert samples.tree(tmp_path / "made") == recorded
    assert not result.dropped


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "cannot read: no such file"),
        (b"", "is empty"),
        (b"PK\x03\x04 something else", "not a ROS 1 bag"),
        (b"#ROSBAG V2.0\n", "no messages"),
        (b"#ROSBAG V2.0\n" + b"\xff" * 100, "no messages"),
    ],
)
def test_broken_bags_are_one_clear_line(tmp_path, content, message):
    path = tmp_path / "b.bag"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        bags.bag_to_dataset([path], tmp_path / "made")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_a_bag_of_something_else_names_its_topics(samples, store, flight, tmp_path):
    flight.messages = [item for item in flight.messages if item[0] == "scan"]
    path = tmp_path / "a.bag"
    with Writer(path) as writer:
        connection = writer.add_connection("/lidar", TYPES["scan"], typestore=store)
        for _, stamp, message in flight.messages:
            writer.write(connection, stamp, store.serialize_ros1(message, TYPES["scan"]))
    with pytest.raises(DataError, match=r"no /episode .*/lidar"):
        bags.bag_to_dataset([path], tmp_path / "made")


FACTS = {
    "5": "are no JSON object",
    "{": "not JSON, cut or damaged",
    "[" * 5000: "nested too deep|recursion",
    '{"dataset": 5}': "dataset is 5; it must be an object",
    '{"dataset": {"control_rate": {}}}': "control_rate is {}; it must be a number",
    '{"dataset": {"jpeg_quality": "x"}}': 'jpeg_quality is "x"; it must be a whole number',
    '{"missing": 3}': "missing is 3; it must be a list",
    '{"distance": "x"}': 'distance is "x"; it must be a number',
    '{"labels": {"left": -1}}': 'labels is {"left": -1}; it must be',
}


@pytest.mark.parametrize("facts", FACTS)
def test_facts_that_no_run_has_are_refused(samples, store, tmp_path, facts):
    flight = Flight(samples, store)
    flight.run(0, 3)
    for kind, _, message in flight.messages:
        if kind == "episode" and message.facts:
            message.facts = facts
    flight.bag(tmp_path / "f.bag", store)
    with pytest.raises(DataError, match=FACTS[facts]) as error:
        bags.bag_to_dataset([tmp_path / "f.bag"], tmp_path / "d")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert not (tmp_path / "d").exists() or Dataset(tmp_path / "d").runs == []


def test_numbers_that_are_not_finite_become_null(samples, store, tmp_path):
    flight = Flight(samples, store)
    flight.run(0, 3)
    last = flight.messages[-1][2]
    last.facts = last.facts.replace('"reason"', '"height": NaN, "nearest": Infinity, "reason"')
    flight.bag(tmp_path / "f.bag", store)
    bags.bag_to_dataset([tmp_path / "f.bag"], tmp_path / "d")
    (run,) = Dataset(tmp_path / "d").runs
    assert run.facts["height"] is None and run.facts["nearest"] is None and run.facts["reason"] == "lap"
    assert not verify_dataset(Dataset(tmp_path / "d")).all_problems


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("actor", "ghost", "actor 'ghost' is none"),
        ("index", 2**31 - 1, "follows frame 0; the bag is damaged"),
    ],
)
def test_messages_that_no_supervisor_sends_are_refused(samples, store, tmp_path, field, value, text):
    flight = Flight(samples, store)
    flight.run(0, 4)
    episodes = [message for kind, _, message in flight.messages if kind == "episode"]
    setattr(episodes[4], field, value)
    flight.bag(tmp_path / "f.bag", store)
    with pytest.raises(DataError, match=text):
        bags.bag_to_dataset([tmp_path / "f.bag"], tmp_path / "d")


def test_a_chunk_unpacks_to_no_more_than_it_states(samples, store, tmp_path):
    flight = Flight(samples, store)
    flight.run(0, 3)
    path = tmp_path / "f.bag"
    flight.bag(path, store, compression="BZ2")
    data = path.read_bytes()
    at = data.index(b"size=") + 5
    path.write_bytes(data[:at] + (100).to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(DataError, match="holds no frame of a running episode"):
        bags.bag_to_dataset([path], tmp_path / "d")


def test_a_definition_that_is_no_text(samples, store, tmp_path):
    flight = Flight(samples, store)
    flight.run(0, 3)
    path = tmp_path / "f.bag"
    flight.bag(path, store)
    path.write_bytes(path.read_bytes().replace(b"string name", b"string na\xffe"))
    with pytest.raises(DataError) as error:
        bags.bag_to_dataset([path], tmp_path / "d")
    assert str(error.value).isprintable() and len(str(error.value)) < 1000
    bad = Connection("/episode", "nav_pkg/Episode", "std_msgs/Header header\n\nstring na(me\n" * 20)
    with pytest.raises(
        DataError, match="/episode: a message is not the nav_pkg/Episode that the bag"
    ) as error:
        Deserialiser()(bad, b"")
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
