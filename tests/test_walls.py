"""The wings know nothing of one another: what importing a package loads, and what it names."""

import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
FORBIDDEN = {
    "impl": {"torch", "hypothesis", "pytest", "jinja2", "matplotlib", "reference", "reports", "backproof"},
    "reference": {"impl", "reports", "backproof", "hypothesis", "pytest"},
    "reports": {"torch", "impl", "reference", "backproof", "hypothesis", "pytest"},
    "backproof": {"torch", "hypothesis", "pytest", "matplotlib", "impl", "reference", "reports"},
}


def loaded_by(statement: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    return set(done.stdout.split())


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_loads_nothing_from_beyond_its_walls(package: str) -> None:
    assert loaded_by(f"import {package}") & FORBIDDEN[package] == set()


def test_every_module_of_a_wing_keeps_to_its_walls() -> None:
    for wing in ("impl", "reference", "reports"):
        modules = [".".join(p.relative_to(HOME).with_suffix("").parts) for p in (HOME / wing).rglob("*.py")]
        names = [name.removesuffix(".__init__") for name in modules]
        assert loaded_by("\n".join(f"import {name}" for name in names)) & FORBIDDEN[wing] - {wing} == set()


def test_scipy_is_loaded_by_whoever_needs_it_first() -> None:
    """It takes longer to load than all of impl."""
    assert "scipy" not in loaded_by("import impl")
    assert "scipy" in loaded_by("import impl, numpy; impl.GELU().forward({}, numpy.ones(1))")


def test_help_loads_no_torch() -> None:
    statement = (
        "from click.testing import CliRunner; from backproof.cli import main; CliRunner().invoke(main, ['--help'])"
    )
    assert "torch" not in loaded_by(statement)
