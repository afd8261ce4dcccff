"""A model endpoint, ordinary users and a hydra on this machine, with guard between them."""
