"""`graph`: a picture of both clouds, and of a packet's way through them."""

from __future__ import annotations

from pileus.api.environment import Cloud
from pileus.api.trace import follow, gather
from pileus.graph.contents import picture
from pileus.graph.marks import marked
from pileus.graph.picture import Picture
from pileus.model.path import Asked
from pileus.spec import Spec
from pileus.system.workspace import Workspace


def graph(
    spec: Spec, workspace: Workspace, asked: Asked | None = None, *, probe: bool = True
) -> Picture:
    """What there is in both clouds now, by their APIs; with `asked`, that packet's way in it.

    Nothing is sent but for `asked`, and for that neither without `probe`.

    Raises UserError where the cloud is down, CloudFault where the cloud below does not answer, and
    Refused for ends that there are not. OpenStack may be silent: then the caption says so.
    """
    cloud = Cloud(spec, workspace)
    seen = gather(cloud)
    drawn = picture(spec.cloud, seen.scene)
    if seen.silent:
        drawn = drawn.with_caption(f"OpenStack could not be asked: {seen.silent}")
    return marked(drawn, follow(cloud, seen, asked, probe=probe)) if asked else drawn
