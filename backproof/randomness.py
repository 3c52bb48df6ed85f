"""The global generators of random numbers, held fixed while a function is checked."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


class Held:
    """As long as it is entered, every run starts from the state that was found; in the end that is put back.

    NumPy's generator takes longest to put back, so that is done for functions that draw from it (``numpy_too``).
    """

    def __enter__(self) -> Held:
        self.numpy_too = False
        self._generator: Any = vars(np.random)["get_bit_generator"]()  # which its type hints lack
        self._python, self._numpy, self._torch = random.getstate(), self._generator.state, torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        return self

    def start(self) -> None:
        """Put them back to where they were."""
        random.setstate(self._python)
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        if self.numpy_too:
            self._generator.state = self._numpy

    def drawn(self) -> bool:
        """Whether anyone has drawn from them since they were put back."""
        cpu = not torch.equal(torch.get_rng_state(), self._torch)
        cuda = [not torch.equal(now, before) for now, before in zip(self._cuda_now(), self._cuda)]
        return cpu or any(cuda) or random.getstate() != self._python or self.overlooked()

    def _cuda_now(self) -> list[torch.Tensor]:
        return torch.cuda.get_rng_state_all() if self._cuda else []

    def overlooked(self) -> bool:
        """Whether NumPy's generator has moved, and nobody put it back."""
        now, before = self._generator.state, self._numpy
        moved = any(not np.array_equal(now["state"][part], before["state"][part]) for part in before["state"])
        return moved and not self.numpy_too

    def __exit__(self, *error: Any) -> None:
        self.numpy_too = True
        self.start()
