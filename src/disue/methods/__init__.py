"""One file per method; the table of their names is in `table.py`."""

from __future__ import annotations

from disue.methods.alone import local_only
from disue.methods.apfl import apfl
from disue.methods.cam import fesem_cam, ifca_cam
from disue.methods.ccvr import ccvr
from disue.methods.cfl import cfl
from disue.methods.clustered import clustered
from disue.methods.composed import Composed
from disue.methods.dense import dense
from disue.methods.dfrd import dfrd
from disue.methods.disue import (
    disue,
    disue_generator,
)
from disue.methods.ditto import ditto
from disue.methods.fedavg import fedavg
from disue.methods.fedavg_ft import fedavg_ft
from disue.methods.fedbn import fedbn
from disue.methods.fedclust import fedclust
from disue.methods.feddf import feddf
from disue.methods.feddyn import feddyn
from disue.methods.fedftg import fedftg
from disue.methods.fedgen import fedgen
from disue.methods.fedgroup import fedgroup
from disue.methods.fednova import fednova
from disue.methods.fedntd import fedntd
from disue.methods.fedopt import fedadam, fedavgm, fedyogi
from disue.methods.fedper import fedper
from disue.methods.fedpft import fedpft
from disue.methods.fedprox import fedprox
from disue.methods.fedrep import fedrep
from disue.methods.fedsoft import fedsoft
from disue.methods.fesem import fesem, wecfl
from disue.methods.flhc import flhc
from disue.methods.ifca import ifca
from disue.methods.moon import moon
from disue.methods.pacfl import pacfl
from disue.methods.per_fedavg import per_fedavg
from disue.methods.pfedme import pfedme
from disue.methods.plugin import with_expert
from disue.methods.scaffold import scaffold
from disue.methods.table import TABLE, Listed

__all__ = [
    "TABLE",
    "Composed",
    "Listed",
    "apfl",
    "ccvr",
    "cfl",
    "clustered",
    "dense",
    "dfrd",
    "disue",
    "disue_generator",
    "ditto",
    "fedadam",
    "fedavg",
    "fedavg_ft",
    "fedavgm",
    "fedbn",
    "fedclust",
    "feddf",
    "feddyn",
    "fedftg",
    "fedgen",
    "fedgroup",
    "fednova",
    "fedntd",
    "fedper",
    "fedpft",
    "fedprox",
    "fedrep",
    "fedsoft",
    "fedyogi",
    "fesem",
    "fesem_cam",
    "flhc",
    "ifca",
    "ifca_cam",
    "local_only",
    "moon",
    "pacfl",
    "per_fedavg",
    "pfedme",
    "scaffold",
    "wecfl",
    "with_expert",
]
