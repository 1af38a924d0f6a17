"""Keeping the feature layers of a network as they are, while its head learns."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from nav_pkg.nets.registry import complete_options, spec, under


def freeze_features(net: nn.Module, name: str, **options: Any) -> nn.Module:
    """Freeze the feature layers of a network: everything but the modules `spec(name).head`.

    Their parameters ask for no gradient, and they stay in evaluation mode whatever mode the network
    is put into: no dropout inside, and batch normalisation neither follows the batch nor updates its
    statistics. (Without that, a network in training mode would drift although no frozen parameter
    changes.) The rest, dropout directly in front of the head included, trains as usual.

    Names in the state dict are unchanged, copies of the network stay frozen, and loading weights
    goes on as before.

    Args:
        net: the network, changed in place.
        name: its name in the registry.
        options: those that it was built with.

    Returns:
        The same network.

    Raises:
        UsageError: unknown network or option.
    """
    complete_options(name, **options)
    head = spec(name).head
    for key, parameter in net.named_parameters():
        if not under(key, head):
            parameter.requires_grad_(False)
    _keep_in_evaluation(net, "", head)
    return net


def _keep_in_evaluation(module: nn.Module, name: str, head: tuple[str, ...]) -> None:
    """Do so with the largest parts of a module that hold nothing of the head."""
    if name and under(name, head):
        return
    # the network itself is never frozen as a whole: its own mode says what it returns
    if name and not any(under(part, (name,)) for part in head):
        # On the instance, where nn.Module.train finds it when it goes through the parts. A partial
        # of a function at module level, unlike a closure, follows its module into deep copies.
        module.train = functools.partial(_evaluation_only, module)
        module.eval()
        return
    for child, part in module.named_children():
        _keep_in_evaluation(part, f"{name}.{child}" if name else child, head)


def _evaluation_only(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stands in for the `train` of a frozen module."""
    return type(module).train(module, False)
