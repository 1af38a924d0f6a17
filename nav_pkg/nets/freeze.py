"""Freeze the feature layers of a network while its head learns."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from nav_pkg.nets.registry import complete_options, is_within, spec


def freeze_features(net: nn.Module, name: str, **options: Any) -> nn.Module:
    """Freeze the feature layers of a network: everything but the modules `spec(name).head`.

    Their parameters require no gradient. The layers stay in evaluation mode whatever mode the network is
    set to: no dropout inside, and batch normalisation neither uses the batch nor updates its statistics.
    (Without that, a network in training mode would drift although no frozen parameter changes.) The rest,
    including dropout directly before the head, trains as usual.

    The names in the state dict do not change, copies of the network stay frozen, and loading weights works
    as before.

    Args:
        net: the network, changed in place.
        name: the network's name in the registry.
        options: the options that the network was built with.

    Returns:
        The same network.

    Raises:
        UsageError: the network or an option is unknown.
    """
    complete_options(name, **options)
    head = spec(name).head
    for key, parameter in net.named_parameters():
        if not is_within(key, head):
            parameter.requires_grad_(False)
    _keep_in_evaluation(net, "", head)
    return net


def _keep_in_evaluation(module: nn.Module, name: str, head: tuple[str, ...]) -> None:
    """Keep the largest submodules that contain no part of the head in evaluation mode."""
    if name and is_within(name, head):
        return
    # never freeze the network as a whole: its mode selects what it returns
    if name and not any(is_within(part, (name,)) for part in head):
        # Set it on the instance, where nn.Module.train finds it when it recurses into the submodules. Unlike
        # a closure, a partial of a module-level function refers to the copy after a deep copy.
        module.train = functools.partial(_evaluation_only, module)
        module.eval()
        return
    for child, part in module.named_children():
        _keep_in_evaluation(part, f"{name}.{child}" if name else child, head)


def _evaluation_only(module: nn.Module, mode: bool = True) -> nn.Module:
    """Replace the `train` method of a frozen module."""
    return type(module).train(module, False)
