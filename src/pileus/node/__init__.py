"""What is done to a machine: it becomes an all-in-one OpenStack controller.

`bake` does to an image what does not depend on the instance, `configure` the rest over SSH.
"""

from pileus.node.bake import bake, image_key
from pileus.node.configure import configure

__all__ = ["bake", "configure", "image_key"]
