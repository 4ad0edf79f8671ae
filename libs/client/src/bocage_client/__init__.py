"""Python client and command line of Bocage."""
