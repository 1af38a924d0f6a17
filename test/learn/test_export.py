"""Exported files answer as their checkpoint does, and say so when they can't."""

import io
import re
from typing import Tuple

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nav_pkg import nets
from nav_pkg.cli import export as command
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.resize import resize
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.deployment import export, exported, exported_files
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.deployment.tensor_resize import TensorResize, filter_weights
from nav_pkg.session import arguments, session

CAMERA = (90, 160)


def pictures(count, seed=0):
    """Images that differ from each other and have edges of all widths, uint8 (*CAMERA, 3)."""
    random = np.random.RandomState(seed)
    images = []
    for _ in range(count):
        image = np.kron(random.randint(0, 256, (9, 16, 3)), np.ones((10, 10, 1)))
        images.append((image * 0.8 + random.randint(0, 50, image.shape)).astype(np.uint8))
    return images


def save(folder, network="tiny_net", mode="shifted", seed=1, **space):
    """A checkpoint of fresh weights; returns its file."""
    space, spec = ActionSpace(**space), nets.spec(network)
    Checkpoint(
        network=network,
        outputs=space.outputs,
        net_options=nets.complete_options(network),
        action_space=space,
        preprocessing=Preprocessing(size=spec.input_size, mode=mode),
        model_state_dict=nets.build(network, outputs=space.outputs, seed=seed).state_dict(),
    ).save(folder / "flown" / "my-model")
    return folder / "flown" / "my-model"


def make(folder, suffix=".onnx", images=4, **options):
    """An exported file of a checkpoint of fresh weights, and how near it is to it."""
    file, output = save(folder, **options), folder / f"exported{suffix}"
    parity = export.export(checkpoint.load(file), file, output, CAMERA, pictures(images))
    return output, parity


def fly(file, **more):
    """The pilot of an exported file of our own."""
    return exported.load_pilot(file, trust=exported.needs_trust(file), **more)


sides = st.integers(16, 400)


@settings(deadline=None, max_examples=50)
@given(
    sides, sides, st.tuples(st.integers(8, 300), st.integers(8, 300)), st.integers(0, 2**31), st.booleans()
)
@example(144, 144, (8, 8), 0, False)  # what a factor of 8 leaves could be halved once more
def test_resizing_gives_pillows_bytes(height, width, size, seed, harsh):
    image = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    if harsh:
        image = np.where(image > 127, 255, 0).astype(np.uint8)
    resized = TensorResize(height, width, size)(torch.from_numpy(image)[None])[0].permute(1, 2, 0)
    assert np.array_equal(resized.numpy(), resize(image, size))


@pytest.mark.parametrize("camera", [(360, 640), (480, 856), (308, 410), (480, 640)])
@pytest.mark.parametrize("size", [(128, 128), (224, 224), (299, 299)])
def test_resizing_of_real_cameras(camera, size):
    image = np.random.RandomState(7).randint(0, 256, (*camera, 3)).astype(np.uint8)
    resized = TensorResize(*camera, size)(torch.from_numpy(image)[None])[0].permute(1, 2, 0)
    assert np.array_equal(resized.numpy(), resize(image, size))


def test_filter_weights_by_hand():
    # 4 pixels to 2: triangles of half-width 2 around 1 and 3, over pixels centred at 0.5, 1.5, 2.5, 3.5
    weights = np.array([0.75, 0.75, 0.25, 0.0]) / 1.75
    assert np.array_equal(filter_weights(4, 2)[0], np.floor(weights * 2**22 + 0.5))
    assert np.array_equal(filter_weights(4, 2)[1], np.floor(weights[::-1] * 2**22 + 0.5))


@pytest.mark.parametrize("network", nets.names())
def test_every_network_as_onnx(tmp_path, network):
    _, parity = make(tmp_path, network=network, mode="scaled", images=3)
    assert parity.images == 3 and parity.equal == 1 and parity.scale > 0
    assert parity.largest <= 1e-5 * parity.scale + 1e-9


@pytest.mark.parametrize(
    "network", ["tiny_net", "tinyv3_net", "tinyv3_3d_net", "tiny_nfc_net", "tiny_LSTM_net", "res18_net"]
)
def test_networks_of_every_kind_as_torchscript(tmp_path, network):
    _, parity = make(tmp_path, ".pt", network=network, mode="none", images=7)
    assert parity.images == 7 and parity.equal == 1
    assert parity.largest <= 1e-5 * parity.scale


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
@pytest.mark.parametrize("space", [{"discrete": False}, {"discrete": False, "stochastic": True}])
def test_commands_are_the_checkpoints(tmp_path, suffix, space):
    output, _ = make(tmp_path, suffix, network="tiny_LSTM_net", **space)
    own, other = Pilot.load("flown", tmp_path), fly(output)
    assert isinstance(other, exported.ExportedPilot)
    for pilot in (own, other):
        pilot.reset(seed=3)
    for image in pictures(6, seed=2):
        own_command, other_command = own.command(image), other.command(image)
        assert own_command.x == other_command.x and other_command.yaw == pytest.approx(
            own_command.yaw, abs=1e-5
        )


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
@pytest.mark.parametrize("network", ["tiny_LSTM_net", "tiny_nfc_net"])
def test_the_past_counts_until_reset(tmp_path, suffix, network):
    pilot = fly(make(tmp_path, suffix, network=network)[0])
    first, second = pictures(2, seed=5)
    alone = pilot.outputs(second)
    pilot.reset()
    pilot.outputs(first)
    assert np.abs(pilot.outputs(second) - alone).max() > 1e-4
    pilot.reset()
    assert np.array_equal(pilot.outputs(second), alone)


def test_what_a_file_says_of_itself(tmp_path):
    import hashlib

    output, _ = make(tmp_path, network="tiny_LSTM_net", quantity=5, bound=0.8)
    description, loaded = exported.describe(output), checkpoint.load(tmp_path / "flown")
    assert (description.network, description.camera, description.outputs) == ("tiny_LSTM_net", CAMERA, 5)
    assert (description.action_space, description.preprocessing) == (
        loaded.action_space,
        loaded.preprocessing,
    )
    assert description.state == ((2, 1, 64), (2, 1, 64))
    assert (
        description.checkpoint == hashlib.sha256((tmp_path / "flown" / "my-model").read_bytes()).hexdigest()
    )
    assert description.versions["torch"] == str(torch.__version__)


def test_onnx_files_are_valid_and_hold_the_preprocessing(tmp_path):
    import onnx

    model = onnx.load(str(make(tmp_path)[0]))
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [*CAMERA, 3]


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, suffix):
    file, output = save(tmp_path), tmp_path / "here" / f"exported{suffix}"
    loaded = checkpoint.load(file)
    loaded.model_state_dict["out.weight"].fill_(3e38)  # what comes out is not finite
    output.parent.mkdir()
    (output.parent / f".{output.name}.4194305.tmp{suffix}").write_text("of a killed export")
    with pytest.raises(DataError, match="not kept: its outputs differ from the checkpoint"):
        export.export(loaded, file, output, CAMERA, pictures(2))
    assert list(output.parent.iterdir()) == []
    output.write_text("an earlier one")
    with pytest.raises(DataError, match="not kept"):
        export.export(loaded, file, output, CAMERA, pictures(2))
    assert [entry.name for entry in output.parent.iterdir()] == [output.name]
    assert output.read_text() == "an earlier one"


def test_parity_sees_another_preprocessing_and_other_weights(tmp_path):
    output, parity = make(tmp_path, mode="shifted")
    assert parity.holds(export.TOLERANCE)
    for different in ({"mode": "none"}, {"seed": 2}):
        own = Pilot.load(save(tmp_path, **different).parent)
        other = exported.load_pilot(output)
        assert not export.compare(own, other, pictures(4)).holds(export.TOLERANCE)


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_damage_is_found(tmp_path, suffix):
    output, _ = make(tmp_path, suffix, network="tinyv3_net")
    whole = output.read_bytes()
    for place in (len(whole) // 2, len(whole) // 3):
        output.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError, match="damaged") as error:
            fly(output)
        assert str(output) in str(error.value) and "\n" not in str(error.value)
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        output.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"export it again|copy it again"):
            fly(output)
    output.unlink()
    with pytest.raises(DataError, match="no such checkpoint: check --checkpoint_path"):
        fly(output)


def test_files_of_others_are_refused(tmp_path):
    file = tmp_path / "other.pt"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(file))
    with pytest.raises(DataError, match="not exported by nav_pkg"):
        fly(file)
    save(tmp_path).rename(file)
    with pytest.raises(DataError, match="not exported by nav_pkg"):
        fly(file)


class Attack(torch.nn.Module):
    """A network whose loading overwrites a file."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().mean()

    @torch.jit.export
    def __getstate__(self) -> Tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        mapped = torch.from_file(self.path, True, 64, dtype=torch.uint8)
        mapped.zero_()
        assert mapped.sum() == 0  # else the compiler leaves it out


@pytest.fixture
def attack(tmp_path):
    """An exported file that says what a good one does, and the file that it overwrites when it is loaded."""
    text, _ = exported_files.read_onnx(make(tmp_path)[0])
    program, victim = torch.jit.script(Attack(str(tmp_path / "victim"))), tmp_path / "victim"
    victim.write_bytes(b"x" * 64)
    data = io.BytesIO()
    torch.jit.save(program, data, _extra_files={exported_files.DESCRIPTION_KEY: text})
    torch.jit.load(io.BytesIO(data.getvalue()))
    assert victim.read_bytes() == bytes(64), "the attack works"
    victim.write_bytes(b"x" * 64)
    (tmp_path / "attack.pt").write_bytes(data.getvalue())
    return tmp_path / "attack.pt", victim


def test_a_torchscript_file_is_not_run_before_it_is_trusted(attack, tmp_path):
    file, victim = attack
    line = ["--summary_dir", str(tmp_path / "log"), "--checkpoint_path", str(file), "--alpha", "0"]
    for use in (
        lambda: exported.load_pilot(file),
        lambda: exported.describe(file),
        lambda: session.Session(*arguments.split(line), check_only=True),
    ):
        with pytest.raises(
            UsageError, match=re.escape(f"{file}: not loaded: a TorchScript file is a program")
        ):
            use()
    # nor is the camera, or another network, a reason to run it
    line += ["--trust_torchscript"]
    with pytest.raises(UsageError, match="exported for a camera of 160x90"):
        session.Session(*arguments.split(line), check_only=True)
    with pytest.raises(DataError, match="holds tiny_net, not tinyv3_net"):
        exported.load_pilot(file, network="tinyv3_net", trust=True)
    assert victim.read_bytes() == b"x" * 64


def test_a_torchscript_file_in_a_checkpoints_place_is_not_run(attack, tmp_path, monkeypatch):
    """torch before 2.6 hands such a file to torch.jit, also with weights_only."""
    file, victim = attack
    monkeypatch.setattr(torch, "load", lambda *_args, **_more: torch.jit.load(str(file)))
    (tmp_path / "log").mkdir()
    hidden = file.rename(tmp_path / "log" / "my-model")
    for path in (hidden, tmp_path / "log"):
        with pytest.raises(DataError, match="refused: no checkpoint but a program"):
            checkpoint.load(path)
    hidden.write_bytes(b"#!\n" + hidden.read_bytes())
    with pytest.raises(DataError, match="refused: no checkpoint but a program"):
        checkpoint.load(hidden)
    assert victim.read_bytes() == b"x" * 64


def test_trusting_a_file_is_said(tmp_path, capsys):
    file, _ = make(tmp_path, ".pt")
    fly(file)
    assert f"warning: {file}: --trust_torchscript: this file's code runs" in capsys.readouterr().err
    for use in (exported.load_pilot, exported.describe):
        with pytest.raises(UsageError, match="--trust_torchscript has no effect without a .pt file"):
            use(file.with_suffix(".onnx"), trust=True)


@pytest.mark.parametrize("place", ["/etc/passwd", "../secret", "weights", "*/_ORT_MEM_ADDR_/*"])
@pytest.mark.parametrize("nested", [False, True])
def test_values_in_other_files_are_refused(tmp_path, monkeypatch, place, nested):
    """Beside the file, too: an exported file is one file, and its checksum says nothing about others."""
    import onnx
    import onnxruntime

    file, _ = make(tmp_path)
    model = onnx.load(str(file))
    del model.metadata_props[-1]  # the checksum
    tensor = model.graph.initializer[0]
    if nested:  # within a branch
        graph = onnx.GraphProto(name="branch", initializer=[tensor])
        node = onnx.helper.make_node("If", ["condition"], ["y"], then_branch=graph, else_branch=graph)
        model.graph.node.append(node)
        tensor = model.graph.node[-1].attribute[1].g.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    file.write_bytes(exported_files.with_checksum(model.SerializeToString()))
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_args, **_more: pytest.fail("opened"))
    for use in (exported.load_pilot, exported.describe):
        with pytest.raises(DataError, match=re.escape(f"keeps values in another file ({place!r}): refused")):
            use(file)


@pytest.mark.parametrize(
    "key, value", [("camera", [100000, 100000]), ("camera", [90]), ("state", [[1 << 20, 1 << 20]])]
)
def test_sizes_that_can_not_be_take_no_memory(tmp_path, key, value):
    import json

    import onnx

    file, _ = make(tmp_path)
    model = onnx.load(str(file))
    del model.metadata_props[-1]
    (entry,) = model.metadata_props
    entry.value = json.dumps({**json.loads(entry.value), key: value})
    file.write_bytes(exported_files.with_checksum(model.SerializeToString()))
    with pytest.raises(DataError, match=rf"its description is not readable \({key}"):
        fly(file)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[1]",
        "{",
        "5",
        '{"net_options": {"n_frames": 1e999}}',
        '{"camera": Infinity}',
        "\ud800",
    ],
)
def test_a_description_that_is_none_is_one_line(text):
    with pytest.raises(DataError, match=r"\Ax.onnx: its description is not readable \(.*\): export it again"):
        exported.Description.from_text(text, "x.onnx")


def other_program(file, nodes, values, outputs=("outputs",), inputs=()):
    """Put another program into an exported file, which then has a checksum that fits."""
    import onnx
    from onnx import helper

    model = onnx.load(str(file))
    del model.metadata_props[-1]
    floats = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (*outputs, *inputs)
    ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, (*CAMERA, 3))
    given = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in values.items()]
    n = len(outputs)
    graph = helper.make_graph(nodes, "g", [image, *floats[n:]], floats[:n], given)
    model.graph.CopyFrom(graph)
    file.write_bytes(exported_files.with_checksum(model.SerializeToString()))


def test_programs_that_are_not_what_they_say(tmp_path):
    """Whoever writes a file can write a checksum that fits: what it does is one line, soon."""
    from onnx import TensorProto, helper

    file, _ = make(tmp_path)
    good = file.read_bytes()
    three = {"v": np.ones(3, np.float32)}
    same = helper.make_node("Identity", ["v"], ["outputs"])
    body = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_"]) for name in ("go", "x")],
        "body",
        [helper.make_tensor_value_info(*each) for each in (("i", 7, []), ("go", 9, []), ("x", 1, [3]))],
        [helper.make_tensor_value_info(*each) for each in (("go_", 9, []), ("x_", 1, [3]))],
    )
    for_ever = helper.make_node("Loop", ["n", "go", "v"], ["outputs"], body=body)
    filler = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    huge = helper.make_node("ConstantOfShape", ["n"], ["outputs"], value=filler)
    for program, text in (
        (([same], three, ("outputs",), ("other",)), "cannot be run .*other"),
        (([same], {"v": np.ones(2, np.float32)}), r"gives float32 \(2,\)"),
        (
            ([same, helper.make_node("Identity", ["v"], ["w"])], three, ("outputs", "w")),
            r"gives float32 \(3,\) \(3,\), not",
        ),
        (([for_ever], {**three, "n": np.int64(1 << 60), "go": np.bool_(True)}), "has Loop in it"),
        (([huge], {"n": np.array([1 << 55])}), "cannot be run"),
    ):
        file.write_bytes(good)
        other_program(file, *program)
        with pytest.raises(DataError, match=text):
            fly(file)


def test_a_file_larger_than_any_onnx_is_not_read(tmp_path):
    with open(tmp_path / "x.onnx", "wb") as file:
        file.truncate(60 << 30)
    with pytest.raises(DataError, match="larger than the 2,147,483,647 bytes"):
        fly(tmp_path / "x.onnx")


def test_a_name_without_an_end_means_onnx(tmp_path, data_root):
    save(tmp_path)
    words = ("--dataset", "easy", "--data_root", data_root, "--frames", 2, "--width", 64, "--height", 36)
    run(tmp_path, "-m", "flown", "--output", tmp_path / "net", *words)
    assert exported.describe(tmp_path / "net.onnx").camera == (36, 64)


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_another_cameras_image_is_refused(tmp_path, suffix):
    pilot = fly(make(tmp_path, suffix)[0])
    for image in (np.zeros((480, 640, 3), np.uint8), np.zeros((*CAMERA, 3), np.float32)):
        with pytest.raises(DataError, match="exported for uint8 images of 160x90 pixels: export it with"):
            pilot.command(image)


def test_another_camera_is_refused_before_the_flight(tmp_path):
    file, _ = make(tmp_path)
    line = ["--summary_dir", str(tmp_path / "log"), "--checkpoint_path", str(file), "--alpha", "0"]
    with pytest.raises(
        UsageError, match="exported for a camera of 160x90, this one's is 640x360: give --width 160"
    ):
        session.Session(*arguments.split(line), check_only=True)
    session.Session(*arguments.split([*line, "--width", "160", "--height", "90"]), check_only=True)


def test_an_exported_file_is_no_checkpoint(tmp_path):
    output, _ = make(tmp_path)
    with pytest.raises(DataError, match="an exported file: it flies, but for anything else its checkpoint"):
        checkpoint.load(output)
    with pytest.raises(UsageError, match="is exported already: give its checkpoint"):
        run(tmp_path, "-m", output, "--output", tmp_path / "again.pt")


def test_flags_that_contradict_the_file(tmp_path):
    output, _ = make(tmp_path)
    pilot = exported.load_pilot(output, speed=0.5, network="tinyv2", given={"discrete": True})
    assert pilot.command(pictures(1)[0]).x in (0.5, 0.8)
    assert (pilot.action_space.speed, pilot.action_space.turn_speed) == (0.5, 0.8)
    with pytest.raises(UsageError, match="--action_quantity 5: .* was trained with --action_quantity 3"):
        exported.load_pilot(output, given={"action_quantity": 5})
    with pytest.raises(DataError, match="holds tiny_net, not tinyv3_net"):
        exported.describe(output, network="tinyv3_net")


def test_a_folder_that_can_not_be_written_to(tmp_path, data_root):
    save(tmp_path)
    (tmp_path / "file").write_text("")
    words = ("--dataset", "easy", "--data_root", data_root, "--frames", 2, "--width", 64, "--height", 36)
    with pytest.raises(DataError, match="net.onnx: cannot write"):
        run(tmp_path, "-m", "flown", "--output", tmp_path / "file" / "net.onnx", *words)


def run(tmp_path, *words):
    return command.main(["--summary_dir", str(tmp_path), *map(str, words)])


def test_the_command(tmp_path, data_root, capsys):
    save(tmp_path)
    outputs = [tmp_path / "net.onnx", tmp_path / "net.pt"]
    arguments = ("-m", "flown", "--output", *outputs, "--width", 64, "--height", 36)
    assert run(tmp_path, *arguments, "--dataset", "easy", "--data_root", data_root, "--frames", 5) == 0
    out = capsys.readouterr().out
    assert out.count("5 images") == 2 and out.count("100 % equal commands") == 2
    assert all(
        exported.describe(file, trust=exported.needs_trust(file)).camera == (36, 64) for file in outputs
    )


@pytest.mark.parametrize(
    "words, kind, text",
    [
        (["--output", "a.pth"], UsageError, "--output a.pth: must end in .onnx or .pt"),
        (["--output", "a.pt"], UsageError, "does not state its training camera"),
        (["--output", "a.pt", "--width", "64"], UsageError, "both --width and --height"),
        (["--output", "a.pt", "--width", "9", "--height", "9"], UsageError, "9 is not 16 to 8192"),
        (["--output", "a.pt", "--width", "64", "--height", "36"], UsageError, "names no dataset"),
        (
            ["--output", "a.pt", "--width", "64", "--height", "36", "--images", __file__],
            DataError,
            "not an image",
        ),
        (["--output", "a.pt", "--tolerance", "0"], UsageError, "0 is not above 0"),
    ],
)
def test_wrong_use(tmp_path, words, kind, text):
    save(tmp_path)
    with pytest.raises(kind, match=text):
        run(tmp_path, "-m", "flown", *words)
    assert not list(tmp_path.glob("*.pt*"))
