"""The predicted half of a trace: what must become of a packet, by the API state of both clouds.

`predict` follows it hop by hop; `neutron`, `vpc` and `uplink` say what each part does with it.
"""

from pileus.trace.predict.walk import predict

__all__ = ["predict"]
