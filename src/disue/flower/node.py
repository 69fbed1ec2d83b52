"""What answers at a site: it checks whether it may, and then does what is asked (`visit`)."""

from __future__ import annotations

from collections.abc import Callable

from disue._version import __version__
from disue.core.errors import UserError
from disue.flower.head import LACKING, REFUSED, Head, hash_of
from disue.flower.messages import Body
from disue.flower.orders import Lacking
from disue.flower.site import Site
from disue.flower.store import Store
from disue.flower.visit import Visit
from disue.runs.spec import Spec

Random = Callable[[int], bytes]


class Node:
    """One site in one run: made anew for every message, since a node's process lives no longer than one.

    context  what lives as long as the node's own process, and is lost with it: the keys of a protected round
    random   bytes for the protocol; None: the operating system's. Named streams are for tests, in which both sides are
             one process; a node's configuration cannot ask for them
    """

    def __init__(
        self,
        spec: Spec,
        site: Site,
        context: dict[str, bytes] | None = None,
        random: Callable[..., Random] | None = None,
    ) -> None:
        self.spec, self.site, self.random = spec, site, random
        self.context: dict[str, bytes] = {} if context is None else context
        self.worked = self.imported = 0.0  # seconds of the last answer's training, measuring, scoring; of loading torch

    def answer(self, body: Body) -> Body:
        """The reply; a UserError becomes a refusal in one sentence, which the server writes down."""
        try:
            head = Head.read(body.about)
            self._check(head)
            with Store(self.site.store / head.run).alone():
                visit = Visit(self, head)
                try:
                    return visit.answer(body)
                finally:
                    self.worked, self.imported = visit.worked, visit.imported
        except Lacking as lacking:
            return Body(body.kind, {LACKING: str(lacking)})
        except UserError as error:
            return Body(body.kind, {REFUSED: str(error)})

    def _check(self, head: Head) -> None:
        """Whether this is a run that the site may take part in."""
        own = hash_of(self.spec)
        if head.disue != __version__:
            raise UserError(
                f"site {self.site.client} has disue {__version__}, the server has {head.disue}: install the same",
                key="disue",
                found=head.disue,
            )
        if head.spec != own:
            raise UserError(
                f"site {self.site.client} has a spec of hash {own[:12]}, the server's is {head.spec[:12]}", key="spec"
            )
        if head.name not in ("", self.site.client):
            raise UserError(f"a message for {head.name} came to site {self.site.client}", key="client")
        agreed = self.site.path("spec")
        if agreed is not None and hash_of(Spec.read(agreed)) != head.spec:
            raise UserError(
                f"site {self.site.client} takes part in runs of {agreed} alone, and this run's spec is another",
                key="spec",
            )
