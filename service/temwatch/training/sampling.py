"""Tiles for training: how they are chosen and varied; number i is the same tile in every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from temwatch.analysis.segmentation.neighbours import noise
from temwatch.analysis.segmentation.preprocessing import LIMIT, NOISY
from temwatch.training.datasets import LabelledMicrograph, Labels
from temwatch.training.lettering import add_lettering
from temwatch.training.recipes import Augmentation, Recipe
from temwatch.training.targets import contact_lines, targets

Tile = dict[str, torch.Tensor]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Window:
    """A square of a picture: centre and side in its pixels."""

    picture: int
    row: float
    column: float
    side_px: float


class Tiles(Dataset[Tile]):
    """Endless tiles by number. The same recipe, seed, pictures and number give the same tile."""

    def __init__(
        self,
        recipe: Recipe,
        labelled: Sequence[LabelledMicrograph],
        simulated: Sequence[LabelledMicrograph],
        *,
        seed: int,
    ) -> None:
        self.recipe, self.seed = recipe, seed
        self.labelled, self.simulated = labelled, simulated
        self.grid = [window for number, item in enumerate(labelled) for window in _grid(number, item, recipe)]
        self._chances = {False: _chances(labelled), True: _chances(simulated)}
        self._known_noise: dict[tuple[bool, int], bool] = {}
        self._known_positions: dict[tuple[bool, int], tuple[Places, Places]] = {}

    def steps_per_epoch(self) -> int:
        """Number of batches that cover the grid once."""
        return max(1, len(self.grid) // self.recipe.batch)

    def __getitem__(self, key: tuple[int, float]) -> Tile:
        """Tile of this number; the second part of the key is the share of simulated micrographs."""
        number, simulated_share = key
        random = np.random.default_rng((self.seed, number))
        simulated = bool(self.simulated) and random.random() < simulated_share
        pictures = self.simulated if simulated else self.labelled
        if self.recipe.tiles == "grid" and not simulated:
            epoch, place = divmod(number, self.steps_per_epoch() * self.recipe.batch)
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.grid))
            window = self.grid[order[place]]
        else:
            window = self._random_window(pictures, simulated, random)
        low, high = self.recipe.augmentation.scale
        scale = np.exp(random.uniform(np.log(low), np.log(high)))
        if len(self.recipe.noisy_sizes) > 1 and self._noisy(simulated, window.picture):
            scale *= self.recipe.noisy_sizes[random.integers(len(self.recipe.noisy_sizes))]
        window = Window(window.picture, window.row, window.column, window.side_px / scale)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random.integers(2**62)))
            return _tile(pictures[window.picture], window, self.recipe)

    def _random_window(
        self, pictures: Sequence[LabelledMicrograph], simulated: bool, random: np.random.Generator
    ) -> Window:
        number = int(random.choice(len(pictures), p=self._chances[simulated]))
        labels = pictures[number].labels
        row, column = random.uniform((0, 0), labels.shape)
        kind = random.random()
        if kind < self.recipe.contact_share + self.recipe.particle_share:
            contacts, particles = self._positions(simulated, number, labels)
            places = contacts if kind < self.recipe.contact_share and len(contacts) else particles
            if len(places):
                row, column = places[random.integers(len(places))] + random.normal(0, 30, 2)
        return Window(number, row, column, self.recipe.tile_px / self.recipe.enlarge)

    def _noisy(self, simulated: bool, number: int) -> bool:
        """Whether weights would look at smaller sizes of this picture as well."""
        key = (simulated, number)
        if key not in self._known_noise:
            image = (self.simulated if simulated else self.labelled)[number].image
            self._known_noise[key] = noise(np.asarray(image, np.float32)) >= NOISY
        return self._known_noise[key]

    def _positions(self, simulated: bool, number: int, labels: Labels) -> tuple[Places, Places]:
        """Some pixels where particles touch, and the first pixel of every particle."""
        key = (simulated, number)
        if key not in self._known_positions:
            contacts = np.argwhere(contact_lines(labels))[::16]
            numbers, first = np.unique(labels, return_index=True)
            particles = np.stack(np.unravel_index(first[numbers > 0], labels.shape), axis=1)
            self._known_positions[key] = contacts, particles
        return self._known_positions[key]


def _chances(pictures: Sequence[LabelledMicrograph]) -> NDArray[np.float64]:
    """Probability of each picture: a source of n pictures counts as much as sqrt(n) single ones."""
    sizes = Counter(item.source for item in pictures)
    weights = np.array([1 / np.sqrt(sizes[item.source]) for item in pictures])
    return np.asarray(weights / weights.sum())


def _grid(number: int, item: LabelledMicrograph, recipe: Recipe) -> list[Window]:
    """Tiles of a picture at the recipe's size, and one of the whole picture."""
    height, width = item.labels.shape
    longer = max(height, width)
    reduction = max(1.0, longer / recipe.max_side_px) if recipe.max_side_px else 1.0
    side = recipe.tile_px * reduction / recipe.enlarge
    centres = [
        (np.arange(max(1, round(extent / side))) + 0.5) * extent / max(1, round(extent / side))
        for extent in (height, width)
    ]
    windows = [Window(number, row, column, side) for row in centres[0] for column in centres[1]]
    return [*windows, Window(number, height / 2, width / 2, longer)] if longer > side else windows


def _tile(item: LabelledMicrograph, window: Window, recipe: Recipe) -> Tile:
    """Cut, turn, scale and vary a window; targets are made afterwards, at the network's own resolution."""
    augmentation = recipe.augmentation
    reach = window.side_px * (2**0.5 if augmentation.rotation_deg else 1)
    image = torch.from_numpy(_crop(item.image, window, reach).astype(np.float32))
    labels = torch.from_numpy(_crop(item.labels, window, reach).astype(np.int32))
    side = max(1, round(window.side_px))
    upright = bool(torch.rand(()) < augmentation.upright_share)
    turned = 0.0 if upright else augmentation.rotation_deg
    geometry = v2.Compose(
        [
            v2.RandomRotation(turned, interpolation=v2.InterpolationMode.BILINEAR),
            v2.CenterCrop(side),
            v2.Resize(recipe.tile_px, antialias=True),
            v2.RandomHorizontalFlip(0.0 if upright else 0.5),
            v2.RandomVerticalFlip(0.0 if upright else 0.5),
            v2.RandomApply([v2.ElasticTransform(alpha=60.0, sigma=8.0)], augmentation.elastic_share),
        ]
    )
    moved, moved_labels = geometry(tv_tensors.Image(image[None]), tv_tensors.Mask(labels[None]))
    truth = targets(moved_labels[0].numpy())
    picture = torch.Tensor(moved)
    if torch.rand(()) < augmentation.lettering_share:
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        picture = torch.from_numpy(add_lettering(picture[0].numpy(), moved_labels[0].numpy(), random))[None]
    return {
        "image": _vary(picture, augmentation),
        "mask": torch.from_numpy(truth.mask),
        "contacts": torch.from_numpy(truth.contacts),
        "mask_weights": torch.from_numpy(truth.mask_weights),
        "contacts_known": torch.tensor(item.instances),
    }


def _crop(array: NDArray[np.generic], window: Window, reach: float) -> NDArray[np.generic]:
    """Square around the window's centre, beyond the border by reflection."""
    extent = max(1, int(np.ceil(reach)))
    starts = (round(window.row - extent / 2), round(window.column - extent / 2))
    slices = tuple(
        slice(max(0, start), max(0, min(start + extent, size)))
        for start, size in zip(starts, array.shape, strict=True)
    )
    if all(part.stop - part.start == extent for part in slices):
        return np.asarray(array[slices])
    rows, columns = (
        _reflected(np.arange(start, start + extent), size)
        for start, size in zip(starts, array.shape, strict=True)
    )
    return np.asarray(array[np.ix_(rows, columns)])


def _reflected(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    period = max(1, 2 * (size - 1))
    folded = index % period
    return np.where(folded < size, folded, period - folded)


def _vary(image: torch.Tensor, augmentation: Augmentation) -> torch.Tensor:
    """Film, tone, brightness, contrast, illumination, blur and noise; bounded as in inference."""
    if augmentation.film_share and torch.rand(()) < augmentation.film_share:
        # a particle on film that absorbs half of the beam has half the contrast
        image = (image + 1) * _film(image.shape[-2:], augmentation.film_darkness) - 1
    if augmentation.gamma != 1:
        exponent = augmentation.gamma ** (2 * torch.rand(()) - 1)
        within = image.clamp(-1, 1)
        image = image - within + 2 * ((within + 1) / 2) ** exponent - 1
    span = 2 * LIMIT
    jitter = v2.Compose(
        [
            v2.ColorJitter(brightness=augmentation.brightness, contrast=augmentation.contrast),
            v2.RandomApply(
                [v2.GaussianBlur(2 * round(2 * augmentation.blur_sd_px) + 1, (0.3, augmentation.blur_sd_px))],
                augmentation.blur_share,
            ),
        ]
    )
    image = jitter(((image + LIMIT) / span).clamp(0, 1)) * span - LIMIT
    if augmentation.illumination:
        field = torch.randn(1, 1, 3, 3) * (torch.rand(()) * augmentation.illumination)
        image = image + functional.interpolate(field, image.shape[-2:], mode="bicubic", align_corners=True)[0]
    if augmentation.noise_share and torch.rand(()) < augmentation.noise_share:
        sd = float(torch.rand(())) * augmentation.noise_sd
        image = v2.functional.gaussian_noise(image, sigma=sd, clip=False)
    return image.clamp(-LIMIT, LIMIT)


def _film(size: Sequence[int], darkness: float) -> torch.Tensor:
    """Transmission (1, y, x) of one to four sheets of film, each with an edge or with folds."""
    transmission = torch.ones(1, *size)
    for _ in range(int(torch.randint(1, 5, ()))):
        folded = bool(torch.rand(()) < 0.5)
        grid = torch.randint(3, 11 if folded else 6, (2,)).tolist()
        coarse = torch.randn(1, 1, *grid)
        field = functional.interpolate(coarse, tuple(size), mode="bicubic", align_corners=True)[0]
        field = field - 0.5 * torch.randn(())
        steepness = 5 + 35 * torch.rand(())
        sheet = torch.exp(-((steepness * field / 4) ** 2)) if folded else torch.sigmoid(steepness * field)
        transmission = transmission * (1 - darkness * torch.rand(()) * sheet)
    return transmission
