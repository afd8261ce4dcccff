"""A model endpoint, ordinary users and a loud extractor on this machine, with guard between them."""
