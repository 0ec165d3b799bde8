# mypy: allow-untyped-calls
"""Configuration of ECG-FM, in the manner of transformers; fields named as in the checkpoints."""

from dataclasses import field
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PretrainedConfig

from .calibration import Calibration
from .labels import LABELS, Join, Label
from .layout import MODEL_TYPE

__all__ = ["EcgFmConfig"]

# What transformers itself passes beside the fields; anything else is a misspelt key.
_TRANSFORMERS_KEYS = frozenset(
    {
        "attn_implementation",
        "auto_map",
        "experts_implementation",
        "model_type",
        "name_or_path",
        "output_attentions",
        "torch_dtype",
    }
)

# fmt: off
_COUNTS = (
    "in_d", "encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim",
    "encoder_attention_heads", "conv_pos", "conv_pos_groups", "sampling_rate",
)
# fmt: on


@strict
class EcgFmConfig(PretrainedConfig):
    """Architecture, input and labels of an ECG-FM; the defaults are the published fine-tuned model.

    Args:
        in_d: Leads of the input.
        conv_feature_layers: [channels, kernel, stride] of each convolution of the stem.
        conv_bias: Whether these convolutions have a bias.
        extractor_mode: ``default``: one GroupNorm, after the first convolution.
        encoder_layers: Transformer layers.
        encoder_embed_dim: Width d of the encoder, and so of the embedding.
        encoder_ffn_embed_dim: Width of the feed-forward blocks.
        encoder_attention_heads: Attention heads; they divide d.
        layer_norm_first: Pre-norm instead of post-norm.
        conv_pos: Kernel of the positional convolution, tokens.
        conv_pos_groups: Its groups; they divide d.
        layer_norm_eps: Epsilon of every normalisation.
        sampling_rate: Hz of the input.
        segment_samples: Samples of a segment at that rate.
        id2label: Label names, by output index; the published 17 unless this or ``num_labels``
            says otherwise.
        label_joins: ``mean`` or ``max`` for each label.
        label_pos_weights: Weight of the positives in training, for each label.
        label_thresholds: Score at which each label counts as positive.
        noisy_labels: Names of labels whose training labels are implausible.
        calibration: What `ecg-serve evaluate --fit-calibration --store` found for these weights:
            a ``Calibration`` as JSON. Its thresholds stand above ``label_thresholds``.
        demo: A model that only shows that the machinery works; each answer says so.

    Raises:
        ValueError: for unknown keys and contradictory labels.
        StrictDataclassError: for values of the wrong type, or that make no model.
    """

    model_type = MODEL_TYPE
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "encoder_embed_dim",
        "intermediate_size": "encoder_ffn_embed_dim",
        "num_attention_heads": "encoder_attention_heads",
        "num_hidden_layers": "encoder_layers",
    }

    in_d: int = 12
    conv_feature_layers: list[list[int]] = field(default_factory=lambda: [[256, 2, 2]] * 4)
    conv_bias: bool = False
    extractor_mode: Literal["default"] = "default"
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    layer_norm_first: bool = False
    conv_pos: int = 128
    conv_pos_groups: int = 16
    layer_norm_eps: float = 1e-5
    sampling_rate: int = 500
    segment_samples: int = 2500
    label_joins: list[Join] | None = None
    label_pos_weights: list[float] | None = None
    label_thresholds: list[float] | None = None
    noisy_labels: list[str] | None = None
    calibration: dict[str, Any] | None = None
    demo: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill the labels in, and refuse unknown keys."""
        self._fill_labels(kwargs.pop("num_labels", None))
        unknown = sorted(k for k in kwargs if k not in _TRANSFORMERS_KEYS and not k.startswith("_"))
        if unknown:
            raise ValueError(f"unknown configuration keys: {', '.join(unknown)}")
        self.problem_type = self.problem_type or "multi_label_classification"
        super().__post_init__(**kwargs)

    def _fill_labels(self, num_labels: int | None) -> None:
        names = _label_names(self.id2label, num_labels)
        self.id2label = dict(enumerate(names))
        self.label2id = {name: index for index, name in enumerate(names)}
        known = {label.name: label for label in LABELS}
        labels = [known.get(name, Label(name)) for name in names]
        if self.label_joins is None:
            self.label_joins = [label.join for label in labels]
        if self.label_pos_weights is None:
            self.label_pos_weights = [label.pos_weight for label in labels]
        if self.label_thresholds is None:
            self.label_thresholds = [label.threshold for label in labels]
        if self.noisy_labels is None:
            self.noisy_labels = [label.name for label in labels if label.noisy]

    def validate_architecture(self) -> None:
        """Refuse what cannot be built or fed."""
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not 0 < self.layer_norm_eps < 1:
            raise ValueError("layer_norm_eps must lie between 0 and 1")
        for name in ("encoder_attention_heads", "conv_pos_groups"):
            if self.encoder_embed_dim % getattr(self, name):
                raise ValueError(f"{name} must divide encoder_embed_dim {self.encoder_embed_dim}")
        layers = self.conv_feature_layers
        if not layers or any(len(layer) != 3 or min(layer) < 1 for layer in layers):
            raise ValueError("conv_feature_layers must hold (channels, kernel, stride), each >= 1")
        if self.segment_samples < self.minimum_samples:
            raise ValueError(f"segment_samples must be at least {self.minimum_samples}")
        _ = self.labels  # each label validates itself

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels in output order; ValueError if their lists differ in length."""
        names = list((self.id2label or {}).values())
        joins, weights = self.label_joins or [], self.label_pos_weights or []
        thresholds, noisy = self.label_thresholds or [], self.noisy_labels or []
        if not len(names) == len(joins) == len(weights) == len(thresholds):
            raise ValueError("label names, joins, pos_weights and thresholds differ in number")
        if unknown := set(noisy) - set(names):
            raise ValueError(f"noisy_labels names no label of this model: {sorted(unknown)}")
        rows = zip(names, joins, weights, thresholds, strict=True)
        labels = tuple(Label(n, j, w, t, noisy=n in noisy) for n, j, w, t in rows)
        return Calibration.parse(self.calibration).apply(labels) if self.calibration else labels

    @property
    def minimum_samples(self) -> int:
        """Samples that give one token: 16 for the published stem."""
        samples = 1
        for _channels, kernel, stride in reversed(self.conv_feature_layers):
            samples = (samples - 1) * stride + kernel
        return samples


def _label_names(id2label: dict[Any, Any] | None, num_labels: int | None) -> list[str]:
    if id2label is None:
        if num_labels is None or num_labels == len(LABELS):
            return [label.name for label in LABELS]
        if num_labels < 1:
            raise ValueError("num_labels must be at least 1")
        return [f"LABEL_{index}" for index in range(num_labels)]
    # JSON has string keys.
    by_index = {int(index): str(name) for index, name in id2label.items()}
    if num_labels is not None and num_labels != len(by_index):
        raise ValueError(f"num_labels {num_labels} contradicts {len(by_index)} names in id2label")
    if sorted(by_index) != list(range(len(by_index))) or not by_index:
        raise ValueError("id2label must name the outputs 0, 1, 2, ...")
    return [by_index[index] for index in range(len(by_index))]
