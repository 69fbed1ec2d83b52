"""pfl-research: python pfl_research.py WORKLOAD ROUNDS. One process, one thread; evaluates in round 0 only."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import mark
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import nn
from torch.nn import functional as F
from work import LR


class Losing(nn.Module):
    """The workload's model with the two methods that pfl asks for."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def loss(self, inputs: Any, labels: Any, eval: bool = False) -> Any:
        self.train(not eval)
        return F.cross_entropy(self.inner(inputs), labels)

    def metrics(self, inputs: Any, labels: Any, eval: bool = False) -> dict[str, Any]:
        return {}


class Marked(TrainingProcessCallback):
    def after_central_iteration(self, aggregate_metrics: Any, model: Any, *, central_iteration: int) -> Any:
        mark.mark()
        return False, Metrics()


def main() -> None:
    torch.set_num_threads(1)
    work, rounds, _ = mark.asked()
    inputs, labels = work.data()
    users = [PyTorchTensorDataset((x, y), user_id=str(i)) for i, (x, y) in enumerate(zip(inputs, labels, strict=True))]
    sampler = get_user_sampler("minimize_reuse", list(range(work.clients)))
    clients = FederatedDataset(lambda i: users[i], sampler)
    module = Losing(work.module())
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=rounds + 1,
            train_cohort_size=work.clients,
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(training_data=clients, val_data=clients),
        model=PyTorchModel(
            model=module,
            local_optimizer_create=torch.optim.SGD,
            central_optimizer=torch.optim.SGD(module.parameters(), 1.0),
        ),
        model_train_params=NNTrainHyperParams(
            local_num_epochs=work.epochs, local_learning_rate=LR, local_batch_size=work.batch
        ),
        model_eval_params=NNEvalHyperParams(local_batch_size=None),
        callbacks=[Marked()],
    )


if __name__ == "__main__":
    main()
