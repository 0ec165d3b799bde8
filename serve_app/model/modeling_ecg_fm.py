# mypy: allow-untyped-calls
"""ECG-FM in the manner of transformers: save_pretrained, from_pretrained, AutoModel.

The network itself is in ``network``; these classes hold it under the same names, so that one
safetensors file serves both. Importing this module registers the model type ``ecg_fm``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling, SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto import AutoConfig, AutoModel, AutoModelForSequenceClassification

from serve_app.errors import CheckpointError

from .configuration_ecg_fm import EcgFmConfig
from .hub import is_hub_name
from .layout import CONFIG_FILE, WEIGHTS_FILE
from .network import EcgFmBackbone, EcgFmClassifier, Encoded, lengths_from_padding_mask
from .quantization import is_packed
from .sources import locate_model
from .stored import HEAD, own_tensor, read_stored

__all__ = ["EcgFmForSequenceClassification", "EcgFmModel", "EcgFmOutput", "EcgFmPreTrainedModel"]


@dataclass
class EcgFmOutput(BaseModelOutputWithPooling):
    """``last_hidden_state`` (batch, tokens, d) and ``pooler_output`` (batch, d), the embedding.

    Args:
        token_mask: (batch, tokens) bool, True where a token is valid; None where all are.
    """

    token_mask: Tensor | None = None


class EcgFmPreTrainedModel(PreTrainedModel):
    """What both models share: the configuration, the input, and no silent random weights."""

    config_class = EcgFmConfig
    main_input_name = "input_values"
    _supports_sdpa = True
    _no_split_modules: set[str] | list[str] | None = ["EncoderLayer"]  # noqa: RUF012

    has_head: ClassVar[bool] = False

    network: EcgFmBackbone

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str] | None, *args: Any, **kwargs: Any
    ) -> Any:
        """As in transformers, but weights that are missing, unexpected or mis-shaped are an error.

        Args:
            pretrained_model_name_or_path: What transformers takes, such as a directory of ours;
                also a published ``.pt``, a directory with one, and ``hf:OWNER/NAME[@REVISION]``.
            args: As in transformers.
            kwargs: As in transformers.

        Raises:
            CheckpointError: for weights that cannot be had, are damaged, foreign or hostile, or do
                not fit, unless ``ignore_mismatched_sizes=True`` asks for a new, random head.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        new_head_allowed = kwargs.get("ignore_mismatched_sizes", False)
        source = pretrained_model_name_or_path
        if source is not None and _is_read_here(fspath(source)):
            wants_head = cls.has_head and not new_head_allowed
            kwargs = _content(fspath(source), wants_head, cls.has_head) | kwargs
            source = None
        try:
            loaded: Any = super().from_pretrained(source, *args, output_loading_info=True, **kwargs)
        except SafetensorError as error:
            raise CheckpointError(
                "The weights file is damaged, cut short, or no safetensors."
            ) from error
        model, info = loaded
        _refuse_misfits(info, new_head_allowed)
        return (model, info) if wants_info else model

    def _init_weights(self, module: nn.Module) -> None:
        # torch's own initialisation suits training from scratch, and knows weight norm.
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None and not _is_loaded(module):
            reset()

    def _encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None,
        lengths: Tensor | None,
        output_hidden_states: bool | None,
    ) -> Encoded:
        if padding_mask is not None and lengths is None:
            lengths = lengths_from_padding_mask(padding_mask)
        wanted = output_hidden_states or (
            output_hidden_states is None and bool(self.config.output_hidden_states)
        )
        encoded: Encoded = self.network(input_values, lengths, output_hidden_states=wanted)
        return encoded


class EcgFmModel(EcgFmPreTrainedModel):
    """ECG-FM without a head: features of segments.

    Args:
        config: The architecture.
    """

    # A fine-tuned model's features are read by leaving its head out.
    _keys_to_ignore_on_load_unexpected: set[str] | list[str] | None = [r"^classifier\."]  # noqa: RUF012

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.network = EcgFmBackbone(config)
        self.post_init()

    def forward(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        lengths: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> EcgFmOutput | tuple[Any, ...]:
        """Encode segments.

        Args:
            input_values: (batch, 12, samples) float32 at 500 Hz, standardised; padding is zeroed.
            padding_mask: (batch, 12, samples) or (batch, samples) bool, True at padding.
            lengths: (batch,) valid samples instead of a mask.
            output_hidden_states: Whether to return what goes between the layers.
            return_dict: False for a plain tuple.

        Returns:
            Tokens, pooled features (the mean over valid tokens), and hidden states if asked for.

        Raises:
            InvalidSignal: if the shape does not fit, or fewer than 16 samples are valid.
        """
        encoded = self._encode(input_values, padding_mask, lengths, output_hidden_states)
        output = EcgFmOutput(
            last_hidden_state=encoded.tokens,
            pooler_output=encoded.pooled,
            hidden_states=encoded.hidden_states,
            token_mask=encoded.token_mask,
        )
        return output.to_tuple() if return_dict is False else output


class EcgFmForSequenceClassification(EcgFmPreTrainedModel):
    """ECG-FM with its multi-label head.

    Args:
        config: The architecture and labels.
    """

    has_head = True

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.network = EcgFmBackbone(config)
        self.classifier = nn.Linear(config.encoder_embed_dim, len(config.labels))
        self.post_init()

    @classmethod
    def from_network(cls, network: EcgFmClassifier) -> Self:
        """The same weights, shared, in the manner of transformers: to save or to train them."""
        with torch.device("meta"):
            model = cls(network.config)
        model.load_state_dict(network.state_dict(), assign=True)
        model.eval()
        return model

    def forward(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        lengths: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Score segments.

        Args:
            input_values: (batch, 12, samples) float32 at 500 Hz, standardised; padding is zeroed.
            padding_mask: (batch, 12, samples) or (batch, samples) bool, True at padding.
            lengths: (batch,) valid samples instead of a mask.
            labels: (batch, labels) 0 or 1, for the loss of training.
            output_hidden_states: Whether to return what goes between the layers.
            return_dict: False for a plain tuple.

        Returns:
            Logits (batch, labels), before the sigmoid; the loss if labels are given.

        Raises:
            InvalidSignal: if the shape does not fit, or fewer than 16 samples are valid.
        """
        encoded = self._encode(input_values, padding_mask, lengths, output_hidden_states)
        logits = self.classifier(encoded.pooled)
        output = SequenceClassifierOutput(
            loss=None if labels is None else self._loss(logits, labels),
            logits=logits,
            hidden_states=encoded.hidden_states,
        )
        return output.to_tuple() if return_dict is False else output

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = [label.pos_weight for label in self.config.labels]
        return functional.binary_cross_entropy_with_logits(
            logits, labels.to(logits.dtype), pos_weight=logits.new_tensor(weights)
        )


def _is_loaded(module: nn.Module) -> bool:
    # transformers marks what it has read from a file.
    return any(getattr(p, "_is_hf_initialized", False) for p in module.parameters(recurse=False))


def _is_read_here(source: str) -> bool:
    """Whether it is in a form that transformers itself does not know."""
    path = Path(source)
    holds_published = path.is_dir() and not (path / CONFIG_FILE).is_file()
    holds_int8 = path.is_dir() and is_packed(path / WEIGHTS_FILE)
    return is_hub_name(source) or path.suffix == ".pt" or holds_published or holds_int8


def _content(source: str, wants_head: bool, takes_head: bool) -> dict[str, Any]:
    """Configuration and weights, as arguments of transformers' from_pretrained."""
    located = locate_model(source, head=wants_head)
    stored = read_stored(located.weights, located.sha256)
    weights = {
        name: own_tensor(name, tensor, tensor.shape)
        for name, tensor in stored.weights.items()
        if takes_head or not name.startswith(HEAD)
    }
    return {"config": stored.config, "state_dict": weights}


def _refuse_misfits(info: Mapping[str, Any], new_head_allowed: bool) -> None:
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = {key if isinstance(key, str) else key[0] for key in info[kind]}
        if new_head_allowed:
            names = {name for name in names if not name.startswith(HEAD)}
        if names:
            raise CheckpointError(f"{kind.replace('_', ' ')}: {', '.join(sorted(names)[:5])}")


AutoConfig.register("ecg_fm", EcgFmConfig)
AutoModel.register(EcgFmConfig, EcgFmModel)
AutoModelForSequenceClassification.register(EcgFmConfig, EcgFmForSequenceClassification)
