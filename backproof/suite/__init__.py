"""The verification that ``impl`` passes, pointed at any implementation, each layer a test of its own.

``pytest --pyargs backproof.suite --backproof-implementation package.module:object``
"""
