"""Networks in figures: the published counts, and a measurement that says when it can't be trusted."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import torch

from nav_pkg import nets
from nav_pkg.cli import network_details as command
from nav_pkg.core import UsageError
from nav_pkg.learn.deployment import details as module
from nav_pkg.learn.deployment.details import Speed, backends, details, speed, structure
from nav_pkg.report.details import PUBLISHED, printed_parameters, published_table, speed_table

NOTEBOOK = Path(__file__).resolve().parents[2] / "scripts" / "parse_network_details.ipynb"


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_parameters_are_the_published_ones(name):
    count = nets.parameter_count(nets.build(name, outputs=3, seed=0))
    assert printed_parameters(count) == PUBLISHED[name].parameters


def test_structure_of_networks_that_can_be_counted_by_hand():
    tiny = structure("tiny_net")
    assert (tiny.feature_layers, tiny.decision_layers, tiny.parameters) == (2, 2, 8_199_009)
    assert tiny.input == (3, 128, 128)
    alex = structure("alex_net")
    assert (alex.feature_layers, alex.decision_layers) == (5, 3)
    # AlexNet has 714 million multiply-adds with 1000 classes (A. Krizhevsky, 2014; torchvision says 0.71)
    assert 0.70e9 < alex.multiply_adds < 0.72e9
    lstm = structure("tiny_LSTM_net")
    assert lstm.input[0] == 1 and lstm.parameters == 2_101_281
    assert lstm.multiply_adds > 4e6  # most of its weights are the LSTM's, each used once


def test_every_network_is_measured():
    for name in nets.names():
        net, shape = module.build(name)
        with torch.no_grad():
            assert module.FirstOutput(net)(torch.zeros(1, *shape)).shape[0] == 1


def test_a_latency_is_a_median_and_a_noisy_machine_is_told(monkeypatch):
    ticks = iter(range(10**6))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(ticks) * 0.001)
    example = torch.zeros(1, 3, 4, 4)
    measured = speed(lambda images: images, example, 0.5, (1, 8))
    assert isinstance(measured, Speed) and measured.agree
    assert (
        measured.p50 == pytest.approx(0.001) and measured.rate == pytest.approx(8000) and measured.batch == 8
    )
    slow = iter([0.001] * 27 + [0.002] * 1000)  # three readings of the clock an answer, and the warm-up
    now = [0.0]

    def clock():
        now[0] += next(slow)
        return now[0]

    monkeypatch.setattr(module.time, "perf_counter", clock)
    assert not speed(lambda images: images, example, 0.0, (1,)).agree


def test_ways_that_are_not_there_say_why():
    network = details("tinyv3_net", ["cpu"], 0.01, 1, ["eager", "TorchScript", "ONNX Runtime"])
    speeds = network["speed"]["cpu"]
    assert list(speeds) == list(backends("cpu")) == list(command.WAYS)
    for way in ("eager", "TorchScript"):
        assert speeds[way]["p50"] > 0 and speeds[way]["answers"] >= 20
    assert speeds["bfloat16"] == {"missing": "not asked for"}
    text = speed_table([network]).text()
    assert "not asked for" in text and "tinyv3_net" in text
    assert published_table([network]).rows == []  # it does not stand there


def test_the_command(tmp_path, capsys):
    words = ["--network", "tiny_net", "--ways", "eager", "--seconds", "0.01", "--summary_dir", str(tmp_path)]
    assert command.main(words) == 0
    out = capsys.readouterr().out
    assert "8*10^6 / 8*10^6" in out and "2 / 2" in out
    content = json.loads((tmp_path / "network_details/details.json").read_text())
    assert content["networks"][0]["host_memory"] > 0
    with pytest.raises(UsageError, match="--ways 'eagr'.*did you mean 'eager'"):
        command.main([*words, "--ways", "eagr"])
    with pytest.raises(UsageError, match="did you mean 'tiny_net'"):
        command.main(["--network", "tiny_ne"])


def test_the_notebook(monkeypatch):
    monkeypatch.setenv("NETWORKS", "tinyv3_net")
    monkeypatch.setenv("SECONDS", "0.01")
    names, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        for cell in json.loads(NOTEBOOK.read_text())["cells"]:
            if cell["cell_type"] == "code":
                assert not cell["outputs"]
                exec("".join(cell["source"]), names)
    assert out.getvalue().count("tinyv3_net") >= 2
