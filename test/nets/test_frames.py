"""Networks that take the last few frames: which frame goes where."""

import pytest
import torch

from nav_pkg import nets

NAMES = ["tiny_nfc_net", "tinyv3_3d_net"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_frames", [1, 3])
def test_they_take_as_many_frames_as_they_are_built_for(name, n_frames):
    net = nets.build(name, outputs=2, seed=0, n_frames=n_frames)
    assert net(torch.zeros(4, n_frames, 3, 128, 128)).shape == (4, 2)
    with pytest.raises(RuntimeError):
        net(torch.zeros(4, n_frames + 1, 3, 128, 128))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_frames_and_of_the_batch_matters(name):
    net = nets.build(name, seed=0).eval()
    images = torch.rand(2, 5, 3, 128, 128) - 0.5
    with torch.no_grad():
        given = net(images)
        assert not torch.allclose(net(images.flip(1)), given, atol=1e-4)
        assert torch.allclose(net(images.flip(0)), given.flip(0), atol=1e-6)


def test_nfc_net_sees_each_frame_with_the_same_features_oldest_first():
    net = nets.build("tiny_nfc_net", seed=0, n_frames=3).eval()
    images = torch.rand(1, 3, 3, 128, 128) - 0.5
    with torch.no_grad():
        features = torch.cat([net.features(images[:, i]).flatten(1) for i in range(3)], dim=1)
        by_hand = net.out(torch.relu(net.hidden(features)))
        assert torch.allclose(net(images), by_hand, atol=1e-6)
    # 3*10*6*6 + 10 + 10*20*3*3 + 20 + 3*8000*100 + 100 + 100*3 + 3
    assert nets.parameter_count(net) == 2910 + 2_400_100 + 303


def test_3d_net_is_tinyv3_net_over_the_channels_of_all_frames_oldest_first():
    net = nets.build("tinyv3_3d_net", seed=0, n_frames=3).eval()
    assert net.features[0].in_channels == 9
    images = torch.zeros(1, 3, 3, 128, 128)
    with torch.no_grad():
        nothing = net(images)
        net.features[0].weight[:, 3:] = 0  # blind but for the oldest frame
        images[:, 1:] = 0.5
        assert torch.equal(net(images), nothing)
        images[:, 0, 2] = 0.5
        assert not torch.equal(net(images), nothing)


def test_3d_net_with_one_frame_is_tinyv3_net():
    single_frame, plain = nets.build("tinyv3_3d_net", seed=4, n_frames=1), nets.build("tinyv3_net", seed=4)
    image = torch.rand(2, 3, 128, 128)
    assert torch.equal(single_frame(image.unsqueeze(1)), plain(image))
