"""What is known of the named sets beforehand: kind, number of classes, label names, whom to cite."""

from __future__ import annotations

from dataclasses import dataclass

from disue.data.dataset import Kind

ALPHABET = "\n !\"&'(),-.0123456789:;>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz}"  # LEAF's 80

_KRIZHEVSKY = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"


@dataclass(frozen=True)
class Facts:
    """labels is empty where the names stand in the set's own files only."""

    kind: Kind
    classes: int
    labels: tuple[str, ...]
    citation: str


FACTS: dict[str, Facts] = {
    "cifar10": Facts(
        "image",
        10,
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        _KRIZHEVSKY,
    ),
    "cifar100": Facts("image", 100, (), _KRIZHEVSKY),
    "svhn": Facts(
        "image",
        10,
        tuple("0123456789"),
        "Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, "
        "NIPS workshop 2011; non-commercial use only",
    ),
    "fashion_mnist": Facts(
        "image",
        10,
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, arXiv 1708.07747, 2017",
    ),
    "har": Facts(
        "sequence",
        6,
        ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING"),
        "D. Anguita et al., A Public Domain Dataset for Human Activity Recognition Using Smartphones, ESANN 2013",
    ),
    "shakespeare": Facts(
        "text",
        80,
        tuple(ALPHABET),
        "W. Shakespeare, public domain; the task after S. Caldas et al., LEAF: A Benchmark for Federated "
        "Settings, 2018",
    ),
}
