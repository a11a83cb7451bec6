"""The miniature family: tiny trained text-to-image models of a procedural world, with known right answers."""
