"""What every form says in words: findings, and how far they can be relied on."""

from typing import Final

from serve_app.results import Prediction, Result

__all__ = ["NOT_REVIEWED", "caveats", "conclusion", "findings", "model_line", "rate_text"]

NOT_REVIEWED: Final = "Research use only - not reviewed"


def findings(result: Result) -> list[Prediction]:
    """The labels at or above their threshold, the highest score first."""
    positive = [prediction for prediction in result.predictions if prediction.positive]
    return sorted(positive, key=lambda each: -each.probability)


def rate_text(result: Result) -> str:
    """The heart rate, or that there is none."""
    rate = result.analysis.heart_rate_bpm if result.analysis else None
    return "heart rate not measured" if rate is None else f"heart rate {rate:.0f} /min"


def model_line(result: Result) -> str:
    """Which model answered, if one did."""
    model = result.model
    if model is None:
        return "no model was asked"
    return f"{model.name} {model.revision}, {model.engine} {model.precision}"


def caveats(result: Result) -> list[str]:
    """What has to be known before anything else is read."""
    told = [NOT_REVIEWED]
    if result.model and result.model.demo:
        told.append("DEMO MODEL, for demonstration only")
    if not result.quality.acceptable:
        told.append("signal quality NOT acceptable")
    if result.degraded:
        told.append(f"degraded answer: {result.degraded}")
    if result.recording.zero_filled_leads:
        told.append(f"leads taken as zero: {', '.join(result.recording.zero_filled_leads)}")
    if result.recording.units_assumed:
        told.append("units assumed: mV")
    return told


def conclusion(result: Result) -> str:
    """All of it in a few sentences."""
    labels = [f"{each.label} ({each.probability:.3f})" for each in findings(result)]
    if result.model is None:
        told = "No model was asked"
    elif labels:
        told = f"At or above the model's threshold: {', '.join(labels)}"
    else:
        told = "No label reaches the model's threshold"
    return f"{'; '.join(caveats(result))}. {told}; {rate_text(result)}. {model_line(result)}."
