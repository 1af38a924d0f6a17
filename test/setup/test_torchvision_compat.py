import subprocess
import sys


def test_models_and_transforms_work():
    """In a process of its own: what is declared can not be declared again or taken back."""
    code = """
from nav_pkg.nets import torchvision_compat
torchvision = torchvision_compat.load()
assert torchvision_compat.load() is torchvision
import torch
from torchvision import models
from torchvision.transforms import v2
net = models.mobilenet_v3_small(weights=None).eval()
out = net(v2.Resize((64, 64))(torch.zeros(1, 3, 80, 80)))
assert out.shape == (1, 1000)
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
