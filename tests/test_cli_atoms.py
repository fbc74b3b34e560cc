"""``armillary atoms``: training, prediction and checks of networks of atoms, and what a user may bring by mistake."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from armillary.cli import run as armillary
from armillary.data import Structures, read_extxyz, reference_energies, write_extxyz
from armillary.train import Run

SMALL = ["--model.channels", "4", "--model.hidden", "4", "--model.layers", "1", "--model.lmax", "1",
         "--model.mmax", "1", "--model.radial", "4", "--model.cutoff", "3", "--train.batch-size", "4",
         "--train.lr", "0.01", "--train.accelerator", "cpu", "--data.fractions", "0.6", "0.2", "0.2"]  # fmt: skip
STILL = torch.tensor([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], dtype=torch.float64)


def springs(n: int = 12, seed: int = 0, box: float | None = None) -> Structures:
    """Water with a spring between each two atoms, some without the second hydrogen; in a cubic cell or not."""
    draws = torch.Generator().manual_seed(seed)
    charges, positions, energies, forces, sizes = [], [], [], [], []
    for k in range(n):
        atoms = 3 if k % 4 else 2
        x = (STILL[:atoms] + 0.05 * torch.randn(atoms, 3, generator=draws, dtype=torch.float64)).requires_grad_()
        pairs = [(i, j) for i in range(atoms) for j in range(i)]
        rest = [10 * ((x[i] - x[j]).norm() - (STILL[i] - STILL[j]).norm()) ** 2 for i, j in pairs]
        energy = torch.stack(rest).sum() - 2000.0 - 13.5 * (atoms - 1)
        forces.append(-torch.autograd.grad(energy, x)[0])
        charges.append(torch.tensor([8, 1, 1][:atoms]))
        positions.append(x.detach())
        energies.append(float(energy.detach()))
        sizes.append(atoms)
    cells = wraps = None
    if box is not None:
        cells, wraps = box * torch.eye(3, dtype=torch.float64).repeat(n, 1, 1), torch.ones(n, 3, dtype=torch.bool)
    return Structures(
        torch.cat(charges),
        torch.cat(positions),
        torch.tensor([0, *sizes]).cumsum(0),
        torch.tensor(energies, dtype=torch.float64),
        torch.cat(forces),
        cells,
        wraps,
    )


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The one error line of a command that must fail."""
    capsys.readouterr()
    assert armillary(["atoms", *(str(a) for a in arguments)]) == code
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("atoms") / "md.xyz"
    write_extxyz(path, springs(24))
    return path


@pytest.fixture(scope="module")
def trained(file: Path) -> Path:
    path = file.parent / "run"
    command = ["atoms", "train", *SMALL, "--train.epochs", "12", "--data.path", str(file), "--run", str(path)]
    assert armillary(command) == 0
    return path


def test_a_run_has_everything(trained: Path, file: Path) -> None:
    config = tomllib.loads((trained / "config.toml").read_text())
    assert config["data"]["path"] == str(file)
    assert config["loss"] == {"energy": 1.0, "forces": 10.0, "kind": "mae"}
    network = config["network"]
    assert network["elements"] == [1, 8]
    assert {k: v for k, v in network.items() if k in config["model"]} == config["model"]
    assert 1.5 < network["neighbours"] < 2
    result = json.loads((trained / "result.json").read_text())
    assert result["structures"] == {"train": 14, "valid": 5, "test": 5}
    assert result["elements"] == ["H", "O"]
    assert result["epochs"] == len(rows(trained)) == 12
    for name in ("energy_mae", "energy_per_atom_mae", "force_mae", "force_rmse"):
        assert result["test"][name] > 0
    assert result["test"]["force_mae"] < 0.8 * result["test_constant"]["force_mae"]
    for name in ("curves.png", "predictions.png"):
        pixels = np.asarray(Image.open(trained / name).convert("L"))
        assert min(pixels.shape) > 200
        assert pixels.std() > 5


def test_the_constant_is_the_mean_of_each_composition(trained: Path, file: Path) -> None:
    """The scores of the baseline, from the structures themselves."""
    from armillary.data import AtomsDataConfig, open_structures

    held = open_structures(AtomsDataConfig(str(file), fractions=(0.6, 0.2, 0.2)))
    means = {
        n: float(held["train"].energies[held["train"].sizes == n].mean())  # type: ignore[index]
        for n in held["train"].sizes.unique().tolist()
    }
    wrong = [abs(float(e) - means[int(n)]) for e, n in zip(held["test"].energies, held["test"].sizes, strict=True)]  # type: ignore[arg-type]
    constant = json.loads((trained / "result.json").read_text())["test_constant"]
    assert constant["energy_mae"] == pytest.approx(1000 * sum(wrong) / len(wrong), rel=1e-3)
    assert constant["force_mae"] == pytest.approx(1000 * float(held["test"].forces.abs().mean()), rel=1e-5)  # type: ignore[union-attr]


def test_ase_opens_the_run(trained: Path, file: Path) -> None:
    ase = pytest.importorskip("ase")
    from armillary.interop.ase import Calculator

    out = trained.parent / "all.xyz"
    assert armillary(["atoms", "predict", str(trained), str(file), "--out", str(out), "--precision", "float64"]) == 0
    found, calculator = read_extxyz(out), Calculator(trained, dtype="float64")
    for k in (0, 1):
        one = found[k]
        atoms = ase.Atoms(numbers=one.charges.numpy(), positions=one.positions.numpy())
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(float(one.energies), abs=1e-9)  # type: ignore[arg-type]
        np.testing.assert_allclose(atoms.get_forces(), one.forces, atol=1e-9)


def test_predictions_stand_beside_the_truth(trained: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, given = trained.parent / "predictions.xyz", read_extxyz(file)
    command = ["predict", trained, file, "--out", out]
    assert armillary(["atoms", *(str(c) for c in command)]) == 0
    printed = capsys.readouterr().out
    assert "24 structures" in printed
    found = read_extxyz(out)
    for name in ("charges", "positions", "offsets"):
        assert torch.equal(getattr(found, name), getattr(given, name))
    assert torch.equal(found.properties["true_energy"], given.energies)  # type: ignore[arg-type]
    assert torch.equal(found.properties["true_forces"], given.forces)  # type: ignore[arg-type]
    error = 1000 * float((found.forces - given.forces).abs().mean())  # type: ignore[operator]
    assert f"force_mae           │ {error:.4f}" in printed
    assert float((found.energies - given.energies).abs().max()) < 2.0  # type: ignore[operator]
    assert found.stresses is None
    assert "add --overwrite" in fails(capsys, *command)
    assert armillary(["atoms", *(str(c) for c in command), "--overwrite", "--batch-size", "3"]) == 0
    again = read_extxyz(out)
    torch.testing.assert_close(again.forces, found.forces, atol=1e-5, rtol=0)
    assert "is the file that is read" in fails(capsys, "predict", trained, file, "--out", file, "--overwrite")


def test_stress_is_written_where_all_is_periodic(trained: Path, tmp_path: Path) -> None:
    given = springs(3, seed=2, box=2.5)
    write_extxyz(tmp_path / "crystal.xyz", replace(given, energies=None, forces=None))
    assert armillary(["atoms", "predict", str(trained), str(tmp_path / "crystal.xyz"), "--precision", "float64"]) == 0
    found = read_extxyz(trained / "predictions" / "crystal.xyz")
    assert "true_energy" not in found.properties
    assert found.stresses is not None
    ase = pytest.importorskip("ase")
    from armillary.interop.ase import Calculator

    one = found[1]
    atoms = ase.Atoms(numbers=one.charges.numpy(), positions=one.positions.numpy(), cell=one.cells[0].numpy(), pbc=True)  # type: ignore[index]
    atoms.calc = Calculator(trained, dtype="float64")
    np.testing.assert_allclose(atoms.get_stress(voigt=False), one.stresses[0], atol=1e-12)  # type: ignore[index]
    mixed = Structures.join([given, springs(2)])
    write_extxyz(tmp_path / "mixed.xyz", mixed)
    assert armillary(["atoms", "predict", str(trained), str(tmp_path / "mixed.xyz")]) == 0
    assert read_extxyz(trained / "predictions" / "mixed.xyz").stresses is None


def test_elements_that_are_not_known(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = springs(6, seed=3)
    charges = given.charges.clone()
    charges[int(given.offsets[2])] = 16
    write_extxyz(tmp_path / "other.xyz", replace(given, charges=charges))
    err = fails(capsys, "predict", trained, tmp_path / "other.xyz")
    assert "structure 2 has S, the network was trained on H, O" in err
    assert not (trained / "predictions" / "other.xyz").exists()
    command = ["atoms", "predict", str(trained), str(tmp_path / "other.xyz"), "--on-bad", "skip"]
    assert armillary(command) == 1
    assert "structure 2: has S" in capsys.readouterr().err
    assert len(read_extxyz(trained / "predictions" / "other.xyz")) == 5
    write_extxyz(tmp_path / "none.xyz", replace(given, charges=torch.full_like(charges, 9)))
    assert "6 such structures of 6" in fails(capsys, "predict", trained, tmp_path / "none.xyz", "--on-bad", "skip")
    assert "has S" in fails(capsys, "check", trained, tmp_path / "other.xyz")


def test_check_measures(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert armillary(["atoms", "check", str(trained), "--samples", "3", "--draws", "2"]) == 0
    assert "derivatives" in capsys.readouterr().out
    result = json.loads((trained / "check.json").read_text())
    found = {(row["symmetry"], row["dtype"]): row for row in result["rows"]}
    assert len(found) == 10
    for name in ("translations", "permutations"):
        assert max(found[name, "float64"][k] for k in ("energy_error", "force_error")) < 1e-11
        assert max(found[name, "float32"][k] for k in ("energy_error", "force_error")) < 1e-3
    assert found["derivatives", "float64"]["force_error"] < 1e-7
    assert found["derivatives", "float32"]["force_error"] < 1e-2
    for name in ("rotations", "reflections"):  # the grid's error
        assert 1e-8 < found[name, "float64"]["force_error"] < 0.2
    assert Image.open(trained / "check.png").size[0] > 300
    assert "--samples 0" in fails(capsys, "check", trained, "--samples", "0")


def test_check_sees_what_is_wrong(file: Path, tmp_path: Path) -> None:
    """Direct forces are no derivative, messages may know left from right, and distances alone have all symmetries to
    rounding, also in a cell."""
    periodic = tmp_path / "cell.xyz"
    write_extxyz(periodic, springs(8, box=2.7))
    rest = ["--train.epochs", "1", "--data.path", str(periodic)]
    small = " ".join(SMALL).replace("layers 1", "layers 2").split()  # one layer sees no handedness
    kinds = {
        "direct": ["--model.forces", "direct"],
        "handed": ["--model.no-reflections", "--model.rings", "12"],
        "distances": ["--model.name", "invariant"],
    }
    found = {}
    for kind, flags in kinds.items():
        run = tmp_path / kind
        assert armillary(["atoms", "train", *small, *rest, *flags, "--run", str(run)]) == 0
        assert armillary(["atoms", "check", str(run), str(periodic), "--samples", "4", "--draws", "2"]) == 0
        checked = json.loads((run / "check.json").read_text())["rows"]
        found[kind] = {row["symmetry"]: row for row in checked if row["dtype"] == "float64"}
    assert found["direct"]["derivatives"]["force_error"] > 0.1
    assert found["handed"]["reflections"]["force_error"] > 1e-5
    assert found["handed"]["rotations"]["force_error"] < 1e-8
    for name, row in found["distances"].items():
        assert row["force_error"] < (1e-7 if name == "derivatives" else 1e-10), name
    assert max(found["distances"][n]["energy_error"] for n in ("rotations", "reflections")) < 1e-10


def test_energies_alone_and_forces_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = springs(10)
    alone = {"energies": replace(whole, forces=None), "forces": replace(whole, energies=None)}
    for what, other, flag in (("energies", "forces", "forces"), ("forces", "energies", "energy")):
        path, run = tmp_path / f"{what}.xyz", tmp_path / what
        write_extxyz(path, alone[what])
        command = ["train", *SMALL, "--train.epochs", "2", "--data.path", path, "--run", run]
        err = fails(capsys, *command)
        assert f"structures for train have no {other}" in err
        assert f"--loss.{flag} 0" in err
        assert not run.exists()
        assert armillary(["atoms", *(str(c) for c in command), f"--loss.{flag}", "0"]) == 0
        assert f"trained on {what} alone" in capsys.readouterr().out
        result = json.loads((run / "result.json").read_text())
        names = {"energy_mae", "energy_per_atom_mae"} if what == "energies" else {"force_mae", "force_rmse"}
        assert set(result["test"]) == names | {"loss"}
        assert Image.open(run / "predictions.png").size[0] > 300
    both = tmp_path / "direct.xyz"
    write_extxyz(both, whole)
    err = fails(capsys, "train", *SMALL, "--data.path", both, "--model.forces", "direct", "--loss.forces", "0")
    assert "direct forces are learned from forces" in err


def test_settings_from_a_file_and_flags(file: Path, trained: Path, tmp_path: Path) -> None:
    settings = tmp_path / "job.toml"
    settings.write_text(
        f'[data]\npath = "{file}"\nfractions = [0.6, 0.2, 0.2]\n[loss]\nforces = 5\nkind = "mse"\n'
        '[model]\nname = "invariant"\nchannels = 8\ncutoff = 3.0\n'
        '[train]\nepochs = 9\nbatch_size = 4\naccelerator = "cpu"\n'
    )
    run = tmp_path / "run"
    assert armillary(["atoms", "train", "--config", str(settings), "--train.epochs", "1", "--run", str(run)]) == 0
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["loss"] == {"energy": 1.0, "forces": 5.0, "kind": "mse"}
    assert config["train"]["epochs"] == 1
    assert config["network"]["name"] == "invariant"
    # what a run wrote is a configuration file; what was measured is measured again
    again, few = tmp_path / "again", tmp_path / "few.xyz"
    write_extxyz(few, springs(5, seed=9))
    command = ["atoms", "train", "--config", str(run / "config.toml"), "--run"]
    assert armillary([*command, str(again)]) == 0
    assert (again / "config.toml").read_text() == (run / "config.toml").read_text()
    assert rows(again) == rows(run)
    other = tmp_path / "other"
    assert armillary([*command, str(other), "--data.path", str(few)]) == 0
    measured = tomllib.loads((other / "config.toml").read_text())["network"]
    assert measured["references"] != config["network"]["references"]
    assert measured["scale"] != config["network"]["scale"]


def test_references_are_those_of_the_structures_for_training(trained: Path, file: Path) -> None:
    from armillary.data import AtomsDataConfig, open_structures

    held = open_structures(AtomsDataConfig(str(file), fractions=(0.6, 0.2, 0.2)))["train"]
    network = Run.open(trained).config["network"]
    wanted = reference_energies(held)
    assert network["references"] == pytest.approx([wanted[z] for z in network["elements"]], rel=1e-12)
    assert network["scale"] == pytest.approx(float(held.forces.square().mean().sqrt()), rel=1e-6)  # type: ignore[union-attr]


def test_a_finished_run_is_resumed(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "result.json").unlink()
    assert armillary(["atoms", "train", "--resume", str(run)]) == 0
    assert rows(run) == rows(trained)
    scores = json.loads((run / "result.json").read_text())["test"]
    assert scores == json.loads((trained / "result.json").read_text())["test"]
    assert armillary(["atoms", "train", "--resume", str(run), "--train.epochs", "13"]) == 0
    assert rows(run)[:12] == rows(trained)
    assert len(rows(run)) == 13
    err = fails(capsys, "train", "--resume", run, "--model.lmax", "2")
    assert "model.lmax: 1 in the run, 2 now" in err
    assert "resumed in place" in fails(capsys, "train", "--resume", run, "--run", trained)


def test_ctrl_c_keeps_a_checkpoint(file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "armillary", "atoms", "train"]
    flags = [*SMALL, "--train.epochs", "500", "--data.path", str(file), "--run", str(run)]
    process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (run / "metrics.csv").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert f"Continue with: armillary atoms train --resume {run}" in err
    assert "Traceback" not in err
    before = rows(run)
    saved = json.loads((run / "checkpoints" / "last" / "state.json").read_text())["training"]["place"]
    assert (saved["epoch"], len(before)) == (len(before), saved["epoch"])
    assert armillary(["atoms", "train", "--resume", str(run), "--train.epochs", str(len(before) + 1)]) == 0
    assert rows(run)[:-1] == before
    assert (run / "result.json").exists()


BAD_FILES = {
    "gone": (None, "gone.xyz", "no such file"),
    "suffix": (b"Cu bulk\n1.0\n", "POSCAR", "what is read: extended XYZ"),
    "pdb": (b"HEADER    HYDROLASE\n", "protein.pdb", "npz of trajectories"),
    "cut": (b"3\nProperties=species:S:1:pos:R:3\nO 0 0 0\n", "cut.xyz", "is it complete"),
    "element": (b"1\nenergy=1\nQq 0 0 0\n", "strange.xyz", "no chemical element"),
    "lmdb": (b"not a database" * 400, "bad.lmdb", "not an LMDB file|cut short"),
    "npz": (b"PK\x03\x04" + bytes(99), "bad.npz", "is it complete"),
    "empty": (b"", "empty.xyz", "empty"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_files_that_cannot_be_read(
    kind: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    content, name, message = BAD_FILES[kind]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for command in (["train", "--data.path", tmp_path / name, "--run", tmp_path / "new"],
                    ["predict", trained, tmp_path / name, "--out", tmp_path / "out.xyz"],
                    ["check", trained, tmp_path / name]):  # fmt: skip
        err = fails(capsys, *command)
        assert re.search(message, err), err
        assert name in err
    assert {p.name for p in tmp_path.iterdir()} <= {name}


def test_a_structure_that_cannot_be_read(
    file: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.xyz"
    path.write_text(file.read_text().replace("H", "Qq", 1))
    train = ["train", *SMALL, "--train.epochs", "1", "--data.path", path, "--run", tmp_path / "run"]
    assert "'Qq' is no chemical element" in fails(capsys, *train)
    lines = file.read_text().splitlines(keepends=True)
    lines[2] = "O 0.0 x 0.0 0 0 0\n"
    path.write_text("".join(lines))
    assert "frame 0" in fails(capsys, *train)
    assert armillary(["atoms", *(str(c) for c in train), "--data.on-bad", "skip"]) == 0
    assert "skipped" in capsys.readouterr().out
    predict = ["atoms", "predict", str(trained), str(path), "--out", str(tmp_path / "out.xyz"), "--on-bad", "skip"]
    assert armillary(predict) == 1
    assert "frame 0" in capsys.readouterr().err
    assert len(read_extxyz(tmp_path / "out.xyz")) == 23


def test_mistakes_are_one_line_and_leave_nothing(
    file: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ["--run", tmp_path / "new"]
    data = ["--data.path", file]
    assert "data.path is not set" in fails(capsys, "train", *new)
    assert "Did you mean --model.lmax" in fails(capsys, "train", *data, "--model.lmx", "3", *new)
    assert "wanted both >= 0" in fails(capsys, "train", *data, "--loss.energy", "-1", *new)
    assert "raise it" in fails(capsys, "train", *data, "--model.cutoff", "0.1", *new)
    assert "wanted three parts" in fails(capsys, "train", *data, "--data.fractions", "0.5", "0.5", *new)
    assert "no directions" in fails(
        capsys, "train", *data, "--model.name", "invariant", "--model.forces", "direct", *new
    )
    assert "--resume" in fails(capsys, "train", *data, "--run", trained)
    assert "not a run directory" in fails(capsys, "train", "--resume", tmp_path)
    assert "not a run directory" in fails(capsys, "predict", tmp_path / "gone", file)
    assert "not a run directory" in fails(capsys, "check", tmp_path)
    assert not (tmp_path / "new").exists()
    for name, damage in (("config.toml", "[model]\nlmax = 9\n"), ("checkpoints/best/model.safetensors", "{")):
        run = tmp_path / f"damaged{len(damage)}"
        shutil.copytree(trained, run)
        (run / name).write_text(damage)
        assert str(run) in fails(capsys, "predict", run, file)
    capsys.readouterr()
    assert armillary(["predict", str(trained), str(file)]) == 2
    assert "armillary atoms" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("armillary.ops.extras.import_module", none)
    (tmp_path / "a.lmdb").write_bytes(b"")
    err = fails(capsys, "train", "--data.path", tmp_path / "a.lmdb", "--run", tmp_path / "run")
    assert 'needs lmdb, which is not installed: pip install "armillary[molecules]"' in err


def test_other_elements_in_a_held_out_file(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = springs(4)
    write_extxyz(tmp_path / "valid.xyz", replace(given, charges=given.charges + 1))
    err = fails(capsys, "train", "--data.path", file, "--data.valid", tmp_path / "valid.xyz")
    assert "structures for valid have He, F, those for training H, O" in err


@pytest.mark.parametrize("command", ["train", "predict", "check"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert armillary(["atoms", command, "--help"]) == 0
    assert f"armillary atoms {command}" in capsys.readouterr().out.split("Examples")[1]


def test_structures_relax(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ase")
    start, out = tmp_path / "start.xyz", tmp_path / "relaxed.xyz"
    write_extxyz(start, replace(springs(2, seed=5), energies=None, forces=None))
    command = ["relax", str(trained), str(start), "--out", str(out)]
    assert armillary(["atoms", *command, "--fmax", "0.05", "--steps", "200"]) == 0
    found, given = read_extxyz(out), read_extxyz(start)
    assert float(found.forces.norm(dim=1).max()) <= 0.05  # type: ignore[union-attr]
    assert not torch.equal(found.positions, given.positions)
    assert "add --overwrite" in fails(capsys, *command)
    assert armillary(["atoms", *command, "--overwrite", "--steps", "1"]) == 1
    assert "2 did not converge in 1 steps: structure 0, 1." in capsys.readouterr().err
    assert "not all structures" in fails(capsys, *command, "--overwrite", "--cell")
    assert "wanted a force > 0" in fails(capsys, *command, "--fmax", "0")


def test_a_cell_relaxes(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("ase")
    start, out = tmp_path / "cell.xyz", tmp_path / "out.xyz"
    write_extxyz(start, springs(1, box=3.0))
    assert armillary(["atoms", "relax", str(trained), str(start), "--out", str(out), "--cell", "--steps", "3"]) in (
        0,
        1,
    )
    found = read_extxyz(out)
    assert found.periodic is not None
    assert found.periodic.all()
    assert float((found.cells[0] - 3.0 * torch.eye(3)).abs().max()) > 1e-6  # type: ignore[index]


def test_dynamics_keep_the_energy(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ase")
    start, out = tmp_path / "start.xyz", tmp_path / "path.xyz"
    write_extxyz(start, springs(3, seed=6))
    command = ["dynamics", str(trained), str(start), "--out", str(out), "--kelvin", "100"]
    flags = ["--structure", "1", "--steps", "60", "--every", "20", "--femtoseconds", "0.25"]
    assert armillary(["atoms", *command, *flags]) == 0
    found = read_extxyz(out)
    assert found.sizes.tolist() == [3] * 4
    assert found.properties["time"].tolist() == pytest.approx([0, 0.005, 0.01, 0.015])
    total = found.properties["total_energy"]
    kinetic = total - found.energies  # type: ignore[operator]
    assert float((total - total[0]).abs().max()) < 0.05 * float(kinetic.abs().max())
    moved = found[1].positions - found[0].positions
    mean = (found[1].properties["velocities"] + found[0].properties["velocities"]) / 2
    assert float((moved / 5.0 * mean).sum()) > 0  # Å, fs
    assert armillary(["atoms", *command, "--overwrite", "--steps", "9", "--every", "4", "--friction", "20"]) == 0
    assert len(read_extxyz(out)) == 3
    assert "--structure 7" in fails(capsys, *command, "--overwrite", "--structure", "7")
    assert "wanted a number > 0" in fails(capsys, *command, "--overwrite", "--femtoseconds", "0")
