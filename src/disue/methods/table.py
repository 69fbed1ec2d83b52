"""The table name → constructor that `disue list methods` prints, family by family.

A constructor's first argument is the local part; its other arguments are the keys of [method].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    disue_alone,
    disue_one,
    disue_oracle,
    disue_random,
    generator_variant,
    moments_variant,
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
from disue.methods.scaffold import scaffold


@dataclass(frozen=True)
class Listed:
    """A row of `disue list methods`. `mark` says in tables what a row is allowed that others are not."""

    build: Callable[..., Composed[Any, Any, Any]]
    summary: str
    cite: str
    local: str = "erm"  # the kind of the local part unless [method.local] says otherwise
    mark: str = ""


# -- one model for all ----------------------------------------------------------------------------------

FEDAVG = (
    "B. McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, "
    "AISTATS 2017, arXiv 1602.05629"
)
FEDPROX = "T. Li et al., Federated Optimization in Heterogeneous Networks, MLSys 2020, arXiv 1812.06127"
SCAFFOLD = (
    "S. P. Karimireddy et al., SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, "
    "ICML 2020, arXiv 1910.06378"
)
FEDNOVA = (
    "J. Wang et al., Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization, "
    "NeurIPS 2020, arXiv 2007.07481"
)
FEDDYN = "D. A. E. Acar et al., Federated Learning Based on Dynamic Regularization, ICLR 2021, arXiv 2111.04263"
MOON = "Q. Li et al., Model-Contrastive Federated Learning, CVPR 2021, arXiv 2103.16257"
FEDNTD = (
    "G. Lee et al., Preservation of the Global Knowledge by Not-True Distillation in Federated Learning, "
    "NeurIPS 2022, arXiv 2106.03097"
)
FEDAVGM = (
    "T.-M. H. Hsu et al., Measuring the Effects of Non-Identical Data Distribution for Federated Visual "
    "Classification, 2019, arXiv 1909.06335"
)
FEDOPT = "S. Reddi et al., Adaptive Federated Optimization, ICLR 2021, arXiv 2003.00295"

SINGLE: dict[str, Listed] = {
    "fedavg": Listed(fedavg, "one model, the weighted mean of the cohort", FEDAVG),
    "fedprox": Listed(fedprox, "fedavg, clients are pulled to the received model", FEDPROX, local="proximal"),
    "scaffold": Listed(scaffold, "fedavg with control variates against client drift", SCAFFOLD, local="controlled"),
    "fednova": Listed(fednova, "fedavg by effective steps", FEDNOVA, local="normalised"),
    "feddyn": Listed(feddyn, "fedavg with a dynamic regulariser", FEDDYN, local="dynamic"),
    "moon": Listed(moon, "fedavg with a contrast of features", MOON, local="contrastive"),
    "fedntd": Listed(fedntd, "fedavg that keeps what is known of other classes", FEDNTD, local="not-true"),
    "fedavgm": Listed(fedavgm, "fedavg with momentum on the server", FEDAVGM),
    "fedadam": Listed(fedadam, "fedavg, the server steps by Adam's rule", FEDOPT),
    "fedyogi": Listed(fedyogi, "fedavg, the server steps by Yogi's rule", FEDOPT),
}


# -- one model for all, distilled on the server or corrected there --------------------------------------

CCVR = (
    "M. Luo et al., No Fear of Heterogeneity: Classifier Calibration for Federated Learning with Non-IID Data, "
    "NeurIPS 2021, arXiv 2106.05001"
)
FEDDF = "T. Lin et al., Ensemble Distillation for Robust Model Fusion in FL, NeurIPS 2020, arXiv 2006.07242"
FEDPFT = (
    "M. Beitollahi et al., Parametric Feature Transfer: One-shot Federated Learning with Foundation Models, "
    "2024, arXiv 2402.01862"
)
FEDFTG = (
    "L. Zhang et al., Fine-tuning Global Model via Data-Free Knowledge Distillation for Non-IID Federated Learning, "
    "CVPR 2022, arXiv 2203.09249"
)
DENSE = "J. Zhang et al., DENSE: Data-Free One-Shot Federated Learning, NeurIPS 2022, arXiv 2112.12371"
DFRD = (
    "K. Luo et al., DFRD: Data-Free Robustness Distillation for Heterogeneous Federated Learning, "
    "NeurIPS 2023, arXiv 2309.13546"
)
FEDGEN = (
    "Z. Zhu et al., Data-Free Knowledge Distillation for Heterogeneous Federated Learning, ICML 2021, arXiv 2105.10056"
)

DISTILLED: dict[str, Listed] = {
    "feddf": Listed(feddf, "fedavg, then distilled from the clients on public inputs", FEDDF, mark="public data"),
    "ccvr": Listed(ccvr, "fedavg, its classifier calibrated on virtual features after training", CCVR),
    "fedpft": Listed(fedpft, "a classifier from the clients' mixtures of features, in one shot", FEDPFT),
    "fedftg": Listed(fedftg, "fedavg, then distilled from the clients by a generator of hard samples", FEDFTG),
    "dense": Listed(dense, "one round, then a new model distilled from the clients on synthetic inputs", DENSE),
    "dfrd": Listed(dfrd, "fedavg, then distilled from the clients by a generator and its memory", DFRD),
    "fedgen": Listed(
        fedgen, "fedavg, regularised by a generator of features that heads agree on", FEDGEN, local="generative"
    ),
}


# -- one model per group --------------------------------------------------------------------------------

IFCA = "A. Ghosh et al., An Efficient Framework for Clustered Federated Learning, NeurIPS 2020, arXiv 2006.04088"
CFL = (
    "F. Sattler et al., Clustered Federated Learning: Model-Agnostic Distributed Multitask Optimization under Privacy "
    "Constraints, IEEE TNNLS 2020, arXiv 1910.01991"
)
FESEM = "G. Long et al., Multi-Center Federated Learning, World Wide Web 2022, arXiv 2108.08647"
FEDSOFT = (
    "Y. Ruan, C. Joe-Wong, FedSoft: Soft Clustered Federated Learning with Proximal Local Updating, "
    "AAAI 2022, arXiv 2112.06053"
)
CAM = "J. Ma et al., Structured Federated Learning through Clustered Additive Modeling, NeurIPS 2023"
WECFL = "J. Ma et al., On the Convergence of Clustered Federated Learning, 2022, arXiv 2202.06187"

FEDGROUP = (
    "M. Duan et al., FedGroup: Efficient Clustered Federated Learning via Decomposed Data-Driven Measure, "
    "2021, arXiv 2010.06870"
)

PACFL = (
    "S. Vahidian et al., Efficient Distribution Similarity Identification in Clustered Federated Learning via "
    "Principal Angles Between Client Data Subspaces, AAAI 2023, arXiv 2209.10526"
)

FEDCLUST = (
    "M. S. Islam et al., FedClust: Tackling Data Heterogeneity in Federated Learning through Weight-Driven Client "
    "Clustering, ICPP 2024, arXiv 2407.07124"
)
FLHC = (
    "C. Briggs, Z. Fan, P. Andras, Federated learning with hierarchical clustering of local updates to improve "
    "training on non-IID data, IJCNN 2020, arXiv 2004.11791"
)

CLUSTERED: dict[str, Listed] = {
    "ifca": Listed(ifca, "one model per group, each client chooses by its loss", IFCA),
    "cfl": Listed(cfl, "groups split in two where members pull apart", CFL),
    "fesem": Listed(fesem, "one model per group of similar models", FESEM),
    "wecfl": Listed(wecfl, "fesem, clients weigh by their samples", WECFL),
    "fedsoft": Listed(fedsoft, "clients belong to all groups in shares", FEDSOFT, local="soft-proximal"),
    "ifca-cam": Listed(ifca_cam, "ifca, added to one model for all", CAM, local="branches"),
    "fesem-cam": Listed(fesem_cam, "fesem, added to one model for all", CAM, local="branches"),
    "fedgroup": Listed(fedgroup, "groups from a cold start by main directions", FEDGROUP),
    "pacfl": Listed(pacfl, "groups by angles between the clients' data, before training", PACFL),
    "fedclust": Listed(fedclust, "groups of similar last layers, before training", FEDCLUST),
    "flhc": Listed(flhc, "fedavg for some rounds, then groups of similar updates", FLHC),
    "clustered": Listed(clustered, "one model per group of similar updates", ""),
}


# -- one model per client -------------------------------------------------------------------------------

FEDPER = "M. G. Arivazhagan et al., Federated Learning with Personalization Layers, 2019, arXiv 1912.00818"
FEDREP = (
    "L. Collins et al., Exploiting Shared Representations for Personalized Federated Learning, "
    "ICML 2021, arXiv 2102.07078"
)
FEDBN = (
    "X. Li et al., FedBN: Federated Learning on Non-IID Features via Local Batch Normalization, "
    "ICLR 2021, arXiv 2102.07623"
)
DITTO = "T. Li et al., Ditto: Fair and Robust Federated Learning Through Personalization, ICML 2021, arXiv 2012.04221"
APFL = "Y. Deng et al., Adaptive Personalized Federated Learning, 2020, arXiv 2003.13461"
PFEDME = "C. T. Dinh et al., Personalized Federated Learning with Moreau Envelopes, NeurIPS 2020, arXiv 2006.08848"
PER_FEDAVG = (
    "A. Fallah et al., Personalized Federated Learning with Theoretical Guarantees: A Model-Agnostic Meta-Learning "
    "Approach, NeurIPS 2020, arXiv 2002.07948"
)

PERSONAL: dict[str, Listed] = {
    "local": Listed(local_only, "every client trains by itself", ""),
    "fedavg-ft": Listed(fedavg_ft, "fedavg, fine-tuned by each client for itself", FEDAVG, local="fine-tuned"),
    "fedper": Listed(fedper, "one body for all, a head for each client", FEDPER, local="private-part"),
    "fedrep": Listed(fedrep, "fedper, the head is trained before the body", FEDREP, local="head-first"),
    "fedbn": Listed(fedbn, "fedavg, batch normalisation stays at the client", FEDBN, local="private-norm"),
    "ditto": Listed(ditto, "fedavg, and a model of each client's own near it", DITTO, local="tethered"),
    "apfl": Listed(apfl, "fedavg, and its mixture with a model of each client's own", APFL, local="mixed"),
    "pfedme": Listed(pfedme, "a model of each client's own, and one that lies near them all", PFEDME, local="moreau"),
    "per-fedavg": Listed(per_fedavg, "fedavg for a model that adapts in a step", PER_FEDAVG, local="meta"),
}


# -- groups and a universal expert ----------------------------------------------------------------------

DISUE = "Z. Leng et al., Distilling A Universal Expert from Clustered Federated Learning, IJCAI 2025, arXiv 2506.20285"

UNIVERSAL: dict[str, Listed] = {
    "disue": Listed(disue, "clustered, with a universal expert from class moments", DISUE),
    "disue-generator": Listed(generator_variant(), "the paper's form: a generator", DISUE),
    "disue-generator-no-gls": Listed(generator_variant(labels="uniform"), "… labels drawn uniformly", DISUE),
    "disue-generator-no-gwf": Listed(generator_variant(weights="uniform-all"), "… all groups weigh alike", DISUE),
    "disue-generator-neither": Listed(
        generator_variant(labels="uniform", weights="uniform-all"), "… neither GLS nor GWF", DISUE
    ),
    "disue-generator-real": Listed(
        generator_variant(source="real"),
        "… distilled on real inputs: the D-phase's ceiling",
        DISUE,
        mark="real data",
    ),
    "disue-oracle": Listed(disue_oracle, "disue with the planted groups", DISUE, mark="knows the groups"),
    "disue-random": Listed(disue_random, "disue with random groups", DISUE),
    "disue-one": Listed(disue_one, "disue with one group", DISUE),
    "disue-alone": Listed(disue_alone, "disue with every client its own group", DISUE),
    "disue-no-transport": Listed(moments_variant(transport=False, decay=0.5), "disue without drift transport", DISUE),
    "disue-received": Listed(
        moments_variant(vector="received", transport=False, decay=0.5),
        "disue, moments under the received model",
        DISUE,
    ),
    "disue-prior": Listed(moments_variant(prior=1.0), "disue with the clients' label prior in its head", DISUE),
    "disue-purity": Listed(moments_variant(weights="purity"), "disue with GWF by purity", DISUE),
}


TABLE: dict[str, Listed] = {**SINGLE, **DISTILLED, **CLUSTERED, **PERSONAL, **UNIVERSAL}
