"""From regions in px to descriptors in nm: outlines, shapes, and the one place where the unit changes."""
