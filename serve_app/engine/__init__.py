"""What runs a model: load, warm, predict a batch of segments.

``protocol`` needs NumPy alone; ``torch_engine`` imports torch.
"""

from .protocol import Engine, EngineInfo, Scores

__all__ = ["Engine", "EngineInfo", "Scores"]
