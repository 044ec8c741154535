"""Where particles end: outlines moved to the edge that the picture shows, between the pixels."""
