"""Write the table of CMB spectra that ``armillary.data.cmb_spectra`` reads: Planck 2018, computed with CAMB.

    python docs/figures/cmb_spectra.py src/armillary/data/spectra/planck2018.npz

Needs ``camb`` (https://camb.info, LGPL), which this library does not depend on. Parameters: Planck 2018 results VI,
table 1, best fit of TT,TE,EE+lowE+lensing; one massive neutrino of 0.06 eV; non-linear corrections to the potential
(Mead 2016). Units: μK² for TT, EE and TE, dimensionless for the lensing potential φ; plain C_l, not l(l + 1)C_l/2π.
"""

from __future__ import annotations

import sys
from pathlib import Path

import camb
import numpy as np

LMAX = 5000
PARAMETERS = {"H0": 67.32, "ombh2": 0.022383, "omch2": 0.12011, "mnu": 0.06, "omk": 0.0, "tau": 0.0543}
PRIMORDIAL = {"As": 2.100549e-9, "ns": 0.96605}


def main(path: Path) -> None:
    parameters = camb.set_params(
        **PARAMETERS, **PRIMORDIAL, lmax=LMAX, halofit_version="mead2016", lens_potential_accuracy=4
    )
    results = camb.get_results(parameters)
    spectra = results.get_cmb_power_spectra(parameters, lmax=LMAX, CMB_unit="muK", raw_cl=True)
    unlensed, lensed = spectra["unlensed_scalar"], spectra["lensed_scalar"]
    potential = spectra["lens_potential"][:, 0]
    columns = {"tt": unlensed[:, 0], "ee": unlensed[:, 1], "te": unlensed[:, 3], "tt_lensed": lensed[:, 0]}
    l = np.arange(LMAX + 1.0)
    scaled = {name: (l * (l + 1) * c).astype(np.float32) for name, c in columns.items()}
    scaled["pp"] = ((l * (l + 1)) ** 2 * potential).astype(np.float32)
    np.savez_compressed(path, **scaled)
    print(f"{path}: camb {camb.__version__}, {path.stat().st_size / 1000:.0f} kB")
    for name in columns:
        print(name, [f"{scaled[name][k] / (2 * np.pi):.4g}" for k in (2, 220, 1000, 2000, 3000)])
    print("pp", [f"{scaled['pp'][k] / (2 * np.pi):.4g}" for k in (2, 60, 220, 1000, 2000, 3000)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
