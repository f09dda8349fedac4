"""Patch2Loc: find brain lesions by asking where a patch of a scan comes from.

The library behind the workflow; it knows nothing of Snakemake.  Stages, each of which imports only from those before:

- `acquire`: raw scans, from archives, BIDS folders, DICOM series or a simulation.
- `preprocess`: skull stripping, registration to the atlas, bias correction, quality control.
- `standardize`: intensities on one scale.
- `train`: a method fitted to healthy scans, and its model file.
- `score`: heatmaps of scans, their post-processing, calibration and combination.
- `evaluate`: measures of each subject, and the analysis of patches.
- `tables`, `figures`, `report`: what the paper shows, and the pages to look at it.

What the stages share:

- `data`: volumes, scans, splits and tables of subjects.
- `engine`: what every network needs: device, GPUs and their memory, precision, training loop, weights.
- `network`: the location networks of Patch2Loc; `heatmap` scores every voxel with one.
- `methods`: one folder for each method of detection; `method_declaration` has what it declares, `method_interface`
  what it offers.
- `configuration`: what is checked before anything runs, and the methods' settings.
- `metrics`: measures of scores against lesions.
- `models`: one self-describing file for each model.
- `provenance`: what made a result, and the research object of a run.
- `own_scan`: one scan without the workflow: a detector's answer, the heatmap of any model.
- `trained`: the models that ship; `commands`: the command line.
- `files`, `errors`: writing results whole or not at all; errors that a person can mend.
"""

__version__ = "0.3.0"
