"""What torch has to train layers, counted against what is here."""

import pytest
import torch
from rich.console import Console

from backproof.coverage import beside_layers, show
from impl import init, optim
from impl.optim import schedules


def test_all_that_torch_has_to_train_layers_is_here():
    kinds = beside_layers()
    assert [len(names) for names in kinds.values()] == [15, 16, 15, 2]
    assert all(covered for names in kinds.values() for covered in names.values())


def test_it_is_torch_that_is_counted(monkeypatch):
    class Adan(torch.optim.Optimizer):
        pass

    monkeypatch.setattr(torch.optim, "Adan", Adan, raising=False)
    assert beside_layers()["optimizers of torch.optim"]["Adan"] is False
    monkeypatch.setattr(torch.nn.init, "__all__", [*torch.nn.init.__all__, "delta_"])
    assert beside_layers()["initializers of torch.nn.init"]["delta"] is False


@pytest.mark.parametrize(("module", "name"), [(optim, "Muon"), (schedules, "SWALR"), (init, "dirac")])
def test_what_is_missing_is_shown(monkeypatch, capsys, module, name):
    monkeypatch.setattr(module, "__all__", [known for known in module.__all__ if known != name])
    show(Console(width=80))
    assert f"Not covered yet: {name}." in capsys.readouterr().out
