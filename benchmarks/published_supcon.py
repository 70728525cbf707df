"""The published way to tune encoders of Sentinel-1 and Sentinel-2 with two views, in plain PyTorch.

It follows the published experiment on METER-ML: each sensor has a whole network of its own, with a stem for either
sensor, of which one is idle; the augmented view, the original, and the original once more for the cross-entropy pass
one by one, three passes for each sensor; SupCon forms the whole matrix of cosines of all views. Its temperature and its
base temperature are the same, so that their quotient is left out. Activations are computed in place, which the
published text leaves open and which is the cheaper way.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

BANDS = {"s1": 2, "s2": 4}
_STEM, _HIDDEN, _EMBEDDING = 96, 4096, 128
_CONVOLUTIONS = ((192, True), (384, False), (384, False), (192, True))  # channels, and whether a pool follows


class SharedNet(nn.Module):
    """SmallAlexNet with a stem for each sensor, for images of 72 x 72.

    Args:
        width: Factor on all channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()

        def dim(full: int) -> int:
            return round(full * width)

        channels = dim(_STEM)
        self.stems = nn.ModuleDict(
            {name: nn.Sequential(*block(bands, channels, True)) for name, bands in BANDS.items()}
        )
        layers: list[nn.Module] = []
        for full, pooled in _CONVOLUTIONS:
            layers += block(channels, dim(full), pooled)
            channels = dim(full)
        layers.append(nn.Flatten())
        width_in = channels * 8 * 8
        for _ in range(2):
            layers += [
                nn.Linear(width_in, dim(_HIDDEN), bias=False),
                nn.BatchNorm1d(dim(_HIDDEN)),
                nn.ReLU(inplace=True),
            ]
            width_in = dim(_HIDDEN)
        self.trunk = nn.Sequential(*layers, nn.Linear(width_in, _EMBEDDING))

    def forward(self, images: Tensor, sensor: str) -> Tensor:
        """Embeds images (batch, band, 72, 72) of a sensor as (batch, 128), of length 1."""
        return normalize(self.trunk(self.stems[sensor](images)), dim=1)


class PublishedScenes(nn.Module):
    """Both networks and the head.

    Args:
        width: Factor on all channels.
        num_classes: Number of classes.
    """

    def __init__(self, width: float, num_classes: int) -> None:
        super().__init__()
        self.networks = nn.ModuleDict({name: SharedNet(width) for name in BANDS})
        self.head = nn.Linear(len(BANDS) * _EMBEDDING, num_classes)

    def loss(self, images: Mapping[str, Tensor], labels: Tensor, temperature: float) -> Tensor:
        """Returns cross-entropy plus SupCon.

        Args:
            images: Both views of each scene (batch, view, band, 72, 72) by sensor, the augmented one first.
            labels: Classes.
            temperature: Of SupCon.
        """
        views, originals = [], []
        for sensor, network in self.networks.items():
            seen = [network(images[sensor][:, view], sensor) for view in range(2)]
            views.append(torch.stack(seen, 1))
            originals.append(network(images[sensor][:, 1], sensor))
        contrast = supcon(torch.cat(views), labels.repeat(len(views)), temperature)
        return cross_entropy(self.head(torch.cat(originals, 1)), labels) + contrast

    @torch.no_grad()
    def take_weights(self, encoders: Mapping[str, nn.Module], head: nn.Linear) -> None:
        """Takes the weights of encoders, each of which has a stem and a trunk of the same sizes in the same order."""
        for sensor, encoder in encoders.items():
            network = self.networks[sensor]
            assert isinstance(network, SharedNet)
            own = [*network.stems[sensor].parameters(), *network.trunk.parameters()]
            for mine, given in zip(own, encoder.parameters(), strict=True):
                mine.copy_(given)
        self.head.load_state_dict(head.state_dict())

    def taken(self) -> list[nn.Parameter]:
        """Returns the weights that `take_weights` sets, in the order of the encoders', then those of the head."""
        found: list[nn.Parameter] = []
        for sensor, network in self.networks.items():
            assert isinstance(network, SharedNet)
            found += [*network.stems[sensor].parameters(), *network.trunk.parameters()]
        return [*found, *self.head.parameters()]


def block(in_dim: int, out_dim: int, pooled: bool) -> list[nn.Module]:
    """Returns a convolution with batch norm, ReLU and, if told, a pool."""
    pool = [nn.MaxPool2d(3, 2)] if pooled else []
    convolution = nn.Conv2d(in_dim, out_dim, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_dim), nn.ReLU(inplace=True), *pool]


def supcon(views: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Returns the mean over all views of SupCon (arXiv:2004.11362, Eq. 2).

    Args:
        views: Embeddings (sample, view, dim) of length 1.
        labels: Class of each sample.
        temperature: Divides the cosines.
    """
    rows, classes = views.flatten(0, 1), labels.repeat_interleave(views.shape[1])
    cosines = rows @ rows.T / temperature
    others = ~torch.eye(len(rows), dtype=torch.bool)
    logits = cosines - cosines.detach().amax(1, keepdim=True)
    chances = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    positives = (classes[:, None] == classes) & others
    return -((chances * positives).sum(1) / positives.sum(1)).mean()
