"""The two formats of exported files: read the description and the program.

Reading a description runs no code of the file. ONNX is data: operators that onnxruntime knows. A
TorchScript file is a program. torch.jit runs part of it (`__setstate__`) while loading the file, with the
rights of the user. Such a file is therefore loaded only if the user trusts it explicitly.
"""

from __future__ import annotations

import hashlib
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, Tuple

import numpy as np
import torch

from nav_pkg.core import DataError, UsageError
from nav_pkg.reading import read_small

SUFFIXES = {".onnx": "onnx", ".pt": "torchscript"}
"""Format of an exported file by suffix."""

DESCRIPTION_KEY = "nav_pkg"
"""Name of the description in a file: an entry of ONNX's metadata, an extra file of TorchScript."""

REMEDY = "export it again with scripts/export.py"

LARGEST_ONNX = (2 << 30) - 1
"""Largest size of an ONNX file, bytes; protobuf has no larger messages."""

LARGEST_TEXT = 1 << 20
"""Largest size of a description, bytes; nav_pkg writes about a thousand."""

RunProgram = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
"""A program: takes an image (or the last frames) and a state, returns the outputs and the next state."""

PrepareProgram = Callable[[str, int], RunProgram]
"""Prepares a file's program for a device and a number of threads."""


# ONNX: a protobuf message may be cut and joined anywhere between fields. The checksum is therefore the last
# entry of the metadata, of known length, and covers all bytes before it.


def _checksum_field(digest: str) -> bytes:
    key = f"{DESCRIPTION_KEY}_sha256".encode()
    entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(digest)]) + digest.encode()
    return b"\x72" + bytes([len(entry)]) + entry  # field 14 of ModelProto: metadata_props


def with_checksum(model: bytes) -> bytes:
    """Append the SHA-256 of an ONNX file's bytes as the last entry of the metadata."""
    return model + _checksum_field(hashlib.sha256(model).hexdigest())


def _check_onnx(file: Path, data: bytes) -> None:
    size = len(_checksum_field("0" * 64))
    field = _checksum_field(hashlib.sha256(data[:-size]).hexdigest())
    if data[-size:] != field:
        has_field = data[-size:].startswith(field[: size - 64])
        damage = "damaged (wrong checksum)" if has_field else "cut, or not exported by nav_pkg"
        raise DataError(f"{file}: {damage}: copy it again, or {REMEDY}")


def _external_locations(message: Any) -> Iterator[str]:
    """Yield the locations of tensors, at any depth of an ONNX message, whose values lie outside the file."""
    if message.DESCRIPTOR.full_name == "onnx.TensorProto":
        if message.data_location or len(message.external_data):
            yield next((entry.value for entry in message.external_data if entry.key == "location"), "")
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            yield from _external_locations(part)


def _subgraph_operators(graph: Any) -> Iterator[str]:
    """Yield the operators of an ONNX graph that contain subgraphs: loops may never end."""
    for node in graph.node:
        if any(attribute.HasField("g") or len(attribute.graphs) for attribute in node.attribute):
            yield node.op_type


def read_onnx(file: Path) -> Tuple[str, PrepareProgram]:
    """Read the description of an ONNX file, and return it with the function that prepares its program.

    Raises:
        DataError: the file is damaged, not exported by nav_pkg, or keeps values in other files. nav_pkg never
            writes such files: the checksum does not cover them, and a path can lead to any file of the user.
        UsageError: onnx or onnxruntime is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f"{file}: flying ONNX needs {error.name}: pip install onnx onnxruntime, or fly the checkpoint"
        ) from None
    data = read_small(file, LARGEST_ONNX)
    _check_onnx(file, data)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # types of protobuf
        raise DataError(f"{file}: not an ONNX file: {REMEDY}") from error
    for location in _external_locations(model):
        raise DataError(
            f"{file}: keeps values in another file ({location!r}): refused, since an exported file is one "
            f"file, and its checksum says nothing about others: {REMEDY}"
        )
    for operator in [*_subgraph_operators(model.graph), *(["functions"] if len(model.functions) else [])]:
        raise DataError(
            f"{file}: has {operator} in it, which no network here needs and which may never end: {REMEDY}"
        )
    text = next((entry.value for entry in model.metadata_props if entry.key == DESCRIPTION_KEY), "")
    del model

    def prepare(device: str, threads: int) -> RunProgram:
        if device == "cuda":
            raise UsageError("--device cuda: ONNX files are computed on the CPU here: leave it out")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # read the checked bytes as ONNX, never as onnxruntime's other format
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # types of onnxruntime; the bytes are intact
            reason = " ".join(str(error).split())
            raise DataError(f"{file}: this onnxruntime cannot run it ({reason}): {REMEDY}") from error
        names = [item.name for item in session.get_inputs()]

        def run(values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            try:
                return session.run(None, dict(zip(names, values)))
            except (
                Exception
            ) as error:  # types of onnxruntime, for a program that requests something unavailable
                reason = " ".join(str(error).split())[:300]
                raise DataError(f"{file}: cannot be run ({reason}): {REMEDY}") from error

        return run

    return text, prepare


def read_torchscript(file: Path) -> Tuple[str, PrepareProgram]:
    """Read the description of a TorchScript file; return it with the function that prepares its program.

    Reading runs no code of the file; preparing does.

    Raises:
        DataError: the file is damaged, or not exported by nav_pkg.
    """
    try:
        # as for checkpoints: torch does not check the archive's checksums
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            own = [item for item in archive.infolist() if item.filename.endswith(f"/extra/{DESCRIPTION_KEY}")]
            text = archive.read(own[0]) if own and own[0].file_size <= LARGEST_TEXT else b""
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{file}: damaged or no TorchScript file ({error}): {REMEDY}") from error
    if damaged:
        raise DataError(f"{file}: damaged ({damaged} has a wrong checksum): copy it again, or {REMEDY}")
    if not own:
        raise DataError(f"{file}: not exported by nav_pkg: {REMEDY} (a checkpoint is called my-model)")

    def prepare(device: str, _threads: int) -> RunProgram:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the end of TorchScript's development
                program = torch.jit.load(str(file), map_location=device).eval()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{file}: this torch cannot run it ({reason}): {REMEDY}") from error

        def run(values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            with torch.inference_mode():
                answers = program(*(torch.from_numpy(np.array(value)).to(device) for value in values))
            answers = answers if isinstance(answers, tuple) else (answers,)
            return [answer.cpu().numpy() for answer in answers]

        return run

    return text.decode("utf-8", "replace"), prepare


READERS = {"onnx": read_onnx, "torchscript": read_torchscript}
"""Readers by format."""
