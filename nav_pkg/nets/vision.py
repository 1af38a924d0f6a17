"""torchvision's architectures, with `outputs` values instead of ImageNet's 1000 classes.

torchvision is imported only when a network is built, because the import takes seconds. Networks with batch
normalisation use the initialisation of torchvision or torch, which is designed for it. Networks without it,
except squeeze_net, use the same scheme as tiny_net.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from nav_pkg.nets import torchvision_compat
from nav_pkg.nets.init import unset, xavier
from nav_pkg.nets.registry import NetSpec, register

SIZE = (224, 224)

ALEX_FEATURES = 256 * 6 * 6
"""Number of values in the output of `alex_features` for an image."""

ALEX_WEIGHTS = "alexnet-owt-7be5be79.pth"


def _models() -> Any:
    return torchvision_compat.load().models


def _without_pooling(net: nn.Module) -> nn.Module:
    """Remove the adaptive pooling between the convolutions and the linear layers of AlexNet and VGG.

    At 224 pixels it has no effect, and its gradient has no deterministic implementation on CUDA.
    """
    net.avgpool = nn.Identity()
    return net


def alex_features() -> nn.Sequential:
    """The convolutions of AlexNet: (batch, 3, 224, 224) -> (batch, 256, 6, 6). Weights are uninitialised."""
    return unset(lambda: _models().alexnet().features)


@register(
    NetSpec(
        name="alex_net",
        input_size=SIZE,
        summary="AlexNet; 57,016,131 parameters",
        options=(("dropout", 0.5), ("batch_norm", False)),
        head=("classifier.6",),
        weights=ALEX_WEIGHTS,
    )
)
def alex_net(outputs: int, dropout: float = 0.5, batch_norm: bool = False) -> nn.Module:
    """AlexNet: 5 convolutions, 3 linear layers (57,016,131 parameters at 3 outputs).

    Args:
        outputs: number of output values.
        dropout: share of the values dropped before each hidden layer, in training mode.
        batch_norm: normalise after each convolution.
    """

    def construct() -> nn.Module:
        net = _without_pooling(_models().alexnet(num_classes=outputs, dropout=dropout))
        if batch_norm:
            layers = []
            for layer in net.features:
                layers.append(layer)
                if isinstance(layer, nn.Conv2d):
                    layers.append(nn.BatchNorm2d(layer.out_channels))
            net.features = nn.Sequential(*layers)
        return net

    return xavier(unset(construct))


@register(
    NetSpec(
        name="vgg16_net",
        input_size=SIZE,
        summary="VGG-16; 134,272,835 parameters",
        options=(("dropout", 0.5), ("batch_norm", False)),
        head=("classifier.5", "classifier.6"),
        weights="vgg16-397923af.pth",
        batch_norm_weights="vgg16_bn-6c64b313.pth",
    )
)
def vgg16_net(outputs: int, dropout: float = 0.5, batch_norm: bool = False) -> nn.Module:
    """VGG-16: 13 convolutions, 3 linear layers (134,272,835 parameters at 3 outputs).

    Args:
        outputs: number of output values.
        dropout: share of the values dropped after each hidden layer, in training mode.
        batch_norm: normalise after each convolution.
    """

    def construct() -> nn.Module:
        model = _models().vgg16_bn if batch_norm else _models().vgg16
        return _without_pooling(model(num_classes=outputs, dropout=dropout, init_weights=False))

    return xavier(unset(construct))


@register(
    NetSpec(
        name="inception_net",
        input_size=(299, 299),
        summary="Inception v3 with auxiliary output in training mode; 24,351,718 parameters",
        options=(("dropout", 0.5),),
        head=("dropout", "fc", "AuxLogits.fc"),
        weights="inception_v3_google-0cc3c7bd.pth",
    )
)
def inception_net(outputs: int, dropout: float = 0.5) -> nn.Module:
    """Inception v3 (24,351,718 parameters at 3 outputs).

    In training mode it returns torchvision's named tuple (logits, aux_logits), both
    (batch, outputs), and needs 2 images or more: the auxiliary output normalises maps of 1x1.

    Args:
        outputs: number of output values, also of the auxiliary output.
        dropout: share of the values dropped before the output layer, in training mode.
    """
    # Not torchvision's init_weights: its kernels with deviation 0.1 let the maps grow from layer to layer
    # until the running statistics of batch normalisation have caught up. Outputs in evaluation mode are 1e11
    # from scratch and hundreds after 20 batches. With torch's own layers they stay below 1.
    return _models().inception_v3(
        num_classes=outputs, dropout=dropout, aux_logits=True, transform_input=False, init_weights=False
    )


@register(
    NetSpec(
        name="res18_net",
        input_size=SIZE,
        summary="ResNet-18; 11,178,051 parameters",
        options=(("dropout", 0.0),),
        head=("avgpool", "fc"),
        weights="resnet18-f37072fd.pth",
    )
)
def res18_net(outputs: int, dropout: float = 0.0) -> nn.Module:
    """ResNet-18 (11,178,051 parameters at 3 outputs).

    Args:
        outputs: number of output values.
        dropout: share of the values dropped before the output layer, in training mode.
    """
    net = _models().resnet18(num_classes=outputs)
    # together with the pooling; neither has parameters: names in the state dict stay those of torchvision
    net.avgpool = nn.Sequential(net.avgpool, nn.Dropout(dropout))
    return net


@register(
    NetSpec(
        name="dense_net",
        input_size=SIZE,
        summary="DenseNet-121; 6,956,931 parameters",
        options=(("dropout", 0.0),),
        head=("classifier",),
        weights="densenet121-a639ec97.pth",
    )
)
def dense_net(outputs: int, dropout: float = 0.0) -> nn.Module:
    """DenseNet-121 (6,956,931 parameters at 3 outputs).

    Args:
        outputs: number of output values.
        dropout: share of the values dropped after each dense layer, in training mode.
    """
    return _models().densenet121(num_classes=outputs, drop_rate=dropout)


@register(
    NetSpec(
        name="squeeze_net",
        input_size=SIZE,
        summary="SqueezeNet 1.0 without its last ReLU; 736,963 parameters",
        options=(("dropout", 0.5),),
        head=("classifier",),
        weights="squeezenet1_0-b66bff10.pth",
    )
)
def squeeze_net(outputs: int, dropout: float = 0.5) -> nn.Module:
    """SqueezeNet 1.0 (736,963 parameters at 3 outputs).

    The output layer is a convolution and the mean over its map. torchvision has a ReLU between the two. It is
    removed: after it a regressed value could never be negative, and an output that is 0 for every image (all
    three outputs in 6 of 40 seeds) would never learn. The ReLU has no parameters.

    Args:
        outputs: number of output values.
        dropout: share of the values dropped before the output layer, in training mode.
    """
    net = _models().squeezenet1_0(num_classes=outputs, dropout=dropout)
    net.classifier[2] = nn.Identity()
    return net


@register(
    NetSpec(
        name="mobile_net",
        input_size=SIZE,
        summary="MobileNetV2; 2,227,715 parameters",
        options=(("dropout", 0.2),),
        head=("classifier",),
        weights="mobilenet_v2-b0353104.pth",
    )
)
def mobile_net(outputs: int, dropout: float = 0.2) -> nn.Module:
    """MobileNetV2 (2,227,715 parameters at 3 outputs).

    Args:
        outputs: number of output values.
        dropout: share of the values dropped before the output layer, in training mode.
    """
    return _models().mobilenet_v2(num_classes=outputs, dropout=dropout)
