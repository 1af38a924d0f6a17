"""What a network is made of and how fast it answers.

Speed is measured on the network alone, on images that are in memory as it takes them, without reading,
resizing or a simulator.
"""

from __future__ import annotations

import importlib.util
import io
import os
import statistics
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.core import UsageError
from nav_pkg.learn.export import TRACING
from nav_pkg.nets.registry import under

BATCHES = (1, 8, 32, 128)
"""Batch sizes of which the best rate counts."""
FEWEST, MOST = 20, 2000
"""Answers that are timed for a latency."""
PATIENCE = 10
"""A measurement that has taken as many times its time, and `LEAST` seconds, is content with three answers."""
LEAST = 5.0
AGREE = 0.10
"""The medians of two halves of the measurement differ by less, or the machine is noisy."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

Forward = Callable[[torch.Tensor], Any]


@dataclass(frozen=True)
class Structure:
    """What a network is made of.

    Attributes:
        feature_layers: convolutions in front of the head.
        decision_layers: matrices, LSTMs, and convolutions in the head.
        parameters: weights.
        multiply_adds: of one image.
        activations: bytes of all layers' outputs for one image, float32.
        input: shape of one input, without the batch.
    """

    feature_layers: int
    decision_layers: int
    parameters: int
    multiply_adds: int
    activations: int
    input: Tuple[int, ...]


@dataclass(frozen=True)
class Speed:
    """How fast a network answers in one way of computing it.

    Attributes:
        p50: median seconds of one answer at batch 1.
        p99: their 99th percentile.
        answers: timed for these.
        agree: the medians of the first and the second half differ by less than `AGREE`.
        rate: images a second at the best batch.
        batch: that one.
    """

    p50: float
    p99: float
    answers: int
    agree: bool
    rate: float
    batch: int


def build(name: str, seed: int = 0) -> Tuple[nn.Module, Tuple[int, ...]]:
    """A network for answering, and the shape of one input of it.

    That is (3, height, width); of a network of several frames (frames, ...), of a recurrent one (1, ...).
    """
    options = nets.complete_options(name)
    net = nets.build(name, outputs=3, seed=seed, **options).eval()
    facts = nets.spec(name)
    image = (3, *facts.input_size)
    before = {"frame": (), "frames": (options.get("n_frames") or 3,), "recurrent": (1,)}[facts.kind]
    return net, (*before, *image)


class Answer(nn.Module):
    """A network whose answer is one tensor: without the state of a recurrent one."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The outputs for a batch of inputs, float32 (batch, outputs)."""
        found = self.net(images)
        return found[0] if isinstance(found, tuple) else found


def structure(name: str) -> Structure:
    """What a network is made of.

    Raises:
        UsageError: there is no such network.
    """
    from torch.utils.flop_counter import FlopCounterMode

    net, shape = build(name)
    head = nets.spec(name).head
    names = {module: key for key, module in net.named_modules()}
    sizes: List[int] = []
    convolutions = decisions = 0

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal convolutions, decisions
        # what runs counts: inception's auxiliary head does not, when it answers
        convolutional = isinstance(module, CONVOLUTIONS) and not under(names[module], head)
        convolutions += convolutional
        decisions += not convolutional and isinstance(module, (*CONVOLUTIONS, nn.Linear, nn.LSTM))
        for tensor in output if isinstance(output, tuple) else (output,):
            if isinstance(tensor, torch.Tensor):
                sizes.append(tensor.numel() * tensor.element_size())

    hooks = [m.register_forward_hook(note) for m in net.modules() if not any(m.children())]
    with warnings.catch_warnings(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")  # of Intel's GPUs, which the switch below speaks of
        # without oneDNN, whose LSTM is one operation that the counter does not know
        with torch.backends.mkldnn.flags(enabled=False):
            net(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return Structure(
        feature_layers=convolutions,
        decision_layers=decisions,
        parameters=nets.parameter_count(net),
        multiply_adds=counter.get_total_flops() // 2,
        activations=sum(sizes),
        input=shape,
    )


def ways(device: str) -> Dict[str, str]:
    """The ways of computing a network that are measured: by name, why one is not there ("" where it is)."""
    missing = "not installed"
    found = {name: "" for name in ("eager", "channels_last", "bfloat16", "compiled", "TorchScript")}
    installed = {
        "ONNX Runtime": importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"),
        "OpenVINO": importlib.util.find_spec("openvino"),
    }
    found.update({name: "" if there else missing for name, there in installed.items()})
    if device != "cpu":
        found.update({name: "measured on the CPU alone" for name in installed})
    return found


def prepared(net: nn.Module, example: torch.Tensor, way: str, threads: int) -> Forward:
    """A network, computed in one of the `ways`; the example is of batch 1."""
    answer = Answer(net).eval()
    if way == "eager":
        return answer
    if way == "channels_last":
        if example.dim() != 4:
            raise UsageError("channels_last: for networks of one image")
        answer = answer.to(memory_format=torch.channels_last)
        return lambda images: answer(images.contiguous(memory_format=torch.channels_last))
    if way == "bfloat16":

        def in_bfloat16(images: torch.Tensor) -> Any:
            with torch.autocast(images.device.type, torch.bfloat16):
                return answer(images)

        return in_bfloat16
    if way == "compiled":
        return torch.compile(answer, dynamic=False)
    if way == "TorchScript":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is old
            return torch.jit.freeze(torch.jit.trace(answer, example, check_trace=False))
    program = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of batches of recurrent networks, whose state is inside here
        torch.onnx.export(
            answer, (example,), program, input_names=["images"], **TRACING,
            dynamic_axes={"images": {0: "batch"}},
        )  # fmt: skip
    if way == "ONNX Runtime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(program.getvalue(), options, ["CPUExecutionProvider"])
        return lambda images: session.run(None, {"images": images.numpy()})
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(program.getvalue()), "CPU", {"INFERENCE_NUM_THREADS": threads}
    )
    return lambda images: compiled(images.numpy())


def speed(forward: Forward, example: torch.Tensor, seconds: float, batches: Sequence[int] = BATCHES) -> Speed:
    """Time a network.

    Args:
        forward: answers a batch of inputs.
        example: inputs of batch 1.
        seconds: to time for, half of them at batch 1; each batch size gets at least two answers. A slow
            network takes longer: up to `PATIENCE` times as long for each batch size.
        batches: sizes to try.
    """

    def once(images: torch.Tensor) -> float:
        begin = time.perf_counter()
        forward(images)
        if images.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    patience = max(LEAST, PATIENCE * seconds)
    with torch.no_grad():
        for number in range(3):  # the first ones make buffers, and compile
            if once(example) > seconds and number:
                break
        times: List[float] = []
        begun = time.perf_counter()
        while len(times) < MOST:
            taken = time.perf_counter() - begun
            if taken >= seconds / 2 and len(times) >= (3 if taken > patience else FEWEST):
                break
            times.append(once(example))
        rates: Dict[int, float] = {1: 1 / statistics.median(times)}
        for batch in batches:
            if batch == 1:
                continue
            if batch * statistics.median(times) > 2 * patience:
                break  # larger batches take minutes
            images = example.expand(batch, *example.shape[1:]).contiguous()
            once(images)  # it may compile for this size
            first = once(images)
            count = max(1, min(50, int(seconds / 2 / len(batches) / max(first, 1e-6))))
            rates[batch] = batch / statistics.median([first, *(once(images) for _ in range(count - 1))])
    half = len(times) // 2
    medians = statistics.median(times[:half]), statistics.median(times[half:])
    best = max(rates, key=lambda batch: rates[batch])
    return Speed(
        p50=statistics.median(times),
        p99=sorted(times)[min(len(times) - 1, int(0.99 * len(times)))],
        answers=len(times),
        agree=abs(medians[0] - medians[1]) < AGREE * min(medians),
        rate=rates[best],
        batch=best,
    )


def details(
    name: str, devices: Sequence[str], seconds: float, threads: int, only: Sequence[str] = ()
) -> Dict[str, Any]:
    """Everything about a network, as plain values.

    Args:
        name: of the network.
        devices: "cpu", "cuda".
        seconds: of timing for each way and device.
        threads: of the processor.
        only: ways to measure; empty for all.

    Returns:
        The fields of `Structure`, `host_memory` in bytes (what this process has grown by), `gpu_memory` where
        there is one, and `speed`: by device and way the fields of `Speed`, or `{"missing": why}`.

    Raises:
        UsageError: there is no such network.
    """
    torch.set_num_threads(threads)
    before = _resident()
    net, shape = build(name)
    with torch.no_grad():
        net(torch.zeros(1, *shape))
    memory = _resident() - before
    found: Dict[str, Any] = {
        "network": name,
        **asdict(structure(name)),
        "host_memory": memory,
        "threads": threads,
        "speed": {},
    }
    for device in devices:
        example = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
        said: Dict[str, Any] = {}
        if device == "cuda":
            with torch.no_grad():
                net.to(device)(example)
            found["gpu_memory"] = torch.cuda.max_memory_allocated()
        for way, missing in ways(device).items():
            if missing or only and way not in only:
                said[way] = {"missing": missing or "not asked for"}
                continue
            said[way] = _measured(name, example, way, seconds, threads, device)
        found["speed"][device] = said
    return found


def _measured(
    name: str, example: torch.Tensor, way: str, seconds: float, threads: int, device: str
) -> Mapping[str, Any]:
    try:
        net = build(name)[0].to(device)
        return asdict(speed(prepared(net, example, way, threads), example, seconds))
    except UsageError as error:
        return {"missing": str(error)}
    except Exception as error:  # compilers and exporters raise many kinds
        line: Optional[str] = next(iter(str(error).strip().splitlines()), None)
        return {"missing": f"{type(error).__name__}: {line or 'no message'}"[:200]}


def _resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
