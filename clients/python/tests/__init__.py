"""Tests of the Python client, against a deployment of three sites that each run starts."""
