"""Training of the network: labelled micrographs, augmentation, training, evaluation."""
