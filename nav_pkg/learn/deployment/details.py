"""Structure of a network, and the speed of its forward pass.

The speed covers only the network: the images are in memory in the format of its input. Reading, resizing
and the simulator are not included.
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
from nav_pkg.learn.deployment.export import TRACING
from nav_pkg.nets.registry import is_within

BATCHES = (1, 8, 32, 128)
"""Batch sizes to time; the best rate counts."""
MIN_PASSES, MAX_PASSES = 20, 2000
"""Smallest and largest number of timed forward passes for a latency."""
SLOW_FACTOR = 10
"""Three passes suffice after this many times the requested time, and at least `SLOW_SECONDS` seconds."""
SLOW_SECONDS = 5.0
MAX_DISAGREEMENT = 0.10
"""Largest relative difference between the medians of two halves; above it, the machine is noisy."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

Forward = Callable[[torch.Tensor], Any]


@dataclass(frozen=True)
class Structure:
    """Structure of a network.

    Attributes:
        feature_layers: convolutions before the head.
        decision_layers: linear layers, LSTMs, and convolutions in the head.
        parameters: number of weights.
        multiply_adds: for one image.
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
    """Speed of a network in one way of computing it.

    Attributes:
        p50: median seconds of a forward pass at batch 1.
        p99: 99th percentile of these.
        answers: number of timed passes at batch 1.
        agree: whether the medians of the first and the second half differ by less than `MAX_DISAGREEMENT`.
        rate: images per second at the best batch size.
        batch: the best batch size.
    """

    p50: float
    p99: float
    answers: int
    agree: bool
    rate: float
    batch: int


def build(name: str, seed: int = 0) -> Tuple[nn.Module, Tuple[int, ...]]:
    """Build a network in evaluation mode, and return it with the shape of one input.

    The shape is (3, height, width); (frames, ...) for a network of several frames, (1, ...) for a recurrent
    network.
    """
    options = nets.complete_options(name)
    net = nets.build(name, outputs=3, seed=seed, **options).eval()
    facts = nets.spec(name)
    image = (3, *facts.input_size)
    before = {"frame": (), "frames": (options.get("n_frames") or 3,), "recurrent": (1,)}[facts.kind]
    return net, (*before, *image)


class FirstOutput(nn.Module):
    """A network that returns one tensor: drops the state of a recurrent network."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The outputs for a batch of inputs, float32 (batch, outputs)."""
        outputs = self.net(images)
        return outputs[0] if isinstance(outputs, tuple) else outputs


def structure(name: str) -> Structure:
    """Measure the structure of a network.

    Raises:
        UsageError: the network does not exist.
    """
    from torch.utils.flop_counter import FlopCounterMode

    net, shape = build(name)
    head = nets.spec(name).head
    names = {module: key for key, module in net.named_modules()}
    sizes: List[int] = []
    convolutions = decisions = 0

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal convolutions, decisions
        # count only layers that run: in evaluation mode inception's auxiliary head does not
        convolutional = isinstance(module, CONVOLUTIONS) and not is_within(names[module], head)
        convolutions += convolutional
        decisions += not convolutional and isinstance(module, (*CONVOLUTIONS, nn.Linear, nn.LSTM))
        for tensor in output if isinstance(output, tuple) else (output,):
            if isinstance(tensor, torch.Tensor):
                sizes.append(tensor.numel() * tensor.element_size())

    hooks = [m.register_forward_hook(note) for m in net.modules() if not any(m.children())]
    with warnings.catch_warnings(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")  # about Intel GPUs, caused by the switch below
        # without oneDNN: its LSTM is a single operation that the counter does not know
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


def backends(device: str) -> Dict[str, str]:
    """The ways of computing a network, each with the reason why it is missing ("" if available)."""
    missing = "not installed"
    reasons = {name: "" for name in ("eager", "channels_last", "bfloat16", "compiled", "TorchScript")}
    installed = {
        "ONNX Runtime": importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"),
        "OpenVINO": importlib.util.find_spec("openvino"),
    }
    reasons.update({name: "" if spec else missing for name, spec in installed.items()})
    if device != "cpu":
        reasons.update({name: "measured on the CPU alone" for name in installed})
    return reasons


def prepare_backend(net: nn.Module, example: torch.Tensor, way: str, threads: int) -> Forward:
    """Prepare a network for one of the `backends`; the example has batch size 1."""
    answer = FirstOutput(net).eval()
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
            warnings.simplefilter("ignore")  # about its age
            return torch.jit.freeze(torch.jit.trace(answer, example, check_trace=False))
    program = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about batches of recurrent networks; here the state is internal
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
        forward: computes a batch of inputs.
        example: inputs of batch size 1.
        seconds: time to measure, half of it at batch size 1; each batch size gets at least two passes. A slow
            network takes up to `SLOW_FACTOR` times as long for each batch size.
        batches: batch sizes to try.
    """

    def once(images: torch.Tensor) -> float:
        begin = time.perf_counter()
        forward(images)
        if images.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    patience = max(SLOW_SECONDS, SLOW_FACTOR * seconds)
    with torch.no_grad():
        for number in range(3):  # warm-up: the first passes allocate buffers, and compile
            if once(example) > seconds and number:
                break
        times: List[float] = []
        begun = time.perf_counter()
        while len(times) < MAX_PASSES:
            taken = time.perf_counter() - begun
            if taken >= seconds / 2 and len(times) >= (3 if taken > patience else MIN_PASSES):
                break
            times.append(once(example))
        rates: Dict[int, float] = {1: 1 / statistics.median(times)}
        for batch in batches:
            if batch == 1:
                continue
            if batch * statistics.median(times) > 2 * patience:
                break  # larger batches would take minutes
            images = example.expand(batch, *example.shape[1:]).contiguous()
            once(images)  # warm-up: it may compile for this size
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
        agree=abs(medians[0] - medians[1]) < MAX_DISAGREEMENT * min(medians),
        rate=rates[best],
        batch=best,
    )


def details(
    name: str, devices: Sequence[str], seconds: float, threads: int, only: Sequence[str] = ()
) -> Dict[str, Any]:
    """Collect everything about a network as plain values.

    Args:
        name: of the network.
        devices: "cpu", "cuda".
        seconds: measurement time for each way and device.
        threads: number of processor threads.
        only: ways to measure; empty for all.

    Returns:
        The fields of `Structure`, `host_memory` in bytes (growth of this process), `gpu_memory` with a GPU,
        and `speed`: by device and way the fields of `Speed`, or `{"missing": why}`.

    Raises:
        UsageError: the network does not exist.
    """
    torch.set_num_threads(threads)
    before = _resident()
    net, shape = build(name)
    with torch.no_grad():
        net(torch.zeros(1, *shape))
    memory = _resident() - before
    result: Dict[str, Any] = {
        "network": name,
        **asdict(structure(name)),
        "host_memory": memory,
        "threads": threads,
        "speed": {},
    }
    for device in devices:
        example = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
        speeds: Dict[str, Any] = {}
        if device == "cuda":
            with torch.no_grad():
                net.to(device)(example)
            result["gpu_memory"] = torch.cuda.max_memory_allocated()
        for way, missing in backends(device).items():
            if missing or only and way not in only:
                speeds[way] = {"missing": missing or "not asked for"}
                continue
            speeds[way] = _measured(name, example, way, seconds, threads, device)
        result["speed"][device] = speeds
    return result


def _measured(
    name: str, example: torch.Tensor, way: str, seconds: float, threads: int, device: str
) -> Mapping[str, Any]:
    try:
        net = build(name)[0].to(device)
        return asdict(speed(prepare_backend(net, example, way, threads), example, seconds))
    except UsageError as error:
        return {"missing": str(error)}
    except Exception as error:  # compilers and exporters raise many types
        line: Optional[str] = next(iter(str(error).strip().splitlines()), None)
        return {"missing": f"{type(error).__name__}: {line or 'no message'}"[:200]}


def _resident() -> int:
    """Resident memory of this process, bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
