"""Makes an existing coremltools pipeline faster: our routines in place of its own, inside its own modules."""

from swiftcompress.accelerate.handle import Accelerator, accelerate_coremltools
from swiftcompress.accelerate.patching import Routine, Status

__all__ = ["Accelerator", "Routine", "Status", "accelerate_coremltools"]
