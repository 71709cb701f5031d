"""Token counts before anything is sent: exact where the tokenizer is at hand, else an estimate with its error."""

from aikit.tokens.calibration import Calibration, CalibrationRow
from aikit.tokens.counting import count, count_text, upper, warm
from aikit.tokens.quick import quick

__all__ = ["Calibration", "CalibrationRow", "count", "count_text", "quick", "upper", "warm"]
