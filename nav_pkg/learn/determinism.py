"""Making torch repeat itself, and run at full speed while it does.

With the same seed, data, versions and number of threads, on the same kind of machine, training
gives the same bytes. Another processor, another number of threads or another torch may change the
last bits of sums, and training amplifies them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

import torch


def cores() -> int:
    """The processor cores that this process may use: no more than OMP_NUM_THREADS, which a cluster sets."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        found = os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(found, int(asked)) if asked.isdigit() and int(asked) else found


def prepare(seed: int, threads: int) -> None:
    """Set torch up for a repeatable training run; call before any tensor is computed with.

    Args:
        seed: of torch's random states (CPU and GPU).
        threads: threads of one operation on the CPU.
    """
    # read by cuBLAS when it starts; without it, its sums depend on timing
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    _keep_memory()
    # Denormal numbers slow x86 down up to a hundredfold, and weights that decay reach them. The
    # worker threads inherit the setting from this one, so it has to come before they are started.
    torch.set_flush_denormal(True)
    # Some operations have no deterministic implementation on some GPUs; torch then says so once.
    # This call, unlike use_deterministic_algorithms, does not load the compiler, which takes a second.
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    # the default would fill every new tensor with nan just to be sure
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(seed)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3), /usr/include/malloc.h."""


def _keep_memory() -> None:
    """Let this process keep the memory of tensors that are freed, and take it in large pages.

    Activations and gradients are made and freed in each step. glibc would give the larger ones back to
    the system, which clears every page of the next ones anew: on two cores a third of tiny_LSTM_net's step.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read at torch's first allocation
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def random_states() -> dict[str, torch.Tensor]:
    """The random states of torch, for a checkpoint."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, torch.Tensor]) -> None:
    """Put torch's random states back."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
