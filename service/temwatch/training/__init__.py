"""The network's making: labelled micrographs, augmentation, training, evaluation."""
