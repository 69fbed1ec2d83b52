"""Networks: the table of models, building and loading them, their flat vectors, the generators.

Importing this package loads the table only, without torch. The rest is imported from its module:

    models.build       build, load_weights
    models.flat        layout_of, flatten, load, bind
    models.network     TorchNetwork
    models.generators  generator
"""

from disue.models.table import NAMES, ROWS, Row, Setting, default_for, defaults, settings

__all__ = ["NAMES", "ROWS", "Row", "Setting", "default_for", "defaults", "settings"]
