"""The loss of the training."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

CONTACT_WEIGHT = 6.0
"""Weight of a contact pixel over another one; they are about 1 % of a tile."""


def contacts_threshold(kind: Literal["cross_entropy", "boundary"]) -> float:
    """Network output at which a contact is as likely as not; its weight in the loss raises the odds."""
    return CONTACT_WEIGHT / (CONTACT_WEIGHT + 1) if kind == "boundary" else 0.5


def loss(
    logits: torch.Tensor,
    mask: torch.Tensor,
    contacts: torch.Tensor,
    mask_weights: torch.Tensor,
    contacts_known: torch.Tensor,
    *,
    kind: Literal["cross_entropy", "boundary"],
) -> torch.Tensor:
    """Loss of a batch.

    Parameters
    ----------
    logits : (n, class, y, x)
        Output for the mask and, where there is a second channel, for the contacts.
    mask, contacts, mask_weights : (n, y, x)
        Targets, see `temwatch.training.targets`.
    contacts_known : bool, (n,)
        False where only a mask was labelled; the contacts of such tiles are ignored.
    kind
        cross_entropy: of the mask, the paper's. boundary: cross entropy that weighs outlines and gaps, plus
        the soft DICE loss (Milletari et al., 3DV 2016), for mask and contacts.
    """
    logits, mask = logits.float(), mask.float()
    if kind == "cross_entropy":
        return functional.binary_cross_entropy_with_logits(logits[:, 0], mask)
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 0], mask, reduction="none")
    total = (entropy * mask_weights).sum() / mask_weights.sum() + _dice_loss(logits[:, 0], mask)
    if logits.shape[1] > 1 and bool(contacts_known.any()):
        found, truth = logits[contacts_known, 1], contacts[contacts_known].float()
        weights = 1 + (CONTACT_WEIGHT - 1) * truth
        entropy = functional.binary_cross_entropy_with_logits(found, truth, reduction="none")
        total = total + (entropy * weights).sum() / weights.sum() + 0.5 * _dice_loss(found, truth)
    return total


def _dice_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Over the whole batch, so that tiles without particles do not divide by nothing."""
    found = torch.sigmoid(logits)
    return 1 - (2 * (found * truth).sum() + 1) / (found.sum() + truth.sum() + 1)
